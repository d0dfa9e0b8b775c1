"""Who may call /v1: programs of this machine until the first key is made, from then on whoever has a key.

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

from app.api.replies import Json, error_reply
from app.errors import AttestError, Unavailable, for_people
from app.keys import digest_of
from app.web.security import LOOPBACK_HOSTS, SAFE_METHODS, host_name
from storage.keys import KeyRow, Scope
from storage.store import Store

PREFIX = "/v1"
LOCAL = "programs of this machine"  # who asks, where no key is needed
LARGEST_BODY = 4 * 2**20  # bytes of what is not an upload
ROOM_FOR_FORM = 2**20  # bytes that a form takes around its file
_ASKING = ("/answers", "/chat/completions")


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

    def __init__(self, app: ASGIApp, store: Store, largest_file: int) -> None:
        self._app, self._store = app, store
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
        refusal = client if isinstance(client, Refusal) else self._too_large(request, path)
        if refusal is not None:
            await refusal.reply()(scope, receive, send)
            return
        scope["state"] = {**scope.get("state", {}), "client": client}
        await self._app(scope, receive, send)

    def _admit(self, request: Request, path: str) -> str | Refusal:
        """Who asks, or why not."""
        secret = _bearer(request.headers)
        with for_people():
            demanded, key = self._store.keys.of_digest(None if secret is None else digest_of(secret))
        if not demanded:
            if _is_local(request):
                return LOCAL
            return _no_key("from another machine this address takes a key; make one with `attest keys add`")
        if key is None:
            return _no_key("this address takes a key: `Authorization: Bearer ...`; see `attest keys list`")
        needed = scope_of(request.method, path)
        if needed not in key.scopes:
            message = f"the key {key.name!r} lacks the scope {needed!r}, which this takes"
            return Refusal(403, message, {})
        return self._counted(key)

    def _counted(self, key: KeyRow) -> str | Refusal:
        limit, name = RateLimitItemPerMinute(key.per_minute), f"key {key.id}"
        if self._limiter.hit(limit, name):
            return name
        seconds = max(1, math.ceil(self._limiter.get_window_stats(limit, name).reset_time - time.time()))
        message = f"the key {key.name!r} may make {key.per_minute} requests a minute; wait {seconds} s"
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
