"""A store in a temporary folder, and documents made by hand."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from storage.records import NewReference, PageRow
from storage.store import Store

DIMENSION = 8
EMBEDDER = "test-embedder"


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store.open(home) as opened:
        opened.collections.add("law", "legal")
        yield opened


def unit(*values: float) -> npt.NDArray[np.float32]:
    """(D,) L2-normalised, filled up with zeros."""
    vector = np.zeros(DIMENSION, np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def vector_of(text: str) -> npt.NDArray[np.float32]:
    """(D,) a direction that depends on the text only."""
    seed = int.from_bytes(text.encode()[-8:], "little")
    return unit(*np.random.default_rng(seed).normal(size=DIMENSION))


def references_of(
    passages: Sequence[str], vectors: Sequence[npt.NDArray[np.float32]] | None = None
) -> list[NewReference]:
    """One reference for each passage of a page that is the passages joined by line feeds."""
    made, start = [], 0
    for index, passage in enumerate(passages):
        words = passage.split(" ")
        offsets = np.cumsum([0, *(len(word) + 1 for word in words)])
        spans = [
            (start + int(at), start + int(at) + len(word)) for at, word in zip(offsets, words, strict=False)
        ]
        made.append(
            NewReference(
                page=1,
                start=start,
                end=start + len(passage),
                heading_path=("Part I", "Terms"),
                token_ids=np.arange(2 + len(words), dtype=np.uint32),
                header_tokens=2,
                token_offsets=np.array(spans, np.uint32),
                vector=vector_of(passage) if vectors is None else vectors[index],
            )
        )
        start += len(passage) + 1
    return made


AddDocument = Callable[..., str]


@pytest.fixture
def add_document(store: Store, tmp_path: Path) -> AddDocument:
    """Adds an answerable document of one page and returns its id."""

    def add(
        name: str,
        passages: Sequence[str],
        *,
        collection: str = "law",
        vectors: Sequence[npt.NDArray[np.float32]] | None = None,
        status: str = "answerable",
    ) -> str:
        path = tmp_path / name
        path.write_text("\n".join(passages))
        document, _ = store.documents.add(path, collection)
        boxes = np.arange(4 * len("\n".join(passages)), dtype=np.float32).reshape(-1, 4)
        store.documents.add_pages(document.id, [PageRow(1, "i", "\n".join(passages), 612.0, 792.0, boxes)])
        store.references.replace(document.id, references_of(passages, vectors), EMBEDDER)
        store.documents.set_status(document.id, status)  # type: ignore[arg-type]
        return document.id

    return add


def memory(seed: int, size: int = 64) -> dict[str, npt.NDArray[np.generic]]:
    """Arrays as an engine would give them; odd sizes, mixed formats."""
    random = np.random.default_rng(seed)
    return {
        "keys": random.normal(size=(2, 3, 5, size)).astype(np.float16),
        "values": random.normal(size=(2, 3, 5, size)).astype(np.float16),
        "indices": random.integers(0, 128, size=(2, 3, 5)).astype(np.uint8),
        "length": np.array([seed], np.int32),
    }
