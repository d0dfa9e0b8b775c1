"""The application that uvicorn serves: the page at /, the files behind citations, guard and door around."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from app.accounts.acting import for_whoever_asks
from app.web.assets import asset_route
from app.web.door import Door
from app.web.files import file_routes
from app.web.gradio_import import import_gradio
from app.web.protocol import Service
from app.web.security import LOOPBACK_HOSTS, Guard
from app.web.signing_in import sign_in_routes
from app.web.tabs import Tabs
from ingest.limits import DEFAULT_LIMITS

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "web"
SCRIPTS = ("asking.js", "attest.js")  # before all others of the page, and after them


def build_app(
    service: Service,
    *,
    routes: Sequence[BaseRoute] = (),
    allowed_hosts: Sequence[str] = LOOPBACK_HOSTS,
    upload_folder: Path | None = None,
    largest_file: int = DEFAULT_LIMITS.file_bytes,
) -> FastAPI:
    """Build the web application around `service`.

    routes: more of them, which go before the page's and behind the same guard (`app.api`).
    allowed_hosts: accepted Host names without port, IPv6 in brackets; "*" accepts all.
    upload_folder: where a private folder is made in which files rest between the browser and the store
        (by default the system's temporary folder). It is removed when the application ends.
    largest_file: bytes of one that is uploaded.
    """
    folder = Path(tempfile.mkdtemp(prefix="attest-uploads-", dir=upload_folder))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # read by every component when it is made

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        shutil.rmtree(folder, ignore_errors=True)

    # No /docs here: FastAPI's page loads its scripts from a content delivery network.
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        telemetry={"auto_configure": False},
    )
    tabs, seen = Tabs(), for_whoever_asks(service)
    app.router.routes.extend(routes)
    app.router.routes.extend(sign_in_routes(service.accounts, service.provider))
    app.include_router(file_routes(seen))
    app.router.routes.append(asset_route())

    for script in SCRIPTS:
        app.router.routes.append(Route(f"/page/{script}", partial(_script, script)))

    @app.get("/favicon.ico", include_in_schema=False)
    def icon() -> FileResponse:
        return FileResponse(ASSETS / "attest.svg", media_type="image/svg+xml")

    _in_a_loop(lambda: _mount_page(app, seen, tabs, largest_file))
    app.add_middleware(Door, accounts=service.accounts, tabs=tabs)
    app.add_middleware(Guard, hosts=tuple(allowed_hosts), first_script=f"/page/{SCRIPTS[0]}")
    return app


def _mount_page(app: FastAPI, service: Service, tabs: Tabs, largest_file: int) -> None:
    """Put the page at /; Gradio is first imported here, after its folder is known.

    service: as whoever asks sees it.
    """
    import_gradio()
    import gradio as gr

    from app.web.handlers import work_for_whoever_asks
    from app.web.page import build_page
    from app.web.theme import reading_room

    page = build_page(service)
    work_for_whoever_asks(page, tabs)
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        max_file_size=largest_file,
        mcp_server=False,
        pwa=False,
        show_error=False,
        theme=reading_room(),
        css_paths=[ASSETS / "attest.css"],
        head=f'<script src="/page/{SCRIPTS[1]}" defer></script>',
    )


async def _script(name: str, _: Request) -> FileResponse:
    return FileResponse(ASSETS / name, media_type="text/javascript", headers={"Cache-Control": "no-cache"})


def _in_a_loop(build: Callable[[], None]) -> None:
    """Run `build` inside an event loop: Gradio opens one for each of its locks where none runs."""

    async def build_inside() -> None:
        build()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(build_inside())
    else:
        build()
