"""The scripts and styles that Gradio brings: packed once, kept in memory, and kept for good by the browser.

A page needs some sixty of them, and a crowd that comes at once needs them all at once. Their names hold a
hash of their content, so what was fetched under one need never be fetched again.
"""

import gzip
import mimetypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

PACKED = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}  # fonts are packed already
FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}


def asset_route() -> Route:
    """The route of the files in Gradio's folder, which is found without importing Gradio."""
    spec = find_spec("gradio")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "templates" / "frontend" / "assets"
    files = {path.name: path for path in folder.iterdir() if path.is_file()}

    @cache
    def read(name: str, packed: bool) -> bytes:
        content = files[name].read_bytes()
        return gzip.compress(content, mtime=0) if packed else content

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in files:
            return PlainTextResponse("Not found.", status_code=404)
        suffix = Path(name).suffix
        kind = PACKED.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        packed = suffix in PACKED and "gzip" in request.headers.get("accept-encoding", "")
        encoding = {"Content-Encoding": "gzip"} if packed else {}
        return Response(read(name, packed), media_type=kind, headers={**FOR_GOOD, **encoding})

    return Route("/assets/{name}", asset)
