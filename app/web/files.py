"""Page images, originals and reports for the page, and the health check. Programs have `app.api`.

Images may be kept by the reader's own browser only; originals and reports always come as downloads
of an unknown type, so that no document is ever run in the page's origin.
"""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from app.errors import AttestError
from app.evidence.report import report_name, report_of
from app.web.protocol import Service


def file_routes(service: Service) -> APIRouter:
    """Routes of the files behind citations. A failing service answers 404 with its own message."""
    router = APIRouter()

    @router.get("/page/documents/{document_id}/pages/{page}.png")
    def page_image(
        document_id: str,
        page: Annotated[int, InPath(ge=1, le=2**31)],
        width: Annotated[int, Query(ge=64, le=2400)] = 1240,
    ) -> Response:
        try:
            image = service.page_png(document_id, page, width)
        except AttestError as problem:
            return PlainTextResponse(str(problem), status_code=404)
        return Response(image, media_type="image/png", headers={"Cache-Control": "private, max-age=300"})

    @router.get("/page/documents/{document_id}/original")
    def original(document_id: str) -> Response:
        try:
            file = service.original(document_id)
        except AttestError as problem:
            return PlainTextResponse(str(problem), status_code=404)
        return FileResponse(
            file.path,
            media_type="application/octet-stream",
            filename=file.name,
            content_disposition_type="attachment",
            headers={"Cache-Control": "private, no-store"},
        )

    @router.get("/page/answers/{answer_id}/report")
    def report(answer_id: int) -> Response:
        try:
            html = report_of(service, answer_id)
        except AttestError as problem:
            return PlainTextResponse(str(problem), status_code=404)
        headers = {
            "Content-Disposition": f'attachment; filename="{report_name(answer_id)}"',
            "Cache-Control": "private, no-store",
        }
        return Response(html, media_type="application/octet-stream", headers=headers)

    @router.get("/page/ratings.zip")
    def ratings() -> Response:
        try:
            content = service.ratings()
        except AttestError as problem:
            return PlainTextResponse(str(problem), status_code=404)
        headers = {
            "Content-Disposition": 'attachment; filename="attest-ratings.zip"',
            "Cache-Control": "private, no-store",
        }
        return Response(content, media_type="application/octet-stream", headers=headers)

    @router.get("/healthz")
    def health() -> Response:
        engine, worker = service.engine_status(), service.worker_status()
        return JSONResponse({"status": "ok", "engine_ready": engine.ready, "worker_alive": worker.alive})

    return router
