"""The list of a collection's documents: found, filtered, sorted, paged; and what it costs with thousands."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from storage.listing import ALL
from storage.records import PROFILES, DocumentWarning, Order, Standing, Wanted
from storage.schema import CollectionDocument, Document, Job
from storage.store import Store

AddDocument = Callable[..., str]
EVERY_STATUS = ("ready", "partial", "answerable", "failed", "cancelled", "queued", "reading")
TICKS = 100  # SQLite's steps from one call of the counter to the next


def names(store: Store, wanted: Wanted = ALL, first: int = 0, count: int = 50) -> list[str]:
    ids = store.listing.page("law", first, count, wanted).ids
    rows = store.documents.of_ids(ids)
    return [rows[key].name for key in ids]


@pytest.fixture
def some(store: Store, add_document: AddDocument) -> dict[str, str]:
    """Four documents by name; b.txt failed, c.txt is being read."""
    ids = {
        "Lease.txt": add_document("Lease.txt", ["ninety days"], status="ready"),
        "b.txt": add_document("b.txt", ["x"], status="failed"),
        "C.txt": add_document("C.txt", ["a long one, much longer than the others"], status="reading"),
        "a_100%.txt": add_document("a_100%.txt", ["y", "z"], status="partial"),
    }
    store.documents.add_warning(ids["a_100%.txt"], 3, "no text")
    store.documents.set_info(ids["Lease.txt"], page_count=40, title="Office premises")
    return ids


@pytest.mark.parametrize(
    ("order", "turned", "found"),
    [
        ("added", False, ["C.txt", "a_100%.txt", "b.txt", "Lease.txt"]),
        ("added", True, ["Lease.txt", "b.txt", "a_100%.txt", "C.txt"]),
        ("name", False, ["a_100%.txt", "b.txt", "C.txt", "Lease.txt"]),
        ("name", True, ["Lease.txt", "C.txt", "b.txt", "a_100%.txt"]),
        ("state", False, ["b.txt", "C.txt", "a_100%.txt", "Lease.txt"]),
    ],
)
@pytest.mark.usefixtures("some")
def test_orders(store: Store, order: Order, turned: bool, found: list[str]) -> None:
    assert names(store, Wanted(order=order, turned=turned)) == found


@pytest.mark.usefixtures("some")
def test_the_largest_first(store: Store) -> None:
    assert names(store, Wanted(order="size"))[0] == "C.txt"
    assert names(store, Wanted(order="pages"))[0] == "Lease.txt"


@pytest.mark.parametrize(
    ("standing", "found"),
    [
        ("working", {"C.txt"}),
        ("askable", {"Lease.txt", "a_100%.txt"}),
        ("failed", {"b.txt"}),
        ("warned", {"a_100%.txt"}),
    ],
)
@pytest.mark.usefixtures("some")
def test_filters(store: Store, standing: Standing, found: set[str]) -> None:
    page = store.listing.page("law", 0, 50, Wanted(standing=standing))
    assert set(names(store, Wanted(standing=standing))) == found
    assert (page.matching, page.total, page.askable, page.busy, page.failed) == (len(found), 4, 2, 1, 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [("lease", ["Lease.txt"]), ("PREMISES", ["Lease.txt"]), ("100%", ["a_100%.txt"]), ("%x", []), ("  ", 4)],
)
@pytest.mark.usefixtures("some")
def test_words_of_name_or_title(store: Store, text: str, found: list[str] | int) -> None:
    listed = names(store, Wanted(text))
    assert (len(listed) if isinstance(found, int) else listed) == found


def test_all_that_are_wanted_whatever_the_page(store: Store, some: dict[str, str]) -> None:
    assert store.listing.matching("law", Wanted("txt", order="name", turned=True))[0] == some["Lease.txt"]
    assert names(store, Wanted(order="name"), first=10_000, count=3) == ["Lease.txt"]


def fill(store: Store, count: int) -> None:
    """Documents of every status, without files, half of them in each of two collections."""
    store.collections.add("all", PROFILES[0])
    law = store.collections.get("law").id
    other = store.collections.get("all").id
    documents = [
        {
            "id": f"{number:016x}",
            "sha256": f"{number:064x}",
            "name": f"Agreement {(number * 7919) % count:05}.pdf",
            "bytes": number * 1000,
            "status": EVERY_STATUS[number % len(EVERY_STATUS)],
            "warnings": [],
            "page_count": number % 300,
            "reference_count": number % 500,
            "created_at": float(number),
        }
        for number in range(count)
    ]
    with store._database.write() as connection:
        connection.execute(sa.insert(Document), documents)
        connection.execute(
            sa.insert(CollectionDocument),
            [
                {"collection_id": other if number % 2 else law, "document_id": row["id"]}
                for number, row in enumerate(documents)
            ],
        )
    jobs = [
        {
            "kind": "memories",
            "document_id": row["id"],
            "collection_id": law,
            "path": "",
            "memories": True,
            "status": "queued",
            "stage": "waiting",
            "done": 0,
            "total": 0,
            "attempts": 0,
            "priority": 0,
            "cancel_requested": False,
            "created_at": 0.0,
        }
        for row in documents[2 :: len(EVERY_STATUS)]
    ]
    with store._database.write() as connection:
        connection.execute(sa.insert(Job), jobs)


@contextmanager
def counted(store: Store) -> Iterator[dict[str, int]]:
    """Statements that are sent, and steps of SQLite's machine that they take, in hundreds."""
    cost = {"statements": 0, "steps": 0}

    def step() -> int:
        cost["steps"] += 1
        return 0

    def watch(connection: Any, *_: object) -> None:
        connection.set_progress_handler(step, TICKS)

    def count(*_: object) -> None:
        cost["statements"] += 1

    engine = store._database.engine
    engine.dispose()
    sa.event.listen(engine, "connect", watch)
    sa.event.listen(engine, "before_cursor_execute", count)
    try:
        yield cost
    finally:
        sa.event.remove(engine, "connect", watch)
        sa.event.remove(engine, "before_cursor_execute", count)
        engine.dispose()


