"""The door of the window's server: one address that works once, one cookie, one knock, and nothing else."""

import random
import string

import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocket

from app.desktop.door import COOKIE, KNOCK, Door


class Knocked:
    def __init__(self) -> None:
        self.times, self.open = 0, True

    def __call__(self) -> bool:
        self.times += self.open
        return self.open


@pytest.fixture
def knocked() -> Knocked:
    return Knocked()


@pytest.fixture
def door(knocked: Knocked) -> Door:
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"secret {request.url.path}")

    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("secret")
        await socket.close()

    routes = [Route("/{path:path}", page, methods=["GET", "POST", "DELETE"]), WebSocketRoute("/ws", stream)]
    return Door(Starlette(routes=routes), knocked)


@pytest.fixture
def client(door: Door) -> TestClient:
    return TestClient(door, base_url="http://127.0.0.1", follow_redirects=False)


def test_the_entrance_gives_the_cookie_once(door: Door, client: TestClient) -> None:
    entered = client.get(door.entrance)
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "expires" not in cookie.lower()
    assert client.get("/v1/documents").text == "secret /v1/documents"
    with client.websocket_connect("ws://127.0.0.1/ws") as socket:
        assert socket.receive_text() == "secret"

    other = TestClient(client.app, base_url="http://127.0.0.1", follow_redirects=False)
    assert other.get(door.entrance).status_code == 404
    assert other.get("/").status_code == 404


def test_the_entrance_is_for_opening_only(door: Door, client: TestClient) -> None:
    for method in ("POST", "HEAD", "DELETE", "OPTIONS"):
        assert client.request(method, door.entrance).status_code == 404
    assert client.get(door.entrance).status_code == 303


def test_without_the_cookie_nothing_is_there(door: Door, client: TestClient) -> None:
    chance = random.Random(4)
    letters = string.ascii_letters + string.digits + "-_"
    for _ in range(60):
        made_up = "".join(chance.choices(letters, k=chance.choice([0, 1, 42, 43, 44])))
        path = chance.choice(["/", "/v1/answers", f"/window/{made_up}", KNOCK, "/healthz"])
        headers = chance.choice(
            [
                {},
                {"Cookie": f"{COOKIE}={made_up}"},
                {"Cookie": f"{COOKIE}={door.knock_secret}"},
                {"Cookie": f"{COOKIE}={door.entrance.rsplit('/', 1)[-1]}"},
                {"Authorization": f"Bearer {made_up}"},
                {"Authorization": f"Basic {door.knock_secret}"},
            ]
        )
        answer = client.request(chance.choice(["GET", "POST", "DELETE"]), path, headers=headers)
        assert (answer.status_code, answer.text) == (404, "Not found.")
    assert client.get("/", headers={"Cookie": f"{COOKIE}=".encode() + b"\xff\xfe"}).status_code == 404


def test_a_socket_without_the_cookie_is_refused(client: TestClient) -> None:
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("ws://127.0.0.1/ws"),
    ):
        pass
    assert refused.value.status_code == 404


def test_a_knock_shows_nothing_and_needs_its_secret(door: Door, client: TestClient, knocked: Knocked) -> None:
    held = {"Authorization": f"Bearer {door.knock_secret}"}
    assert client.post(KNOCK, headers=held).status_code == 204
    assert client.post(KNOCK, headers=held).content == b""
    assert knocked.times == 2
    assert client.get(KNOCK, headers=held).status_code == 404
    assert client.get("/", headers=held).status_code == 404
    knocked.open = False  # the window is closing
    assert client.post(KNOCK, headers=held).status_code == 404


def test_no_two_runs_share_a_secret() -> None:
    doors = [Door(Starlette(), lambda: True) for _ in range(3)]
    secrets = {secret for door in doors for secret in (door.entrance, door.knock_secret, door._cookie)}
    assert len(secrets) == 9
