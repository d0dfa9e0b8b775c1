"""Collections, documents, pages and jobs over HTTP."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from starlette.applications import Starlette

from app.api.pictures import MARKER
from app.api.server import api_routes
from app.library.file_names import LONGEST_NAME
from app.service import Service
from tests.app.api.conftest import local_client
from tests.app.conftest import LEASE, attest, drain


def upload(client: TestClient, name: str = "lease.md", content: Any = LEASE, **fields: str) -> Any:
    return client.post("/v1/documents", files={"file": (name, content)}, data=fields)


def error(reply: Any) -> tuple[int, str]:
    """Status and kind; the shape is the same for all."""
    (content,) = reply.json().values()
    assert set(reply.json()) == {"error"}
    assert set(content) == {"message", "type"}
    assert content["message"]
    return reply.status_code, content["type"]


def test_a_document_goes_its_way(client: TestClient, ready: Service) -> None:
    made = client.post("/v1/collections", json={"name": "Leases", "profile": "legal"})
    assert (made.status_code, made.json()["profile"]) == (201, "legal")
    taken = upload(client, collection="Leases")
    assert taken.status_code == 202
    accepted = taken.json()
    assert accepted["status"] == "queued"
    assert taken.headers["location"] == f"/v1/jobs/{accepted['job_id']}"
    job = client.get(taken.headers["location"]).json()
    assert (job["status"], job["document_id"]) == ("queued", accepted["document_id"])
    drain(ready)
    assert client.get(taken.headers["location"]).json()["status"] == "done"
    document = client.get(f"/v1/documents/{accepted['document_id']}").json()
    assert (document["name"], document["status"], document["versions"]) == ("lease.md", "ready", [])
    listed = client.get("/v1/documents", params={"collection": "Leases"}).json()
    assert [each["document_id"] for each in listed["documents"]] == [accepted["document_id"]]
    assert (listed["total"], listed["askable"], listed["busy"]) == (1, 1, 0)
    (collection,) = client.get("/v1/collections").json()["collections"]
    assert (collection["name"], collection["documents"]) == ("Leases", 1)
    receipt = client.delete(f"/v1/documents/{accepted['document_id']}").json()
    assert receipt["document_id"] == accepted["document_id"]
    assert receipt["memories"] == document["memories"] > 0
    assert error(client.get(f"/v1/documents/{accepted['document_id']}")) == (404, "not_found")
    assert error(client.get(taken.headers["location"])) == (404, "not_found")


@pytest.mark.usefixtures("fake_model")
def test_bodies_are_those_of_the_command_line(client: TestClient, filled: list[str]) -> None:
    assert client.get("/v1/collections").json() == attest("collections", "list", "--json").json
    for document_id in filled:
        shown = attest("documents", "show", document_id, "--json").json
        assert client.get(f"/v1/documents/{document_id}").json() == shown
    assert client.get("/v1/jobs/1").json() == attest("jobs", "show", "1", "--json").json


def test_an_upload_that_is_there_already_names_the_job_that_read_it(
    client: TestClient, filled: list[str]
) -> None:
    again = upload(client, "another name.md", LEASE, collection="New")
    assert again.status_code == 202
    assert (again.json()["status"], again.json()["document_id"]) == ("duplicate", filled[0])
    assert client.get(f"/v1/jobs/{again.json()['job_id']}").json()["status"] == "done"
    assert client.get("/v1/documents", params={"collection": "New"}).json()["total"] == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd.md", "passwd.md"),
        ("C:\\Users\\x\\a.md", "a.md"),
        ("n" * 300 + ".md", "n" * (LONGEST_NAME - 3) + ".md"),
        ("..", "document"),
    ],
)
def test_names_of_uploads_are_made_safe(client: TestClient, given: str, kept: str) -> None:
    assert upload(client, given).json()["name"] == kept


def test_a_job_is_cancelled(client: TestClient) -> None:
    job_id = upload(client).json()["job_id"]
    assert client.delete(f"/v1/jobs/{job_id}").json()["status"] == "cancelled"
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 200


def test_uploads_that_are_refused(client: TestClient) -> None:
    assert error(upload(client, content=b"")) == (422, "invalid_request")
    assert error(upload(client, collection=" ")) == (422, "invalid_request")
    assert error(upload(client, profile="poetry")) == (422, "invalid_request")
    assert error(client.post("/v1/documents", json={"file": "x"})) == (415, "unsupported_media_type")
    assert error(client.post("/v1/documents", data={"file": "x"})) == (415, "unsupported_media_type")
    two = client.post("/v1/documents", files=[("file", ("a.md", "a")), ("file", ("b.md", "b"))])
    assert two.status_code == 400
    assert client.get("/v1/collections").json() == {"collections": []}


def test_what_is_too_large_is_refused_whether_or_not_it_says_so(ready: Service) -> None:
    with local_client(Starlette(routes=api_routes(ready, largest_file=1000))) as client:
        room = 2**20
        assert upload(client, content=b"x" * 2000).status_code == 202  # a form has room around its file
        said = upload(client, content=b"x" * (room + 2000))
        assert error(said) == (413, "too_large")
        boundary = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.md"\r\n\r\n'

        def pieces() -> Iterator[bytes]:
            yield boundary
            for _ in range(20):
                yield b"x" * 100_000
            yield b"\r\n--b--\r\n"

        unsaid = client.post(
            "/v1/documents",
            content=pieces(),
            headers={"content-type": "multipart/form-data; boundary=b"},
        )
        assert error(unsaid) == (413, "too_large")
        long = client.post("/v1/answers", json={"question": "x" * 5_000_000})
        assert error(long) == (413, "too_large")


def test_what_is_not_there(client: TestClient, filled: list[str]) -> None:
    for path in (
        "/v1/documents/nothing",
        "/v1/documents/nothing/original",
        "/v1/documents/nothing/pages/1.png",
        f"/v1/documents/{filled[1]}/pages/3.png",
        f"/v1/documents/{filled[0]}/pages/1.png",  # Markdown has no pictures
        "/v1/documents?collection=nothing",
        "/v1/jobs/999",
        "/v1/nothing",
        "/v1/",
    ):
        assert error(client.get(path)) == (404, "not_found"), path
    assert error(client.put("/v1/collections")) == (405, "method_not_allowed")
    assert error(client.delete("/v1/jobs/999")) == (404, "not_found")


def test_what_is_not_valid(client: TestClient, filled: list[str]) -> None:
    pages = f"/v1/documents/{filled[1]}/pages"
    for path in (
        f"{pages}/0.png",
        f"{pages}/{2**63}.png",
        f"{pages}/1.png?width=10",
        f"{pages}/1.png?highlight=1",
        f"{pages}/1.png?highlight=-1-2",
        "/v1/jobs/0",
        f"/v1/jobs/{2**63}",
        "/v1/jobs/one",
        "/v1/documents",
        f"/v1/documents?collection=default&first={2**63}",
    ):
        assert error(client.get(path)) == (422, "invalid_request"), path
    assert error(client.post("/v1/collections", json={"name": "default"})) == (409, "already_there")
    for body in ({}, {"name": ""}, {"name": "a", "profile": "b"}, {"name": "a", "more": 1}, [], {"name": 1}):
        assert error(client.post("/v1/collections", json=body)) == (422, "invalid_request"), body
    as_json = {"content-type": "application/json"}
    for raw in (b"{", b'{"name": "\\ud800"}', b""):
        assert error(client.post("/v1/collections", content=raw, headers=as_json))[0] == 422, raw
    assert error(client.post("/v1/collections", content=b"\xff", headers=as_json))[0] == 400
    assert error(client.post("/v1/collections", content=b'{"name": "a"}'))[0] == 415


def picture(client: TestClient, path: str) -> Any:
    reply = client.get(path)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/png")
    return np.asarray(Image.open(io.BytesIO(reply.content)).convert("RGB")).astype(int)


def test_passages_are_marked_where_they_stand(client: TestClient, ready: Service, filled: list[str]) -> None:
    path = f"/v1/documents/{filled[1]}/pages/1.png"
    plain = picture(client, f"{path}?width=612")
    text = ready.page_view(filled[1], 1).text
    start = text.index("turbine")
    marked = picture(client, f"{path}?width=612&highlight={start}-{start + 7},{len(text)}-999999")
    rows, columns = np.nonzero((plain != marked).any(axis=2))
    ((box,),) = ready.rectangles(filled[1], 1, [(start, start + 7)])
    found = (columns.min(), rows.min(), columns.max(), rows.max())
    assert found == pytest.approx(box, abs=1.5)  # 612 pixels are 612 points
    inside = marked[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].reshape(-1, 3)
    assert (inside == MARKER).all(axis=1).any()
    assert (inside.sum(axis=1) < 200).any()  # the letters are still dark
    assert (picture(client, f"{path}?width=612") == plain).all()  # the kept picture has no marks


def test_the_original_is_a_download(client: TestClient, ready: Service, tmp_path: Path) -> None:
    document_id = upload(client, 'a"<b>.html', "<script>x</script>").json()["document_id"]
    reply = client.get(f"/v1/documents/{document_id}/original")
    assert reply.content == b"<script>x</script>"
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-disposition"].startswith("attachment")


def test_a_fault_of_ours_is_told_as_one(
    client: TestClient, ready: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("secret words of a document")

    monkeypatch.setattr(ready, "collections", broken)
    reply = client.get("/v1/collections")
    assert error(reply) == (500, "failed")
    assert "secret" not in reply.text