def cost_of_a_page(store: Store, wanted: Wanted, first: int) -> dict[str, int]:
    with counted(store) as cost:
        page = store.listing.page("law", first, 50, wanted)
        store.documents.of_ids(page.ids)
    assert len(page.ids) == 50
    return cost


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Store]]:
    """With 500 and with 5,000 documents."""
    with ExitStack() as stack:
        opened = []
        for count in (500, 5000):
            store = stack.enter_context(Store.open(tmp_path_factory.mktemp("lists") / str(count)))
            store.collections.add("law", "legal")
            fill(store, count)
            opened.append(store)
        yield opened


@pytest.mark.parametrize("order", ["added", "name", "size", "pages", "state"])
def test_a_page_of_thousands_takes_the_same_queries_and_steps_in_proportion(
    stores: list[Store], order: Order
) -> None:
    small, large = (cost_of_a_page(store, Wanted("agreement", order=order), 150) for store in stores)
    assert small["statements"] == large["statements"] <= 12
    # two passes over the 2,500 members; twenty times would be a pass for each of some of them
    assert large["steps"] * TICKS < 300 * 2500
    assert large["steps"] < 15 * small["steps"]


def test_of_a_small_collection_only_its_own_rows_are_read(store: Store, add_document: AddDocument) -> None:
    store.collections.add("small", "general")
    for number in range(60):
        add_document(f"{number}.txt", [f"text {number}"], collection="small", status="ready")
    fill(store, 1000)
    with counted(store) as cost:
        assert store.listing.page("small", 0, 50, Wanted(order="name")).matching == 60
    # the jobs that wait are looked through once; of the documents, only those of the collection
    assert cost["steps"] * TICKS < 15_000


def test_warnings_are_counted(store: Store, some: dict[str, str]) -> None:
    page = store.listing.page("law", 0, 10, Wanted(standing="warned"))
    assert store.documents.of_ids(page.ids)[some["a_100%.txt"]].warnings == (DocumentWarning(3, "no text"),)


def test_the_lists_above_have_work_in_the_queue(stores: list[Store]) -> None:
    page = stores[1].listing.page("law", 0, 50, Wanted(standing="working"))
    here = [EVERY_STATUS[number % len(EVERY_STATUS)] for number in range(0, 5000, 2)]
    assert page.busy == page.matching == sum(each in ("answerable", "queued", "reading") for each in here)
