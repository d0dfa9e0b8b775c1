"""The page for signing in, and the routes that set and take the cookie. Plain HTML: no script runs on it.

The cookie is the browser's alone (HttpOnly), is never sent on a visit from another site (SameSite=Strict),
and over https only where it was set over https. A form is taken only from a page of ours: the browser has to
say where it comes from. What was typed is never shown again.
"""

from html import escape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import BaseRoute, Route

from app.accounts.accounts import SignInFailed, TooManyAttempts
from app.errors import AttestError
from app.web.protocol import Accounts, Provider

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "web"
COOKIE = "attest_session"
TICKET = "attest_provider"  # of a sign-in that was begun at a provider
SIGN_IN, STYLE, SIGN_OUT = "/sign-in", "/sign-in/style.css", "/sign-out"
PROVIDER, PROVIDER_DONE = "/sign-in/provider", "/sign-in/provider/done"
OPEN = frozenset({SIGN_IN, STYLE, PROVIDER, PROVIDER_DONE, "/favicon.ico"})  # without a session
LARGEST_FORM = 8192  # bytes

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · Attest</title>
<link rel="icon" href="/favicon.ico">
<link rel="stylesheet" href="{style}">
</head>
<body>
<main>
<h1>Attest<span>answers from your own documents</span></h1>
{message}{elsewhere}<form method="post" action="{action}">
<label for="name">Name</label>
<input id="name" name="name" autocomplete="username" autocapitalize="none" spellcheck="false"
 maxlength="200" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="1000"
 required>
<button type="submit">Sign in</button>
</form>
</main>
</body>
</html>
"""
_ONWARD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=/">
<title>Signed in · Attest</title>
<link rel="stylesheet" href="{style}">
</head>
<body><main><h1>Attest</h1><p>You are signed in. <a href="/">Go on</a></p></main></body>
</html>
"""


def token_of(request: HTTPConnection) -> str | None:
    """What the browser's cookie says."""
    return request.cookies.get(COOKIE) or None


def sign_in_routes(accounts: Accounts, provider: Provider | None) -> list[BaseRoute]:
    """Signing in and out. provider: where else one can."""

    def page(message: str = "", status: int = 200, headers: dict[str, str] | None = None) -> HTMLResponse:
        return form_page(None if provider is None else provider.name, message, status, headers)

    async def show(request: Request) -> Response:
        if await run_in_threadpool(accounts.let_in, token_of(request)) is not None:
            return RedirectResponse("/", 303)
        return page()

    async def sign_in(request: Request) -> Response:
        form = await _form(request) if is_ours(request) else {}
        address = request.client.host if request.client is not None else ""
        try:
            name, password = form["name"], form["password"]
            token = await run_in_threadpool(accounts.sign_in, name, password, address)
        except KeyError:
            return page("Send the form of this page.", 401)
        except TooManyAttempts as error:
            return page(str(error), 429, {"Retry-After": str(error.seconds)})
        except SignInFailed as error:
            return page(str(error), 401)
        except AttestError as error:
            return page(str(error), 503)
        return let_go_on(request, RedirectResponse("/", 303), token)

    async def sign_out(request: Request) -> Response:
        token = token_of(request)
        if not is_ours(request):
            return page("Send the form of this page.", 401)
        if token is not None:
            await run_in_threadpool(accounts.sign_out, token)
        reply = RedirectResponse(SIGN_IN, 303, {"Clear-Site-Data": '"cache", "storage"'})
        reply.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return reply

    async def leave_for_provider(request: Request) -> Response:
        if provider is None:
            return PlainTextResponse("Not found.", 404)
        try:
            url, ticket = await run_in_threadpool(provider.begin)
        except AttestError as error:
            return page(str(error), 503)
        reply = RedirectResponse(url, 303, {"Cache-Control": "no-store"})
        # Lax: the provider sends the browser back, which is a visit from another site.
        secure = request.url.scheme == "https"
        reply.set_cookie(TICKET, ticket, 600, path=PROVIDER, httponly=True, samesite="lax", secure=secure)
        return reply

    async def back_from_provider(request: Request) -> Response:
        if provider is None:
            return PlainTextResponse("Not found.", 404)
        returned, ticket = dict(request.query_params), request.cookies.get(TICKET)
        try:
            vouched = await run_in_threadpool(provider.finish, ticket, returned)
            token = await run_in_threadpool(accounts.vouched_for, vouched.subject, vouched.email)
        except AttestError as error:
            reply: Response = page(str(error), 401)
        else:
            reply = let_go_on(request, onward(), token)
        reply.delete_cookie(TICKET, path=PROVIDER, httponly=True, samesite="lax")
        return reply

    def style(_: Request) -> Response:
        return FileResponse(ASSETS / "sign-in.css", media_type="text/css")

    return [
        Route(SIGN_IN, show),
        Route(SIGN_IN, sign_in, methods=["POST"]),
        Route(SIGN_OUT, sign_out, methods=["POST"]),
        Route(STYLE, style),
        Route(PROVIDER, leave_for_provider),
        Route(PROVIDER_DONE, back_from_provider),
    ]


def form_page(
    provider: str | None, message: str, status: int, headers: dict[str, str] | None
) -> HTMLResponse:
    """The form, with what went wrong before. provider: the name of where else one can sign in."""
    elsewhere = ""
    if provider is not None:
        link = f'<a class="elsewhere" href="{PROVIDER}">Sign in with {escape(provider)}</a>'
        elsewhere = f'{link}\n<p class="or">or</p>\n'
    said = f'<p class="problem" role="alert">{escape(message)}</p>\n' if message else ""
    html = _PAGE.format(style=STYLE, action=SIGN_IN, message=said, elsewhere=elsewhere)
    return HTMLResponse(html, status, {"Cache-Control": "no-store", **(headers or {})})


def onward() -> HTMLResponse:
    """A page that leads to the start: after a visit to another site, a redirect would come without cookie."""
    return HTMLResponse(_ONWARD.format(style=STYLE), headers={"Cache-Control": "no-store"})


def let_go_on(request: Request, reply: Response, token: str) -> Response:
    """The reply, with the session's cookie."""
    secure = request.url.scheme == "https"
    reply.set_cookie(COOKIE, token, path="/", httponly=True, samesite="strict", secure=secure)
    return reply


def is_ours(request: Request) -> bool:
    """Whether the browser says that the form is of a page of ours; who says nothing is not believed."""
    origin = request.headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
    return request.headers.get("sec-fetch-site") == "same-origin"


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small form; none of a large one."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_FORM:
            return {}
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}
