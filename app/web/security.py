"""What the server refuses, and the headers that tell a browser to refuse more.

The page shows confidential documents on a loopback address, so: only known Host names (a foreign site
cannot rebind its name to this machine), no writes that come from another origin (and under /v1 nothing at
all that does), no large bodies but uploads, none of Gradio's routes that fetch from elsewhere, and a content
security policy without any outside origin. Gradio compiles its HTML templates in the browser and sets styles
inline, hence 'unsafe-eval' and inline styles; inline scripts run only with the nonce of their own response,
and inline event handlers never.
"""

import re
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
UPLOAD = "/gradio_api/upload"  # has a limit of its own
LARGEST_BODY = 4 * 2**20  # bytes of what the page sends otherwise
# Routes of Gradio that this page does not use: they fetch outside addresses, or show what others did or sent.
UNUSED_ROUTES = re.compile(
    r"/+(gradio_api/+(proxy=|file[=/]|deep_link|dev/|vibe|undo-vibe|run-history|runs|openapi\.json"
    r"|process_recording|profiling|custom_component)|monitoring|svelte/|manifest\.json|pwa_icon)",
    re.IGNORECASE,
)
_SCRIPT = re.compile(rb"<script(?=[\s>])")

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def page_policy(nonce: str) -> str:
    """The content security policy of an HTML page."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'",
            "script-src-attr 'none'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self'",
            "connect-src 'self'",
            "manifest-src 'self'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


class Guard:
    """ASGI middleware that holds the rules above.

    hosts: accepted names of the Host header, without port; "*" accepts all (behind a proxy that checks).
    first_script: its address; it runs before all others of the page at /, which are Gradio's.
    """

    def __init__(
        self, app: ASGIApp, hosts: Sequence[str] = LOOPBACK_HOSTS, first_script: str | None = None
    ) -> None:
        self.app = app
        self.hosts = {host.lower() for host in hosts}
        self.first_script = first_script

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        dressed = _Dresser(send, self.first_script if scope["path"] == "/" else None)
        if "*" not in self.hosts and host_name(headers.get("host", "")) not in self.hosts:
            refusal = _refusal(scope, "This address is not served here.", 400)
            await refusal(scope, receive, dressed.send)
        elif (scope.get("method") not in SAFE_METHODS or _is_api(scope)) and _is_foreign(headers):
            refusal = _refusal(scope, "Requests from other sites are refused.", 403)
            await refusal(scope, receive, dressed.send)
        elif not _is_api(scope) and scope["path"] != UPLOAD and _is_large(headers):
            await PlainTextResponse("Too large.", status_code=413)(scope, receive, dressed.send)
        elif UNUSED_ROUTES.match(scope["path"]):
            await PlainTextResponse("Not found.", status_code=404)(scope, receive, dressed.send)
        else:
            # The page itself must arrive uncompressed, so that its scripts can be given their nonce.
            if scope["path"] == "/":
                kept = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
                scope = {**scope, "headers": kept}
            await self.app(scope, receive, dressed.send)


class _Dresser:
    """Adds headers to one response; holds back an HTML body until its scripts carry the nonce."""

    def __init__(self, send: Send, first_script: str | None) -> None:
        self._send = send
        self._first = "" if first_script is None else f'<script src="{first_script}"></script>'
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _ALWAYS.items():
                headers[name] = value
            if headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers:
                headers["Referrer-Policy"] = "same-origin"  # or a form of ours would not say where it is from
                self._start = message
                return
            headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
        elif message["type"] == "http.response.body" and self._start is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_page(self._start)
            return
        await self._send(message)

    async def _send_page(self, start: Message) -> None:
        nonce = secrets.token_urlsafe(18)
        body = self._body.replace(b"<head>", b"<head>" + self._first.encode(), 1)
        body = _SCRIPT.sub(b'<script nonce="%s"' % nonce.encode(), body)
        headers = MutableHeaders(scope=start)
        headers["Content-Security-Policy"] = page_policy(nonce)
        headers["Cache-Control"] = "no-store"
        if self._body:
            headers["Content-Length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def host_name(header: str) -> str:
    """The name in a Host header, lower case, without its port: "[::1]:80" is "[::1]"."""
    header = header.strip().lower()
    if header.startswith("["):
        return header[: header.find("]") + 1]
    return header.rsplit(":", 1)[0] if ":" in header else header


def _is_api(scope: Scope) -> bool:
    return bool(scope["path"].startswith("/v1/"))


def _is_large(headers: Headers) -> bool:
    """Whether a body is too large, or does not say how large it is."""
    announced = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not announced.isdecimal():
        return True
    return int(announced) > LARGEST_BODY


def _refusal(scope: Scope, message: str, status: int) -> Response:
    if _is_api(scope):
        return JSONResponse({"error": {"message": message, "type": "refused"}}, status)
    return PlainTextResponse(message, status)


def _is_foreign(headers: Headers) -> bool:
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
