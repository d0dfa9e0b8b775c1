"""Collections, who may use them, documents, pages and jobs under /v1.

Bodies are those that the command line prints with `--json`. Nothing is parsed in a request: an upload answers
with the job that will do it.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, File, Form, HTTPException, Query, UploadFile
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, ConfigDict

from app.api.access import ROOM_FOR_FORM
from app.api.answers import DEFAULT_COLLECTION
from app.api.pictures import marked
from app.api.replies import Json
from app.api.text import Text
from app.errors import AttestError, NotFound, for_people
from app.library.file_names import safe_name
from app.library.views import DocumentListing, DocumentView
from app.service import Service
from ingest.limits import DEFAULT_LIMITS
from storage.grants import Role
from storage.records import CollectionRow, JobRow, Order, Profile, Receipt, Standing, VersionRow, Wanted
from storage.sharing import GrantRow

BINARY = {"type": "string", "format": "binary"}
LARGEST = 2**63 - 1  # that the database counts to

DocumentId = Annotated[str, InPath(max_length=64, description="as in lists")]
JobId = Annotated[int, InPath(ge=1, le=LARGEST)]
UserName = Annotated[str, InPath(max_length=64)]
Name = Annotated[str, Form(min_length=1, max_length=200)]


class NewCollection(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Text
    profile: Profile = "general"


@dataclass(frozen=True)
class CollectionList:
    collections: list[CollectionRow]


class NewGrant(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Role


@dataclass(frozen=True)
class GrantList:
    grants: list[GrantRow]


@dataclass(frozen=True)
class Accepted:
    """job_id: reads the document; of a duplicate, which may well be read already, the last one that did.

    status: duplicate if the same content is in the store already.
    """

    job_id: int | None
    document_id: str
    name: str
    collection: str
    status: Literal["queued", "duplicate"]


@dataclass(frozen=True)
class DocumentDetails(DocumentView):
    """With all that was found where the document was."""

    versions: tuple[VersionRow, ...] = ()


def collection_routes(service: Service) -> APIRouter:
    router = APIRouter(tags=["collections"])

    @router.get("/collections", response_model=CollectionList)
    def collections() -> Response:
        """All collections by name."""
        return Json(CollectionList(service.collections()))

    @router.post("/collections", response_model=CollectionRow, status_code=201)
    def add_collection(new: NewCollection) -> Response:
        """Make a collection."""
        return Json(service.add_collection(new.name, new.profile), 201)

    @router.get("/collections/{name:path}/grants", response_model=GrantList)
    def grants(name: str) -> Response:
        """Who may use a collection. For its owners."""
        return Json(GrantList(service.sharing.list(name)))

    @router.put("/collections/{name:path}/grants/{user}", response_model=GrantRow)
    def grant(name: str, user: UserName, new: NewGrant) -> Response:
        """Let a user into a collection, or change their role there. For its owners."""
        return Json(service.sharing.grant(user, name, new.role))

    @router.delete("/collections/{name:path}/grants/{user}", response_model=GrantRow)
    def revoke(name: str, user: UserName) -> Response:
        """Shut a user out of a collection at once, and say what they were. For its owners."""
        return Json(service.sharing.revoke(user, name))

    return router


def document_routes(service: Service, largest_file: int = DEFAULT_LIMITS.file_bytes) -> APIRouter:
    router = APIRouter(tags=["documents"])

    @router.get("/documents", response_model=DocumentListing)
    def documents(
        collection: Annotated[str, Query(min_length=1)],
        first: Annotated[int, Query(ge=0, le=LARGEST)] = 0,
        count: Annotated[int, Query(ge=1, le=1000)] = 100,
        text: Annotated[str, Query(max_length=200, description="in the name or title")] = "",
        standing: Annotated[Standing | None, Query()] = None,
        order: Annotated[Order, Query(description="added: worked on first, then the newest")] = "added",
        turned: Annotated[bool, Query(description="the other way round")] = False,
    ) -> Response:
        """A page of a collection's documents."""
        wanted = Wanted(text, standing, order, turned)
        return Json(service.document_listing(collection, first, count, wanted))

    @router.post(
        "/documents",
        response_model=Accepted,
        status_code=202,
        max_body_size=largest_file + ROOM_FOR_FORM,
    )
    def add_document(
        file: Annotated[UploadFile, File(description="a document of any kind that is read")],
        collection: Name = DEFAULT_COLLECTION,
        profile: Annotated[Profile | None, Form(description="of the collection, if it is new")] = None,
    ) -> Response:
        """Take a document in and answer at once; the job, and then the document, say how far it is."""
        with tempfile.TemporaryDirectory(prefix="attest-upload-") as folder:
            path = Path(folder) / safe_name(file.filename or "")
            with path.open("xb") as kept:
                shutil.copyfileobj(file.file, kept)
            if not path.stat().st_size:
                raise AttestError(f"{path.name}: the file is empty")
            (added,) = service.add_documents([path], collection, profile)
        if added.document_id is None or added.status == "failed":
            raise AttestError(added.error or f"{path.name} cannot be taken in")
        with for_people():
            job = service.store.jobs.newest(added.document_id, "ingest")
        accepted = Accepted(
            None if job is None else job.id,
            added.document_id,
            path.name,
            collection.strip(),
            "duplicate" if added.status == "duplicate" else "queued",
        )
        return Json(accepted, 202, {} if job is None else {"Location": f"/v1/jobs/{job.id}"})

    @router.get("/documents/{document_id}", response_model=DocumentDetails)
    def document(document_id: DocumentId) -> Response:
        """A document, how far it is, and its versions."""
        row = service.document(document_id)
        return Json({**vars(row), "versions": service.versions(document_id)})

    @router.delete("/documents/{document_id}", response_model=Receipt)
    def delete_document(document_id: DocumentId) -> Response:
        """Delete a document with everything made of it, and say what that was."""
        return Json(service.delete_document(document_id))

    @router.get(
        "/documents/{document_id}/original",
        response_class=FileResponse,
        responses={200: {"content": {"application/octet-stream": {"schema": BINARY}}}},
    )
    def original(document_id: DocumentId) -> Response:
        """The file as it was given, always as a download."""
        file = service.original(document_id)
        return FileResponse(
            file.path,
            media_type="application/octet-stream",
            filename=file.name.encode(errors="replace").decode(),
            headers={"Cache-Control": "private, no-store"},
        )

    @router.get(
        "/documents/{document_id}/pages/{page}.png",
        response_class=Response,
        responses={200: {"content": {"image/png": {"schema": BINARY}}}},
    )
    def page_image(
        document_id: DocumentId,
        page: Annotated[int, InPath(ge=1, le=LARGEST)],
        highlight: Annotated[
            str | None,
            Query(
                max_length=4000,
                pattern=r"^[0-9]{1,9}-[0-9]{1,9}(,[0-9]{1,9}-[0-9]{1,9})*$",
                description="start-end,...: characters of the page's text to mark, as citations count them",
            ),
        ] = None,
        width: Annotated[int, Query(ge=64, le=2400, description="pixels")] = 1240,
    ) -> Response:
        """The picture of a page. 404 too where a format has none."""
        try:
            png = service.page_png(document_id, page, width)
        except NotFound:
            raise
        except AttestError as error:
            raise HTTPException(404, str(error)) from error
        if highlight is not None:
            spans = [
                (int(start), int(end)) for start, end in (each.split("-") for each in highlight.split(","))
            ]
            rectangles = service.rectangles(document_id, page, spans)
            png = marked(
                png,
                [box for found in rectangles for box in found],
                service.page_view(document_id, page).width,
            )
        return Response(png, media_type="image/png", headers={"Cache-Control": "private, max-age=300"})

    return router


def job_routes(service: Service) -> APIRouter:
    router = APIRouter(tags=["jobs"])

    @router.get("/jobs/{job_id}", response_model=JobRow)
    def job(job_id: JobId) -> Response:
        """How far a job is."""
        with for_people():
            return Json(service.store.jobs.get(job_id))

    @router.delete("/jobs/{job_id}", response_model=JobRow)
    def cancel_job(job_id: JobId) -> Response:
        """Cancel a queued job, or ask a running one to stop; one that has ended stays as it is."""
        with for_people():
            return Json(service.store.jobs.cancel(job_id))

    return router
