from pathlib import Path

import numpy as np
import pytest

from storage.errors import (
    CollectionExists,
    CollectionNotFound,
    DocumentNotFound,
    InvalidPage,
    OriginalUnreadable,
    PageNotFound,
)
from storage.records import DocumentWarning, PageHeading, PageRow
from storage.store import Store
from tests.storage.conftest import AddDocument


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_new_file_is_kept_and_its_ingest_queued(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "lease.txt", "a lease")
    document, created = store.documents.add(path, "law")
    assert created
    assert (document.name, document.bytes, document.status) == ("lease.txt", 7, "queued")
    assert document.id == document.sha256[:16]
    assert document.collections == ("law",)
    assert document.job is not None
    assert (document.job.kind, document.job.stage) == ("ingest", "waiting")
    assert document.job.path == str(path)
    assert store.documents.original(document.id).read_text() == "a lease"


def test_the_same_bytes_are_one_document(store: Store, tmp_path: Path) -> None:
    store.collections.add("medicine", "medical")
    first, _ = store.documents.add(write(tmp_path / "a.txt", "same"), "law")
    again, created = store.documents.add(write(tmp_path / "b.txt", "same"), "medicine")
    assert (again.id, again.name, created) == (first.id, "a.txt", False)
    assert again.collections == ("law", "medicine")
    assert store.jobs.waiting("ingest") == 1


def test_an_ingest_can_be_asked_to_write_no_memories(store: Store, tmp_path: Path) -> None:
    document, _ = store.documents.add(write(tmp_path / "a.txt", "a"), "law", memories=False)
    job = store.jobs.claim("w")
    assert job is not None
    assert (job.document_id, job.memories) == (document.id, False)
    assert store.jobs.enqueue("memories", document.id).memories


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_failed_document_is_queued_again(store: Store, tmp_path: Path, status: str) -> None:
    path = write(tmp_path / "a.txt", "text")
    document, _ = store.documents.add(path, "law")
    assert document.job is not None
    store.jobs.finish(document.job.id, "failed", "no")
    store.documents.set_status(document.id, status, "no")  # type: ignore[arg-type]
    again, created = store.documents.add(path, "law")
    assert created
    assert (again.status, again.error, store.jobs.waiting()) == ("queued", None, 1)


def test_content_that_these_readers_cannot_read_is_not_queued_again(store: Store, tmp_path: Path) -> None:
    store.collections.add("other", "general")
    path = write(tmp_path / "a.txt", "text")
    job = store.documents.add(path, "law", readers="1")[0].job
    assert job is not None

    def unreadable() -> None:
        store.jobs.finish(job.id, "failed", "damaged")
        store.documents.set_status(job.document_id, "failed", "damaged", unreadable_by="1")

    unreadable()
    known, created = store.documents.add(path, "other", readers="1")
    assert (created, known.status, known.error, known.unreadable_by) == (False, "failed", "damaged", "1")
    assert known.collections == ("law", "other")
    assert store.jobs.waiting() == 0
    store.jobs.retry(job.id)  # asked for in so many words
    assert store.jobs.waiting() == 1
    assert store.documents.get(known.id).unreadable_by is None
    unreadable()
    newer, created = store.documents.add(path, "law", readers="2")
    assert (created, newer.status, newer.error, newer.unreadable_by) == (True, "queued", None, None)


def test_a_lost_original_is_restored(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "text")
    document, _ = store.documents.add(path, "law")
    store.documents.original(document.id).unlink()
    _, created = store.documents.add(path, "law")
    assert not created
    assert store.documents.original(document.id).read_text() == "text"


def test_what_cannot_be_read_says_which_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(OriginalUnreadable, match=r"missing\.pdf"):
        store.documents.add(tmp_path / "missing.pdf", "law")
    with pytest.raises(OriginalUnreadable):
        store.documents.add(tmp_path, "law")
    with pytest.raises(CollectionNotFound, match="nowhere"):
        store.documents.add(write(tmp_path / "a.txt", "a"), "nowhere")
    assert store.documents.list() == []


def test_a_file_name_that_is_not_text_is_kept_readable(store: Store, tmp_path: Path) -> None:
    document, _ = store.documents.add(write(tmp_path / "a.txt", "a"), "law", name="caf\udce9.txt")
    assert document.name == "caf\ufffd.txt"


