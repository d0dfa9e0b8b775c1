"""Every route of the whole server, asked by whom it must not tell anything."""

import json
import random
import re
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.accounts.acting import NobodyAsks, for_whoever_asks
from app.keys import make_key
from app.web.signing_in import COOKIE, OPEN, SIGN_IN
from storage.keys import SCOPES
from tests.app.accounts.conftest import COLLECTION, FILE, SECRET, Office, browser
from tests.app.api.conftest import served

THINGS = ("document_id", "job_id", "answer_id", "name", "collection", "conversation_id")
QUESTION = "What may be sold?"
# Routes without a name in their path: what they name is in the query or the body.
NAMING: dict[tuple[str, str], dict[str, Any]] = {
    ("GET", "/v1/documents"): {"params": {"collection": COLLECTION}},
    ("POST", "/v1/documents"): {
        "data": {"collection": COLLECTION},
        "files": {"file": ("a.txt", b"some words")},
    },
    ("POST", "/v1/collections"): {"json": {"name": COLLECTION}},
    ("PUT", "/v1/collections/{name:path}/grants/{user}"): {"json": {"role": "owner"}},
    ("POST", "/v1/answers"): {"json": {"question": QUESTION, "collection": COLLECTION}},
    ("POST", "/v1/chat/completions"): {
        "json": {"model": COLLECTION, "messages": [{"role": "user", "content": QUESTION}]}
    },
}
ENDLESS = re.compile("/(queue/data|heartbeat|upload_progress)")
LISTS = {("GET", "/v1/collections"), ("GET", "/v1/models")}


