"""Pages of documents: text, character boxes, headings."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import IntegrityError

from storage import codec
from storage.database import Database
from storage.errors import DocumentNotFound, InvalidPage, PageNotFound
from storage.grants import Viewer
from storage.records import PageRow
from storage.schema import Page

_BATCH = 64


class Pages:
    """The table of pages."""

    def __init__(self, database: Database, viewer: Viewer) -> None:
        self._database = database
        self._viewer = viewer
        self._seen = viewer.documents(Page.document_id)

    def add(self, document_id: str, pages: Sequence[PageRow]) -> None:
        """Insert pages, or replace those of the same number. Raises DocumentNotFound, InvalidPage."""
        self._viewer.must_be_local()
        if pages:
            with self._database.write() as connection:
                add(connection, document_id, pages)

    def get(self, document_id: str, number: int) -> PageRow:
        """One page with its boxes. Raises PageNotFound."""
        query = sa.select(Page).where(Page.document_id == document_id, Page.number == number, self._seen)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise PageNotFound(
                f"document {document_id} has no page {number}, or it is not read yet; "
                "see `attest documents show`"
            )
        return _page_row(row, boxes=True)

    def numbers(self, document_id: str) -> list[int]:
        """Numbers of the pages that are stored, ascending."""
        query = sa.select(Page.number).where(Page.document_id == document_id, self._seen)
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(Page.number)).scalars())

    def confidences(self, document_id: str) -> dict[int, float]:
        """Page number to the confidence of text recognition, of the pages that had to be recognised."""
        query = (
            sa.select(Page.number, Page.confidence)
            .where(Page.document_id == document_id, Page.confidence.is_not(None), self._seen)
            .order_by(Page.number)
        )
        with self._database.read() as connection:
            return {row.number: row.confidence for row in connection.execute(query)}

    def iterate(self, document_id: str, *, boxes: bool = False) -> Iterator[PageRow]:
        """All pages in order, a few in memory at a time; no transaction is open between two of them."""
        after = 0
        while True:
            query = (
                sa.select(Page)
                .where(Page.document_id == document_id, Page.number > after, self._seen)
                .order_by(Page.number)
                .limit(_BATCH)
            )
            with self._database.read() as connection:
                rows = connection.execute(query).all()
            if not rows:
                return
            for row in rows:
                yield _page_row(row, boxes=boxes)
            after = rows[-1].number


def add(connection: sa.Connection, document_id: str, pages: Sequence[PageRow]) -> None:
    """`Pages.add` inside a transaction of the caller's; at least one page."""
    statement = insert(Page)
    changed = {
        name: statement.excluded[name]
        for name in ("label", "text", "width", "height", "boxes", "headings", "confidence", "margins")
    }
    statement = statement.on_conflict_do_update(index_elements=["document_id", "number"], set_=changed)
    try:
        connection.execute(statement, [_values(document_id, page) for page in pages])
    except IntegrityError as error:
        raise DocumentNotFound(f"document {document_id} was deleted; stop reading it") from error


def _values(document_id: str, page: PageRow) -> dict[str, Any]:
    if page.boxes is not None and page.boxes.shape != (len(page.text), 4):
        raise InvalidPage(
            f"document {document_id}, page {page.number}: {len(page.text)} characters but boxes of shape "
            f"{page.boxes.shape}; one box (x0, y0, x1, y1) per character is needed"
        )
    return {
        "document_id": document_id,
        "number": page.number,
        "label": codec.clean(page.label),
        "text": codec.clean(page.text),
        "width": page.width,
        "height": page.height,
        "boxes": None if page.boxes is None else codec.pack_boxes(page.boxes),
        "headings": codec.pack_headings(page.headings),
        "confidence": page.confidence,
        "margins": [list(span) for span in page.margins],
    }


def _page_row(row: Any, *, boxes: bool) -> PageRow:
    return PageRow(
        row.number,
        row.label,
        row.text,
        row.width,
        row.height,
        codec.unpack_boxes(row.boxes) if boxes and row.boxes is not None else None,
        codec.unpack_headings(row.headings),
        row.confidence,
        tuple((start, end) for start, end in row.margins),
    )
