"""Killed, or out of disk, at every moment of writing: the store opens, verifies, goes on, ends the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.records import NewReference, PageRow
from storage.store import Store
from tests.storage import faults
from tests.storage.conftest import DIMENSION, EMBEDDER, memory, references_of, vector_of
from tests.storage.residue import left_behind

PRINT = {"weights": "abc"}
NAMES = ("first", "second", "third")


def passages(name: str) -> list[str]:
    return [f"agreement {name} {n} " + " ".join(words(name, n)) for n in range(3)]


def words(name: str, n: int) -> list[str]:
    random = np.random.default_rng([n, *name.encode()])
    return ["".join(random.choice(list("bcdfghjklmnpqrstvwxz"), 9)) for _ in range(12)]


def tokens(name: str, n: int) -> Any:
    return np.random.default_rng([7, n, *name.encode()]).integers(0, 1 << 31, 14).astype(np.uint32)


def file_of(name: str) -> str:
    return f"{name}-{'-'.join(words(name, 99)[:3])}.txt"


def references(name: str) -> list[NewReference]:
    made = references_of(passages(name))
    return [
        NewReference(
            **{
                **each.__dict__,
                "token_ids": np.concatenate([tokens(name, n), tokens(name, n + 50)])[
                    : each.header_tokens + len(each.token_offsets)
                ],
            }
        )
        for n, each in enumerate(made)
    ]


def ingest(store: Store, name: str) -> str:
    """Whatever of a document is not in the store yet, as the worker would."""
    source = store.home.parent / "sources" / file_of(name)
    source.parent.mkdir(exist_ok=True)
    source.write_text("\n".join(passages(name)))
    document = store.documents.add(source, "law")[0].id
    if not store.references.of_document(document):
        store.documents.add_pages(document, [PageRow(1, "i", "\n".join(passages(name)))])
        store.references.replace(document, references(name), EMBEDDER)
    store.documents.set_status(document, "ready")
    return document


def remember(store: Store) -> None:
    """Memories that are lacking, two references to a shard: of different documents, where they meet."""
    bank = store.banks.open("print", PRINT)
    ids = [key for name in NAMES for key in store.references.of_document(identity(store, name))]
    lacking = [key for key in ids if key not in bank.has(ids)]
    for first in range(0, len(lacking), 2):
        bank.write([(key, memory(key, size=8)) for key in lacking[first : first + 2]])


def identity(store: Store, name: str) -> str:
    return next((row.id for row in store.documents.list() if row.name == file_of(name)), "")


def write(store: Store) -> None:
    ingest(store, "third")
    remember(store)
    found(store)


def delete(store: Store) -> None:
    doomed = identity(store, "second")
    if doomed:
        store.documents.delete(doomed)


def compact(store: Store) -> None:
    store.compact()


def found(store: Store) -> list[tuple[int, float | None]]:
    search = store.search(EMBEDDER, DIMENSION)
    hits = search.hybrid("agreement", vector_of("agreement"), k=100, candidates=100)
    search._vectors._unsaved += 1  # so that closing the store saves the index
    return [(hit.reference_id, hit.cosine) for hit in hits]


def state(store: Store) -> dict[str, Any]:
    """All that a store holds but times and the names of shards."""
    rows = store.documents.list()
    ids = [key for row in rows for key in store.references.of_document(row.id)]
    read = store.banks.open("print", PRINT).read(ids)
    return {
        "documents": {(row.id, row.name, row.status, row.reference_count, row.memory_count) for row in rows},
        "references": [
            (row.id, row.document_id, row.text, row.token_ids.tobytes()) for row in store.references.get(ids)
        ],
        "memories": {key: {n: a.tobytes() for n, a in arrays.items()} for key, arrays in read.items()},
        "found": sorted(found(store)),
        "originals": sorted(path.name for path in (store.home / "originals").rglob("*") if path.is_file()),
    }


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Home folders to begin with: two documents for writing, else three with all their memories."""
    folder = tmp_path_factory.mktemp("faults")
    homes = {"write": folder / "two", "delete": folder / "three"}
    for home, names in ((homes["write"], NAMES[:2]), (homes["delete"], NAMES)):
        with Store.open(home) as store:
            store.collections.add("law", "legal")
            for name in names:
                document = ingest(store, name)
                (home / "pages" / f"{document}-1-100.png").write_bytes(name.encode())
            if len(names) == 3:
                remember(store)
                found(store)
    return {**homes, "compact": homes["delete"]}


SCENARIOS: dict[str, Callable[[Store], None]] = {"write": write, "delete": delete, "compact": compact}


def check_all(
    scenario: str, template: dict[str, Path], folder: Path, *, die: bool, step: int, first: int
) -> int:
    """Fail at every `step`th moment, beginning with the `first`. Returns how many moments there are."""
    act = SCENARIOS[scenario]
    homes = faults.copies(template[scenario], folder)
    undisturbed = next(homes)
    moments = faults.run(undisturbed, act)
    with Store.open(undisturbed) as store:
        expected = state(store)
    secrets = [text.encode() for text in passages("second")]
    secrets += [file_of("second").encode(), *(tokens("second", n).tobytes() for n in range(3))]
    for at in range(first, moments + 1, step):
        home = next(homes)
        faults.run(home, act, at, die=die)
        with Store.open(home) as store:
            assert store.audit().problems == (), at
            assert [path for path in home.rglob("*.partial") if path.parent.name != "vectors"] == [], at
            act(store)
            assert state(store) == expected, at
            assert store.audit().problems == (), at
            if scenario == "delete":
                assert left_behind(home, secrets) == [], at
    homes.close()
    return moments


@pytest.mark.parametrize("die", [True, False], ids=["killed", "disk full"])
@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_some_moments(scenario: str, die: bool, template: dict[str, Path], tmp_path: Path) -> None:
    assert check_all(scenario, template, tmp_path, die=die, step=13, first=5 if die else 11) > 30


@pytest.mark.slow
@pytest.mark.parametrize("die", [True, False], ids=["killed", "disk full"])
@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_every_moment(scenario: str, die: bool, template: dict[str, Path], tmp_path: Path) -> None:
    assert check_all(scenario, template, tmp_path, die=die, step=1, first=1) > 30


def test_the_template_holds_what_a_delete_must_remove(template: dict[str, Path]) -> None:
    """Else a clean scan would prove nothing."""
    for secret in (passages("second")[0].encode(), file_of("second").encode(), tokens("second", 0).tobytes()):
        assert left_behind(template["delete"], [secret])