def routes_of(app: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every method and path template of an application and of all that is mounted in it."""
    for route in getattr(app, "routes", ()):
        path = prefix + getattr(route, "path", "")
        if methods := getattr(route, "methods", None):
            yield from ((method, path) for method in sorted(methods))
        elif (inner := getattr(route, "app", None)) is not None:
            inner = getattr(inner, "_app", inner)  # `Access` stands before the API
            yield from routes_of(inner, path)
        elif hasattr(route, "original_router"):
            yield from routes_of(route.original_router, prefix)


def filled(template: str, office: Office) -> str:
    """A path that names what the office keeps, for each parameter."""
    values = {
        "document_id": office.document,
        "page": "1",
        "job_id": str(office.job),
        "answer_id": str(office.kept.id),
        "conversation_id": str(office.kept.conversation_id),
        "name": COLLECTION,
        "collection": COLLECTION,
        "user": "bob",
        "session_hash": "abc",
        "path": "style.css",
    }
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda part: values.get(part.group(1), "1"), template)


def tells(reply: httpx.Response) -> bool:
    return any(word in reply.text for word in (FILE, SECRET, "quokka"))


@pytest.fixture(scope="module")
def client(whole: FastAPI) -> Iterator[TestClient]:
    with browser(whole) as opened:
        yield opened


def test_who_was_granted_nothing_gets_404_wherever_the_collection_is_named(
    whole: FastAPI, client: TestClient, standing: Office
) -> None:
    routes = sorted(set(routes_of(whole)))
    ours = [(method, path) for method, path in routes if path.startswith(("/v1/", "/page/"))]
    assert len(ours) >= 16, ours
    assert any(path.startswith("/gradio_api/queue") for _, path in routes)
    bob = standing.cookie("bob")
    _, secret = make_key(standing.service.store, f"bob {uuid.uuid4()}", SCOPES, 100_000, "bob")
    ways = [bob, {"authorization": f"Bearer {secret}"}]
    named = 0
    for method, template in routes:
        names_one = any(f"{{{thing}" in template for thing in THINGS) and (method, template) in ours
        options = NAMING.get((method, template), {})
        for headers in ways if template.startswith("/v1/") else ways[:1]:
            path = filled(template, standing)
            if ENDLESS.search(path):
                continue  # the test of events reads such a stream
            reply = client.request(method, path, headers=headers, **options)
            assert not tells(reply), (method, template)
            if names_one or options:
                named += 1
                assert reply.status_code == 404, (method, template, reply.status_code)
            elif (method, template) in LISTS:
                assert reply.status_code == 200
                assert COLLECTION not in reply.text
            elif template.startswith("/v1/"):
                pytest.fail(f"say in this test what {method} {template} names")
    assert named >= 16
    assert standing.service.store.documents.count() == 1
    assert standing.service.store.users.get("bob").grants == {}


def test_who_may_see_it_gets_all_that(client: TestClient, standing: Office) -> None:
    """Or the test above would pass where nothing is served at all."""
    for name in ("ann", "cid", "eve"):
        headers = standing.cookie(name)
        for path in (
            f"/v1/documents/{standing.document}",
            f"/v1/documents/{standing.document}/original",
            f"/v1/documents?collection={COLLECTION}",
            f"/v1/jobs/{standing.job}",
            f"/v1/models/{COLLECTION}",
            f"/page/documents/{standing.document}/original",
        ):
            assert client.get(path, headers=headers).status_code == 200, (name, path)
        assert COLLECTION in client.get("/v1/collections", headers=headers).text
    report = f"/page/answers/{standing.kept.id}/report"
    assert client.get(report, headers=standing.cookie("ann")).status_code == 200
    assert client.get(report, headers=standing.cookie("cid")).status_code == 404  # ann asked, not cid


def test_a_reader_may_not_write(client: TestClient, standing: Office) -> None:
    headers = standing.cookie("cid")
    upload = client.post("/v1/documents", headers=headers, **NAMING["POST", "/v1/documents"])
    assert upload.status_code == 403
    assert client.delete(f"/v1/documents/{standing.document}", headers=headers).status_code == 403
    assert client.delete(f"/v1/jobs/{standing.job}", headers=headers).status_code == 403
    assert standing.service.store.documents.count() == 1


def test_a_key_opens_what_its_user_may_see(client: TestClient, standing: Office) -> None:
    _, secret = make_key(standing.service.store, "cid's", ["read"], user="cid")
    headers = {"authorization": f"Bearer {secret}"}
    assert client.get(f"/v1/documents/{standing.document}", headers=headers).status_code == 200
    assert client.delete(f"/v1/documents/{standing.document}", headers=headers).status_code == 403  # scope
    _, everything = make_key(standing.service.store, "the administrator's", ["read"])
    headers = {"authorization": f"Bearer {everything}"}
    assert client.get(f"/v1/documents/{standing.document}", headers=headers).status_code == 200


def test_without_a_session_a_thousand_requests_get_nothing(
    whole: FastAPI, client: TestClient, standing: Office
) -> None:
    real = standing.cookie("ann")["cookie"].removeprefix(f"{COOKIE}=")
    ended = standing.cookie("ann")["cookie"].removeprefix(f"{COOKIE}=")
    standing.service.accounts.sign_out(ended)
    forged = [
        "",
        "x",
        ended,
        real[:-1],
        real + "x",
        real.swapcase(),
        real[::-1],
        "null",
        "' OR 1=1",
        "a" * 4000,
    ]
    headers: list[dict[str, str]] = [
        {},
        *({"cookie": f"{COOKIE}={each}"} for each in forged),
        {"cookie": f"session={real}"},
        {"authorization": f"Bearer {real}"},
        {"x-forwarded-for": "127.0.0.1", "x-forwarded-user": "ann"},
        {"origin": "http://127.0.0.1:7861", "cookie": f"{COOKIE}="},
    ]
    templates = sorted({path for _, path in routes_of(whole)} - OPEN)
    assert len(templates) > 80
    chance = random.Random(11)
    seen = set()
    for _ in range(1000):
        path = filled(chance.choice(templates), standing) or "/"
        if chance.random() < 0.3:
            place = chance.randrange(1, len(path) + 1)
            noise = chance.choice(["%00", "%2e%2e/", "?a=1", "é", "%ff", ";", "//", "%2f"])
            path = path[:place] + noise + path[place:]
        method = chance.choice(["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE"])
        content = chance.choice([None, b"{}", b'{"session_hash":"a","fn_index":0,"data":[]}', b"\x00" * 99])
        reply = client.request(method, path, content=content, headers=chance.choice(headers))
        if reply.status_code == 303:
            assert (httpx.URL(path).path, reply.headers["location"]) == ("/", SIGN_IN), path
        else:
            assert reply.status_code in (401, 404), (method, path)
        assert not tells(reply), (method, path)
        seen.add(reply.status_code)
    assert {303, 401} <= seen
    assert client.get("/v1/collections", headers={"cookie": f"{COOKIE}={real}"}).status_code == 200


CLICKS: list[dict[str, Any]] = [
    {"act": "remove-now"},
    {"act": "cancel"},
    {"act": "open"},
    {"act": "rename"},
    {"act": "forget-now"},
    {"act": "list", "first": 0},
    {"act": "suggest", "question": QUESTION},
    {"act": "rate", "turn": 0, "rating": 1},
]


def events(address: str, headers: dict[str, str], sent: list[tuple[int, list[Any], Any]]) -> list[str]:
    """What the page answers to events in one tab, each as the text of its messages."""
    tab, replies = uuid.uuid4().hex, []
    with httpx.Client(base_url=address, headers=headers, timeout=30) as http:
        for number, data, clicked in sent:
            body = {"session_hash": tab, "fn_index": number, "data": data, "event_data": clicked}
            joined = http.post("/gradio_api/queue/join", json=body)
            assert joined.status_code == 200, joined.text
            text = ""
            with http.stream("GET", "/gradio_api/queue/data", params={"session_hash": tab}) as stream:
                for line in stream.iter_lines():
                    text += line
                    if '"process_completed"' in line or '"close_stream"' in line:
                        break
            replies.append(text)
    return replies


def test_no_event_of_the_page_tells_what_was_not_granted(whole: FastAPI, standing: Office) -> None:
    document = {
        "document": standing.document,
        "conversation": standing.kept.conversation_id,
        "answer": standing.kept.id,
    }
    with served(whole) as address:
        with httpx.Client(base_url=address, headers=standing.cookie("bob")) as http:
            listeners = http.get("/config").json()["dependencies"]
            parts = {each["id"]: each for each in http.get("/config").json()["components"]}
        sent = []
        for each in listeners:
            if not each["backend_fn"]:
                continue
            data = [_typed(parts[key]["type"]) for key in each["inputs"]]
            clicked = any(target[1] == "act" for target in each["targets"])
            clicks = CLICKS if clicked else CLICKS[:1]
            sent += [(each["id"], data, {**click, **document}) for click in clicks]
        assert len({number for number, _, _ in sent}) > 15
        told = events(address, standing.cookie("bob"), sent)
        assert len(told) == len(sent)
        assert not [text for text in told if FILE in text or SECRET in text]
        owners = events(address, standing.cookie("ann"), [(sent[0][0], [], None), *_lists(listeners)])
        assert any(COLLECTION in text for text in owners)
    assert standing.service.store.documents.count() == 1
    assert len(standing.of("ann").conversations.list()) == 1


def _typed(kind: str) -> Any:
    return {"dropdown": COLLECTION, "textbox": "sold", "radio": "From memories", "state": None}.get(kind)


def _lists(listeners: list[dict[str, Any]]) -> list[tuple[int, list[Any], Any]]:
    """The events of a tab that is opened."""
    loads = [each for each in listeners if any(target[1] == "load" for target in each["targets"])]
    return [(each["id"], [None] * len(each["inputs"]), None) for each in loads]


def test_a_tab_is_one_users(whole: FastAPI, standing: Office) -> None:
    ann, bob = standing.cookie("ann"), standing.cookie("bob")
    with served(whole) as address, httpx.Client(base_url=address, timeout=30) as http:
        listeners = http.get("/config", headers=ann).json()["dependencies"]
        number = _lists(listeners)[0][0]
        body = {"session_hash": "of ann", "fn_index": number, "data": []}
        assert http.post("/gradio_api/queue/join", json=body, headers=ann).status_code == 200
        tab = {"session_hash": "of ann"}
        with http.stream("GET", "/gradio_api/queue/data", params=tab, headers=ann) as stream:
            assert any("process_completed" in line for line in stream.iter_lines())
        assert http.get("/gradio_api/queue/data", params=tab, headers=bob).status_code == 404
        assert http.post("/gradio_api/queue/join", json=body, headers=bob).status_code == 200
        with http.stream("GET", "/gradio_api/queue/data", params=tab, headers=ann) as stream:
            done = [json.loads(line[6:]) for line in stream.iter_lines() if "process_completed" in line]
        assert [each["success"] for each in done] == [False]


def test_what_came_through_no_door_is_refused(office: Office) -> None:
    with pytest.raises(NobodyAsks):
        for_whoever_asks(office.service).profiles()
