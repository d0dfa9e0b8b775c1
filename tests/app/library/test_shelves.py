"""Documents and collections kept in order, by the service and the command line."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import AlreadyThere, AttestError, DocumentGone
from app.library.forecast import forecast
from app.service import Service
from storage.records import Wanted
from tests.app.conftest import DOSE, LEASE, LONG, add, answer, attest, drain
from tests.ingest.test_unlocking import locked

pytestmark = pytest.mark.usefixtures("fake_model")

Keep = Callable[[str, bytes | str], Path]
SECRET = "tuna-7-fish"


def test_a_new_name_keeps_its_ending_and_is_cited(service: Service, filled: list[str]) -> None:
    assert service.shelves.rename(filled[0], "  Harbour   Row ") == "Harbour Row.md"
    assert service.shelves.rename(filled[1], "Turbine.PDF") == "Turbine.PDF"
    cited = answer(service, "How can the tenant terminate the lease?").citations
    assert "Harbour Row.md" in {each.document_name for each in cited}
    with pytest.raises(AttestError, match="needs a name"):
        service.shelves.rename(filled[0], "  ")
    with pytest.raises(DocumentGone):
        service.shelves.rename("nothing", "x")
    assert attest("documents", "rename", filled[0], "Dock Road", "--json").json["name"] == "Dock Road.md"


def test_what_was_moved_is_asked_where_it_is(service: Service, filled: list[str]) -> None:
    service.add_collection("Leases", "legal")
    moved = attest("documents", "move", filled[0], "--from", "default", "--to", "Leases", "--json")
    assert moved.json == {"moved": 1}
    again = attest("documents", "move", filled[0], "--from", "default", "--to", "Leases")
    assert (again.status, "not in default" in again.stderr) == (1, True)
    cited = answer(service, "How can the tenant terminate the lease?", collection="Leases").citations
    assert {each.document_id for each in cited} == {filled[0]}
    assert filled[0] not in {
        each.document_id for each in answer(service, "How can the tenant terminate the lease?").citations
    }


def test_what_failed_is_tried_again(service: Service, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    (lease,) = add(service, keep("lease.md", LEASE))
    assert not service.shelves.retry(lease)
    (added,) = service.add_documents([keep("dose.md", DOSE)], "default")
    service.cancel_document(str(added.document_id))
    assert service.document(str(added.document_id)).status == "cancelled"
    assert attest("documents", "retry", str(added.document_id), "nothing", "--json").status == 3
    drain(service)
    assert service.document(str(added.document_id)).status == "ready"


def test_a_locked_document_is_unlocked_where_it_lies(
    service: Service, keep: Keep, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    (added,) = service.add_documents([keep("w.pdf", locked(SECRET))], "default")
    drain(service)
    document = str(added.document_id)
    service.shelves.rename(document, "Warranty")
    with pytest.raises(AttestError, match=r"Warranty\.pdf is not locked, or not with this password"):
        service.shelves.unlock(document, "wrong")
    service.shelves.unlock(document, SECRET)
    drain(service)
    view = service.document(document)
    assert (view.status, view.name, view.pages) == ("ready", "Warranty.pdf", 2)
    assert not any(SECRET.encode() in file.read_bytes() for file in home.rglob("*") if file.is_file())
    assert SECRET not in caplog.text


def test_collections_are_renamed_and_deleted(service: Service, filled: list[str]) -> None:
    service.add_collection("Leases", "legal")
    with pytest.raises(AlreadyThere):
        service.shelves.rename_collection("default", "Leases")
    with pytest.raises(AttestError, match="needs a name"):
        service.shelves.rename_collection("default", " ")
    assert attest("collections", "rename", "default", "All of it", "--json").json == {"name": "All of it"}
    assert answer(service, "How can the tenant terminate the lease?", collection="All of it").citations
    receipts = service.delete_collection("All of it")
    assert {receipt.document_id for receipt in receipts} == set(filled)
    assert list(service.profiles()) == ["Leases"]


def test_lists_are_found_and_sorted(service: Service, filled: list[str]) -> None:
    page = service.document_listing("default", 0, 2, Wanted(order="name", turned=True))
    assert [each.name for each in page.documents] == ["warranty.pdf", "long.txt"]
    assert (page.total, page.matching, page.failed) == (4, 4, 0)
    assert page.references == sum(service.document(each).references for each in filled)
    assert service.shelves.matching("default", Wanted("lease")) == [filled[0]]


def test_time_is_what_the_last_documents_took(service: Service, keep: Keep) -> None:
    files = {Path("b.txt"): 4500}
    assert forecast(service.store, files, memories=True).seconds is None
    add(service, keep("lease.md", LEASE), memories=False)
    assert forecast(service.store, files, memories=True).seconds is None
    unwritten = forecast(service.store, files, memories=False)
    assert unwritten.seconds is not None
    assert "at the pace of the last documents" in unwritten.words()
    add(service, keep("long.txt", LONG))
    reading, writing = service.store.jobs.seconds_per_reference()
    assert reading is not None
    assert writing is not None
    expected = forecast(service.store, files, memories=True)
    assert expected.seconds == pytest.approx(expected.passages * (reading + writing))
