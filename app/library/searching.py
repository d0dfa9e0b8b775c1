"""Looking something up in a collection without asking the model: the passages that come nearest."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import AttestError, for_people
from engine.protocol import Embedder
from storage.store import Store

MOST_PASSAGES = 50


@dataclass(frozen=True)
class Passage:
    """A passage of a document, where it stands, and how near it is.

    start, end: code points of the page's text. cosine: to the query, -1..1; None where only words found it.
    """

    document_id: str
    document_name: str
    page: int
    page_label: str
    start: int
    end: int
    headings: Sequence[str]
    text: str
    cosine: float | None


def search(store: Store, embedder: Embedder, query: str, collection: str, count: int) -> list[Passage]:
    """The `count` passages nearest to `query`, best first. Raises NotFound, AttestError."""
    if not query.strip():
        raise AttestError("there is nothing to look for: the query is empty")
    with for_people():
        index = store.search(embedder.name, embedder.dimension)
        hits = index.hybrid(query, embedder.embed([query])[0], collection, k=min(count, MOST_PASSAGES))
        rows = {row.id: row for row in store.references.get([hit.reference_id for hit in hits])}
    return [
        Passage(
            row.document_id,
            row.document_name,
            row.page,
            row.page_label,
            row.start,
            row.end,
            row.heading_path,
            row.text,
            hit.cosine,
        )
        for hit in hits
        if (row := rows.get(hit.reference_id)) is not None  # deleted meanwhile
    ]
