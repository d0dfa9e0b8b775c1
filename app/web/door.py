"""The door of the page: who has no session gets no further than the page for signing in.

Without users everybody is the local one. With them, everything but signing in takes a session: the page, its
files, and all of Gradio's own routes (queue, uploads, static files). The programs' door is `app.api.access`.
What lies behind works for whoever was let in (`app.accounts.acting`).
"""

from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.accounts.acting import acting_for
from app.errors import AttestError
from app.web.protocol import Accounts
from app.web.signing_in import OPEN, SIGN_IN, token_of
from app.web.tabs import Tabs

PROGRAMS = "/v1"
EVENTS = "/gradio_api/queue/data"  # of one tab, which its address names


class Door:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, accounts: Accounts, tabs: Tabs) -> None:
        self._app, self._accounts, self._tabs = app, accounts, tabs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] not in ("http", "websocket") or path == PROGRAMS or path.startswith(f"{PROGRAMS}/"):
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        try:
            viewer = await run_in_threadpool(self._accounts.let_in, token_of(request))
        except AttestError as error:
            await _refuse(scope, PlainTextResponse(str(error), 503), receive, send)
            return
        if viewer is None and path not in OPEN:
            await _refuse(scope, _outside(scope), receive, send)
        elif viewer is not None and path == EVENTS and not self._tabs.belongs(_tab(scope), viewer):
            await _refuse(scope, PlainTextResponse("Not found.", 404), receive, send)
        elif viewer is None:
            await self._app(scope, receive, send)
        else:
            scope["state"] = {**scope.get("state", {}), "viewer": viewer}
            with acting_for(viewer):
                await self._app(scope, receive, _private(send) if viewer.user is not None else send)


def _outside(scope: Scope) -> Response:
    if scope["type"] == "http" and scope["path"] == "/" and scope["method"] in ("GET", "HEAD"):
        return RedirectResponse(SIGN_IN, 303, {"Cache-Control": "no-store"})
    return PlainTextResponse("Sign in first.", 401, {"Cache-Control": "no-store"})


async def _refuse(scope: Scope, reply: Response, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await reply(scope, receive, send)


def _private(send: Send) -> Send:
    """What a browser keeps of one user's page it must not show to the next."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"vary", b"Cookie")]}
        await send(message)

    return sent


def _tab(scope: Scope) -> str:
    query = parse_qs(bytes(scope["query_string"]).decode("latin-1"))
    return query.get("session_hash", [""])[0]
