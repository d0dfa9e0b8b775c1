"""The window's own door: nothing of its server is reached without the secret of this run.

A loopback port can be reached by every program and every person of this machine, and the page behind it shows
confidential documents. So the window opens one address that works once (`entrance`) and is given a cookie
there; whatever is asked without that cookie is answered 404, as if nothing were here. The other way in is a
knock, which shows nothing: who has the home folder's secret may bring the window forward (`instance.py`).

Stands in front of the whole application and knows none of its routes. Keys of programs do not open it: they
are for `attest serve`.
"""

import hmac
import secrets
from collections.abc import Callable

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "attest-window"
ENTER = "/window/"
KNOCK = "/knock"
_QUIET = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}


class Door:
    """ASGI middleware. knocked: called for a knock, in the server's thread; False if the window is closed."""

    def __init__(self, app: ASGIApp, knocked: Callable[[], bool]) -> None:
        self._app = app
        self._knocked = knocked
        self._cookie = secrets.token_urlsafe(32)
        self._ticket: str | None = secrets.token_urlsafe(32)
        self.entrance = ENTER + self._ticket
        self.knock_secret = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):  # the application's start and end
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        if _same(request.cookies.get(COOKIE), self._cookie):
            await self._app(scope, receive, send)
        else:
            await self._answer(request)(scope, receive, send)

    def _answer(self, request: HTTPConnection) -> Response:
        method, path = request.scope.get("method"), request.scope["path"]
        if method == "GET" and _same(path.removeprefix(ENTER), self._ticket):
            self._ticket = None
            entered = RedirectResponse("/", status_code=303, headers=_QUIET)
            entered.set_cookie(COOKIE, self._cookie, path="/", httponly=True, samesite="strict")
            return entered
        if method == "POST" and path == KNOCK:
            scheme, _, secret = request.headers.get("authorization", "").partition(" ")
            if scheme == "Bearer" and _same(secret, self.knock_secret) and self._knocked():
                return Response(status_code=204, headers=_QUIET)
        return PlainTextResponse("Not found.", status_code=404, headers=_QUIET)


def _same(given: str | None, secret: str | None) -> bool:
    if given is None or secret is None:
        return False
    return hmac.compare_digest(given.encode(), secret.encode())
