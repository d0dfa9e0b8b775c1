"""Who may call /v1: programs of this machine until there is a key or a user, from then on whoever has a key.

A key opens what its user may see; so does the session of somebody who signed in at the page.
Everything is decided from the request's line and headers, before a body is read and before a route is looked
for; what no rule names needs the widest scope. Foreign hosts and origins never come this far
(`app.web.security`).
"""

import ipaddress
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from app.accounts.acting import acting_for
from app.api.replies import Json, error_reply
from app.errors import AttestError, Unavailable, for_people
from app.keys import digest_of
from app.service import Service
from app.web.security import LOOPBACK_HOSTS, SAFE_METHODS, host_name
from app.web.signing_in import token_of
from storage.grants import LOCAL, Viewer
from storage.keys import KeyRow, Scope

PREFIX = "/v1"
PROGRAMS = "programs of this machine"  # who asks, where no key is needed
PER_MINUTE = 600  # requests of a session
LARGEST_BODY = 4 * 2**20  # bytes of what is not an upload
ROOM_FOR_FORM = 2**20  # bytes that a form takes around its file
_ASKING = ("/answers", "/chat/completions")


@dataclass(frozen=True)
class Client:
    """Who asks: a name by which clients take turns, and whose view of the store they get."""

    name: str
    viewer: Viewer


@dataclass(frozen=True)
class Refusal:
    """Why a request goes no further."""

    status: int
    message: str
    headers: Mapping[str, str]

    def reply(self) -> Json:
        return error_reply(self.status, self.message, headers=self.headers)


class Access:
    """ASGI middleware around everything under /v1. largest_file: bytes of an upload."""

    def __init__(self, app: ASGIApp, service: Service, largest_file: int) -> None:
        self._app, self._store, self._accounts = app, service.store, service.accounts
        self._largest_upload = largest_file + ROOM_FOR_FORM
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, path = Request(scope), scope["path"].removeprefix(PREFIX)
        try:
            client = await run_in_threadpool(self._admit, request, path)
        except AttestError as error:
            client = Refusal(503 if isinstance(error, Unavailable) else 500, str(error), {})
        if isinstance(client, Refusal):
            await client.reply()(scope, receive, send)
            return
        refusal = self._too_large(request, path)
        if refusal is not None:
            await refusal.reply()(scope, receive, send)
            return
        scope["state"] = {**scope.get("state", {}), "client": client.name}
        with acting_for(client.viewer):
            await self._app(scope, receive, send)

    def _admit(self, request: Request, path: str) -> Client | Refusal:
        """Who asks, or why not."""
        secret = _bearer(request.headers)
        with for_people():
            demanded, key = self._store.keys.of_digest(None if secret is None else digest_of(secret))
        if key is None:
            viewer = self._accounts.let_in(None if secret is not None else token_of(request))
            if viewer is not None and viewer.user is not None:
                return self._counted(Client(f"user {viewer.user}", viewer), viewer.name, PER_MINUTE)
            demanded = demanded or viewer is None
        if not demanded:
            if _is_local(request):
                return Client(PROGRAMS, LOCAL)
            return _no_key("from another machine this address takes a key; make one with `attest keys add`")
        if key is None:
            return _no_key("this address takes a key: `Authorization: Bearer ...`; see `attest keys list`")
        needed = scope_of(request.method, path)
        if needed not in key.scopes:
            message = f"the key {key.name!r} lacks the scope {needed!r}, which this takes"
            return Refusal(403, message, {})
        return self._counted(client_with(key), f"the key {key.name!r}", key.per_minute)

    def _counted(self, client: Client, who: str, per_minute: int) -> Client | Refusal:
        limit = RateLimitItemPerMinute(per_minute)
        if self._limiter.hit(limit, client.name):
            return client
        stats = self._limiter.get_window_stats(limit, client.name)
        seconds = max(1, math.ceil(stats.reset_time - time.time()))
        message = f"{who} may make {per_minute} requests a minute; wait {seconds} s"
        return Refusal(429, message, {"Retry-After": str(seconds)})

    def _too_large(self, request: Request, path: str) -> Refusal | None:
        """Of a body that says how large it is; others are counted as they come."""
        largest = self._largest_upload if (request.method, path) == ("POST", "/documents") else LARGEST_BODY
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) <= largest:
            return None
        return Refusal(413, f"this address takes at most {largest} bytes", {})


def scope_of(method: str, path: str) -> Scope:
    """What a key must be allowed for this; `path` is what follows /v1."""
    if method == "POST" and path in _ASKING:
        return "ask"
    if method in SAFE_METHODS:
        return "ask" if path == "/models" or path.startswith("/models/") else "read"
    return "write"


def client_with(key: KeyRow) -> Client:
    """Whoever has this key."""
    name = f"key {key.id}"
    return Client(name, Viewer(key.user_id, key.user or "local", name))


def client_of(request: Request) -> str:
    """Who asks: a key, or the programs of this machine together. Clients take turns."""
    return str(request.state.client)


def _bearer(headers: Headers) -> str | None:
    kind, _, secret = headers.get("authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" and secret.strip() else None


def _is_local(request: Request) -> bool:
    """Whether both ends say so; behind a proxy at least the name it is called by is another."""
    if host_name(request.headers.get("host", "")) not in LOOPBACK_HOSTS or request.client is None:
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _no_key(message: str) -> Refusal:
    return Refusal(401, message, {"WWW-Authenticate": "Bearer"})
