"""The application under /v1, and the routes that the page's server puts before the page."""

import re
from importlib import metadata, resources
from pathlib import Path

from fastapi import Depends, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.security import HTTPBearer
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from app.accounts.acting import for_whoever_asks
from app.api.access import LARGEST_BODY, PREFIX, Access
from app.api.answers import answer_routes
from app.api.chat import chat_routes
from app.api.library import collection_routes, document_routes, job_routes
from app.api.replies import ErrorReply, Json, add_handlers
from app.api.streaming import Answers
from app.service import Service
from ingest.limits import DEFAULT_LIMITS

DESCRIPTION = (
    "Ask your own documents, and get answers with citations to page and passage. Without any key, programs "
    "of this machine may call everything; from the first `attest keys add` on, everything takes a key with "
    "the scope that it names: `read`, `ask` or `write`. With users (`attest users add`) a key opens what its "
    "user may see: the rest answers 404, and 403 where a reader writes."
)
_STATUSES = {
    400: "malformed",
    401: "a key is needed",
    403: "the key lacks the scope, or its user the role",
    404: "what is named is not there",
    409: "not possible as things are",
    413: "too large",
    415: "another media type is needed",
    422: "the request is not valid",
    429: "too many requests of this key",
    503: "not to be had yet: the model is loading, or the store is busy",
}


def build_api(service: Service, largest_file: int = DEFAULT_LIMITS.file_bytes) -> FastAPI:
    """Everything under /v1 but the question who may call it, which is `Access`'s.

    service: as whoever asks sees it. largest_file: bytes of an upload.
    """
    answers = Answers()

    api = FastAPI(
        title="Attest",
        version=metadata.version("attest-assistant"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        servers=[{"url": PREFIX}],
        redirect_slashes=False,
        max_body_size=LARGEST_BODY,
        form_limits={"max_files": 1, "max_fields": 10, "max_part_size": 10_000},
        telemetry={"auto_configure": False},
        dependencies=[Depends(HTTPBearer(auto_error=False, description="a key of `attest keys add`"))],
        responses={
            status: {"model": ErrorReply, "description": words} for status, words in _STATUSES.items()
        },
    )
    add_handlers(api)
    for router in (
        collection_routes(service),
        document_routes(service, largest_file),
        job_routes(service),
        answer_routes(service, answers),
        chat_routes(service, answers),
    ):
        api.include_router(router)
    return api


def api_routes(service: Service, largest_file: int = DEFAULT_LIMITS.file_bytes) -> list[BaseRoute]:
    """/v1, and its description at /docs and /openapi.json, which name nothing that is anybody's."""
    api = build_api(for_whoever_asks(service), largest_file)

    def described(_: Request) -> Response:
        return Json(api.openapi())

    def docs(_: Request) -> Response:
        page = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Attest's API",
            swagger_js_url="/docs/files/swagger-ui-bundle.js",
            swagger_css_url="/docs/files/swagger-ui.css",
            swagger_favicon_url="/favicon.ico",
            swagger_ui_parameters={"validatorUrl": None},
        )
        page.body = bytes(page.body).replace(b"<html>", b'<html lang="en">', 1)  # for who hears it read
        page.headers["content-length"] = str(len(page.body))
        return page

    mount = Mount(PREFIX, Access(api, service, largest_file))
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)  # or a newline in a path leads past it
    files = Path(str(resources.files("fastapi_swagger") / "resources"))
    return [
        mount,
        Route("/openapi.json", described),
        Route("/docs", docs),
        Mount("/docs/files", StaticFiles(directory=files)),
    ]
