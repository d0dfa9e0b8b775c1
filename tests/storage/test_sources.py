"""Paths and versions: what is a new version of what, what a search sees of it, and what a delete leaves."""

from pathlib import Path

import pytest

from storage.records import DocumentRow, PageRow
from storage.sources import path_key
from storage.store import Store
from tests.storage.conftest import EMBEDDER, references_of, unit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "matter 7"
    made.mkdir()
    return made


def put(
    store: Store, path: Path, text: str | None = None, collection: str = "law", stays: bool = True
) -> str:
    """Write `text` to `path`, add the file, and make it answerable. Returns its document's id."""
    if text is not None:
        path.write_text(text)
    document, created = store.documents.add(path, collection, stays=stays)
    if created:
        passage = path.read_text()
        store.documents.add_pages(document.id, [PageRow(1, "1", passage)])
        store.references.replace(document.id, references_of([passage], [unit(1.0)]), EMBEDDER)
        store.documents.set_status(document.id, "ready")
    return document.id


def found(store: Store, collection: str | None = "law", **options: object) -> set[str]:
    """Documents that a search may return."""
    hits = store.search(EMBEDDER, 8).hybrid("term", unit(1.0), collection, k=50, **options)  # type: ignore[arg-type]
    rows = store.references.get([hit.reference_id for hit in hits])
    return {row.document_id for row in rows}


def row(store: Store, document_id: str) -> DocumentRow:
    return store.documents.get(document_id)


def test_other_content_under_the_same_path_is_a_new_version(store: Store, folder: Path) -> None:
    path = folder / "lease.txt"
    first = put(store, path, "term one")
    assert found(store) == {first}
    second = put(store, path, "term two")
    assert second != first
    assert found(store) == {second}
    assert found(store, None) == {second}
    assert found(store, document_ids=[first]) == {first}  # when it is named
    assert row(store, first).superseded_by("law") == row(store, first).superseded_by() == second
    assert row(store, second).superseded_by("law") is None
    (source,) = row(store, second).sources
    assert (source.path, source.version, source.replaces) == (str(path), 2, first)
    assert store.documents.page(first, 1).text == "term one"  # old citations still open
    versions = store.sources.versions(first)
    assert [(each.document_id, each.version, each.superseded_by) for each in versions] == [
        (first, 1, second),
        (second, 2, None),
    ]
    assert store.sources.versions(second) == versions


def test_the_same_content_again_changes_nothing(store: Store, folder: Path) -> None:
    path = folder / "lease.txt"
    first = put(store, path, "term")
    assert put(store, path) == first
    assert [each.version for each in row(store, first).sources] == [1]


def test_content_that_comes_back_is_the_newest_version_again(store: Store, folder: Path) -> None:
    path = folder / "lease.txt"
    first, second = put(store, path, "term one"), put(store, path, "term two")
    assert put(store, path, "term one") == first
    assert found(store) == {first}
    assert [(each.document_id, each.version) for each in store.sources.versions(first)] == [
        (second, 2),
        (first, 3),
    ]


def test_the_same_content_in_two_collections_is_one_document_with_two_histories(
    store: Store, folder: Path
) -> None:
    store.collections.add("tax", "legal")
    first = put(store, folder / "a.txt", "term one")
    assert put(store, folder / "a.txt", collection="tax") == first
    second = put(store, folder / "a.txt", "term two")  # the collection "tax" has not seen it
    assert (found(store), found(store, "tax")) == ({second}, {first})
    assert found(store, None) == {first, second}
    assert (row(store, first).superseded_by("law"), row(store, first).superseded_by("tax")) == (second, None)
    assert row(store, first).superseded_by() is None


def test_an_upload_has_no_path_and_replaces_nothing(store: Store, folder: Path) -> None:
    first = put(store, folder / "a.txt", "term one", stays=False)
    second = put(store, folder / "a.txt", "term two", stays=False)
    assert row(store, first).sources == row(store, second).sources == ()
    assert store.sources.versions(first) == []
    assert found(store) == {first, second}


@pytest.mark.parametrize("status", ["queued", "reading", "failed", "cancelled"])
def test_a_version_that_cannot_be_searched_hides_none(store: Store, folder: Path, status: str) -> None:
    first, second = (put(store, folder / "a.txt", text) for text in ("term one", "term two"))
    store.documents.set_status(second, status)  # type: ignore[arg-type]
    assert found(store) == {first}
    assert row(store, first).superseded_by() is None
    store.documents.set_status(second, "answerable")
    assert found(store) == {second}