def test_pages_come_back_as_they_went_in(store: Store, tmp_path: Path) -> None:
    document, _ = store.documents.add(write(tmp_path / "a.txt", "a"), "law")
    boxes = np.array([[1.5, 2, 3, 4], [np.nan] * 4, [5, 6, 7, 8.25]], np.float32)
    page = PageRow(2, "iv", "a\n𝒳", 612.0, 792.0, boxes, (PageHeading(0, 1, "Scope"),))
    store.documents.add_pages(document.id, [PageRow(1, "iii", ""), page])
    read = store.documents.page(document.id, 2)
    assert (read.label, read.text, read.width, read.height, read.headings) == (
        "iv",
        "a\n𝒳",
        612.0,
        792.0,
        page.headings,
    )
    np.testing.assert_array_equal(read.boxes, boxes)
    assert store.documents.page(document.id, 1).boxes is None
    assert store.pages.numbers(document.id) == [1, 2]
    with pytest.raises(PageNotFound, match="no page 3"):
        store.documents.page(document.id, 3)


def test_a_page_read_again_replaces_the_first(store: Store, tmp_path: Path) -> None:
    document, _ = store.documents.add(write(tmp_path / "a.txt", "a"), "law")
    store.documents.add_pages(document.id, [PageRow(n, str(n), f"old {n}") for n in range(1, 151)])
    store.documents.add_pages(document.id, [PageRow(7, "7", "new")])
    texts = [page.text for page in store.pages.iterate(document.id)]
    assert len(texts) == 150
    assert (texts[5], texts[6], texts[149]) == ("old 6", "new", "old 150")


def test_bad_pages_are_refused(store: Store, tmp_path: Path) -> None:
    document, _ = store.documents.add(write(tmp_path / "a.txt", "a"), "law")
    with pytest.raises(InvalidPage, match="page 1"):
        store.documents.add_pages(document.id, [PageRow(1, "1", "abc", boxes=np.zeros((2, 4), np.float32))])
    with pytest.raises(DocumentNotFound):
        store.documents.add_pages("gone", [PageRow(1, "1", "abc")])


def test_an_unpaired_surrogate_does_not_stop_a_document(store: Store, tmp_path: Path) -> None:
    document, _ = store.documents.add(write(tmp_path / "a.txt", "a"), "law")
    store.documents.add_pages(document.id, [PageRow(1, "1", "a\ud800b")])
    assert store.documents.page(document.id, 1).text == "a\ufffdb"


def test_status_info_and_warnings(store: Store, tmp_path: Path) -> None:
    document, _ = store.documents.add(write(tmp_path / "a.txt", "a"), "law")
    store.documents.set_info(document.id, title="Lease", page_count=3)
    store.documents.set_info(document.id, media_type="text/plain")
    store.documents.add_warning(document.id, 2, "no text layer")
    store.documents.add_warning(document.id, 2, "no text layer")
    store.documents.set_status(document.id, "partial")
    read = store.documents.get(document.id)
    assert (read.title, read.page_count, read.media_type) == ("Lease", 3, "text/plain")
    assert read.warnings == (DocumentWarning(2, "no text layer"),)
    assert read.status == "partial"
    assert read.finished_at is not None
    with pytest.raises(DocumentNotFound, match="nothing"):
        store.documents.set_status("nothing", "ready")


def test_lists_are_paged_filtered_and_count(store: Store, add_document: AddDocument) -> None:
    store.collections.add("other", "general")
    for n in range(5):
        add_document(f"case {n}%.txt", [f"words of case {n}", "more words"])
    add_document("note.txt", ["a note"], collection="other")
    assert [d.name for d in store.documents.list(limit=2)] == ["note.txt", "case 4%.txt"]
    assert [d.name for d in store.documents.list("law", limit=2, offset=3)] == ["case 1%.txt", "case 0%.txt"]
    assert [d.name for d in store.documents.list(text="3%")] == ["case 3%.txt"]
    assert store.documents.list(text="%3") == []
    assert (store.documents.count("law"), store.documents.count(text="NOTE")) == (5, 1)
    assert store.documents.list("law")[0].reference_count == 2


def test_collections_count_what_they_hold(store: Store, add_document: AddDocument) -> None:
    add_document("a.txt", ["one", "two"])
    with pytest.raises(CollectionExists, match="law"):
        store.collections.add("law", "medical")
    store.collections.add("empty", "general")
    empty, law = store.collections.list()
    assert (law.name, law.profile, law.documents, law.references, law.memories) == ("law", "legal", 1, 2, 0)
    assert (empty.documents, empty.references) == (0, 0)
    with pytest.raises(CollectionNotFound):
        store.collections.get("none")


def test_a_forged_short_id_does_not_mix_documents(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.documents._ID_DIGITS", 0)
    first, _ = store.documents.add(write(tmp_path / "a.txt", "a"), "law")
    second, _ = store.documents.add(write(tmp_path / "b.txt", "b"), "law")
    assert first.id == ""
    assert second.id == second.sha256