def test_deleting_the_newest_version_makes_the_one_before_the_newest(store: Store, folder: Path) -> None:
    path = folder / "a.txt"
    first, second, third = (put(store, path, f"term {n}") for n in range(3))
    receipt = store.documents.delete(third)
    assert receipt.rows == 1 + 1 + 1 + 1 + 1 + 1  # document, page, reference, job, collection, source
    assert found(store) == {second}
    store.documents.delete(first)  # an older one: nothing else changes
    assert found(store) == {second}
    (source,) = row(store, second).sources
    assert (source.version, source.replaces) == (2, None)


def test_a_renamed_file_takes_its_versions_along(store: Store, folder: Path) -> None:
    first, second = (put(store, folder / "draft.txt", text) for text in ("term one", "term two"))
    (folder / "draft.txt").rename(folder / "final.txt")
    assert put(store, folder / "final.txt") == second
    assert row(store, second).name == "draft.txt"
    third = put(store, folder / "final.txt", "term three")
    assert [each.document_id for each in store.sources.versions(third)] == [first, second, third]
    assert {each.path for each in store.sources.versions(third)} == {str(folder / "final.txt")}
    assert found(store) == {third}


def test_a_copy_has_a_history_of_its_own(store: Store, folder: Path) -> None:
    first = put(store, folder / "a.txt", "term one")
    (folder / "b.txt").write_text("term one")
    assert put(store, folder / "b.txt") == first
    second = put(store, folder / "a.txt", "term two")
    assert found(store) == {first, second}  # b.txt still says what a.txt said
    assert row(store, first).superseded_by() is None
    store.sources.mark_gone("law", str(folder / "b.txt"))
    assert found(store) == {second}
    assert row(store, first).superseded_by() == second


def test_a_file_that_is_gone_keeps_its_document(store: Store, folder: Path) -> None:
    path = folder / "a.txt"
    first = put(store, path, "term one")
    store.sources.mark_gone("law", str(path))
    assert found(store) == {first}
    assert store.sources.under("law", folder)[str(path)].gone_at is not None
    put(store, path)
    assert store.sources.under("law", folder)[str(path)].gone_at is None


def test_what_is_dropped_with_its_file(store: Store, folder: Path) -> None:
    """All versions of the file; but not a document that lies elsewhere, too."""
    store.collections.add("tax", "legal")
    path = folder / "a.txt"
    kept = put(store, path, "term zero")
    put(store, folder / "copy.txt", "term zero")
    other = put(store, path, "term one")
    put(store, folder / "b.txt", "term one", collection="tax")
    first, second = (put(store, path, text) for text in ("term two", "term three"))
    assert store.sources.drop("law", str(path)) == [first, second]
    assert store.sources.drop("law", str(path)) == [first, second]  # until they are deleted
    for document_id in (first, second):
        store.documents.delete(document_id)
    assert store.sources.drop("law", str(path)) == []
    assert found(store) == {kept}
    assert row(store, other).collections == ("tax",)


def test_only_what_lies_in_the_folder_is_listed(store: Store, folder: Path, tmp_path: Path) -> None:
    beside = tmp_path / "matter 70"
    beside.mkdir()
    for name, text in (("a.txt", "one"), ("%.txt", "two")):
        put(store, folder / name, text)
        put(store, beside / name, "beside " + text)
    known = store.sources.under("law", folder)
    assert set(known) == {str(folder / "a.txt"), str(folder / "%.txt")}
    file = known[str(folder / "a.txt")]
    assert (file.size, file.mtime_ns) == (3, (folder / "a.txt").stat().st_mtime_ns)
    assert set(store.sources.under("law", Path("/"))) == set(known) | {
        str(beside / "a.txt"),
        str(beside / "%.txt"),
    }


def test_a_name_that_is_no_text_is_known_again(store: Store, folder: Path) -> None:
    path = Path(str(folder) + "/\udcff.txt")
    first = put(store, path, "term")
    assert put(store, path) == first
    assert set(store.sources.under("law", folder)) == {path_key(path)}


def test_adding_a_path_that_vanished_is_told(store: Store, folder: Path) -> None:
    from storage.errors import OriginalUnreadable

    with pytest.raises(OriginalUnreadable, match=r"gone\.txt cannot be read"):
        store.documents.add(folder / "gone.txt", "law", stays=True)
