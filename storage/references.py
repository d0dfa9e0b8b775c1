"""References: what is searched, remembered and cited. Rows, vectors and words go in and out together."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from storage import codec, epochs, lexical
from storage.database import Database
from storage.errors import DocumentNotFound, InvalidReference
from storage.grants import Viewer
from storage.records import SEARCHABLE, NewReference, ReferenceRow
from storage.removal import Remover, note_shards
from storage.schema import Document, Memory, Page, Reference

_BATCH = 500
_PATH_SEPARATOR = " > "


class References:
    """The table of references, with its full-text index."""

    def __init__(self, database: Database, viewer: Viewer, remover: Remover) -> None:
        self._database = database
        self._viewer = viewer
        self._seen = viewer.documents(Reference.document_id)
        self._remover = remover

    def replace(self, document_id: str, references: Sequence[NewReference], embedder: str) -> list[int]:
        """Make these the document's references, in one transaction; earlier ones go with their memories.

        vectors are those of `embedder`. Returns the new ids in order. Raises DocumentNotFound,
        InvalidReference (then nothing has changed).
        """
        self._viewer.must_be_local()
        with self._database.write() as connection:
            replaced = forget_references(connection, document_id)
            ids = append(connection, document_id, references, embedder)
            epochs.visibility_changed(connection)
        if replaced:
            self._remover.finish()
        return ids

    def get(self, ids: Sequence[int]) -> list[ReferenceRow]:
        """References in the order of `ids`; unknown ones are left out."""
        with self._database.read() as connection:
            found = {row.id: row for row in _rows(connection, Reference.id.in_(ids), self._seen)}
        return [found[key] for key in ids if key in found]

    def heading_path(self, document_id: str, page: int, start: int) -> tuple[str, ...]:
        """The headings above what begins at `start` of a page; () where no reference holds that place."""
        query = (
            sa.select(Reference.heading_path)
            .where(Reference.document_id == document_id, Reference.page == page)
            .where(Reference.start <= start, Reference.end > start, self._seen)
            .order_by(Reference.start.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            return tuple(connection.execute(query).scalar() or ())

    def of_document(self, document_id: str) -> list[int]:
        """Ids of a document's references in reading order."""
        query = sa.select(Reference.id).where(Reference.document_id == document_id, self._seen)
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(Reference.id)).scalars())

    def without_memory(self, document_id: str, fingerprint_id: str, limit: int = 256) -> list[ReferenceRow]:
        """The document's first references that have no memory in that bank."""
        lacking = _lacking(document_id, fingerprint_id).where(self._seen)
        with self._database.read() as connection:
            ids = connection.execute(lacking.order_by(Reference.id).limit(limit)).scalars().all()
            return list(_rows(connection, Reference.id.in_(ids), self._seen))

    def count_without_memory(self, document_id: str, fingerprint_id: str) -> int:
        lacking = _lacking(document_id, fingerprint_id).where(self._seen).subquery()
        with self._database.read() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(lacking)).scalar_one()

    def count(self) -> int:
        """References of all documents that can be searched."""
        query = sa.select(sa.func.count()).select_from(Reference).where(self._seen)
        query = query.join(Document, Document.id == Reference.document_id)
        with self._database.read() as connection:
            return connection.execute(query.where(Document.status.in_(SEARCHABLE))).scalar_one()

    def documents_without_memory(self, fingerprint_id: str) -> dict[str, int]:
        """Documents that can be searched, with how many of their references have no memory in that bank."""
        there = sa.select(Memory.reference_id).where(
            Memory.reference_id == Reference.id, Memory.fingerprint_id == fingerprint_id
        )
        query = (
            sa.select(Reference.document_id, sa.func.count().label("lacking"))
            .join(Document, Document.id == Reference.document_id)
            .where(Document.status.in_(SEARCHABLE), ~there.exists(), self._seen)
            .group_by(Reference.document_id)
            .order_by(sa.func.min(Reference.id))
        )
        with self._database.read() as connection:
            return {row.document_id: row.lacking for row in connection.execute(query)}


def append(
    connection: sa.Connection, document_id: str, references: Sequence[NewReference], embedder: str
) -> list[int]:
    """Add references behind those that the document has, inside a transaction of the caller's.

    Returns the new ids in order. Raises DocumentNotFound, InvalidReference.
    """
    document = connection.execute(
        sa.select(Document.name, Document.title).where(Document.id == document_id)
    ).one_or_none()
    if document is None:
        raise _missing(document_id)
    ids: list[int] = []
    for first in range(0, len(references), _BATCH):
        batch = references[first : first + _BATCH]
        ids += _insert(
            connection,
            document_id,
            title=document.title or document.name,
            references=batch,
            texts=_page_texts(connection, document_id, sorted({reference.page for reference in batch})),
            embedder=embedder,
        )
    connection.execute(
        sa.update(Document)
        .where(Document.id == document_id)
        .values(reference_count=Document.reference_count + len(ids))
    )
    return ids


def forget_references(connection: sa.Connection, document_id: str) -> bool:
    """Delete the document's references, with their words and memories. Returns whether there were any.

    The caller calls `Remover.finish` after the transaction.
    """
    note_shards(connection, Memory.document_id == document_id)
    lexical.forget(connection, document_id)
    gone = connection.execute(sa.delete(Reference).where(Reference.document_id == document_id)).rowcount
    connection.execute(sa.update(Document).where(Document.id == document_id).values(reference_count=0))
    if gone:
        epochs.references_removed(connection)
    return gone > 0


def _insert(
    connection: sa.Connection,
    document_id: str,
    *,
    title: str,
    references: Sequence[NewReference],
    texts: dict[int, str],
    embedder: str,
) -> list[int]:
    dimension = len(references[0].vector)
    rows = [_values(document_id, reference, texts, embedder, dimension) for reference in references]
    statement = sa.insert(Reference).returning(Reference.id, sort_by_parameter_order=True)
    ids = list(connection.execute(statement, rows).scalars())
    words = [
        {
            "id": key,
            "title": title,
            "heading": _PATH_SEPARATOR.join(row["heading_path"]),
            "body": texts[reference.page][reference.start : reference.end],
        }
        for key, row, reference in zip(ids, rows, references, strict=True)
    ]
    connection.execute(
        sa.text(
            "INSERT INTO reference_fts (rowid, title, heading, body) VALUES (:id, :title, :heading, :body)"
        ),
        words,
    )
    return ids


def _values(
    document_id: str, reference: NewReference, texts: dict[int, str], embedder: str, dimension: int
) -> dict[str, Any]:
    where = f"document {document_id}, page {reference.page}"
    if reference.page not in texts:
        raise InvalidReference(f"{where}: the page is not stored; add it before its references")
    if not 0 <= reference.start < reference.end <= len(texts[reference.page]):
        raise InvalidReference(
            f"{where}: span {reference.start}-{reference.end} is not within its {len(texts[reference.page])} "
            "characters"
        )
    body_tokens = len(reference.token_ids) - reference.header_tokens
    if np.shape(reference.token_offsets) != (body_tokens, 2):
        raise InvalidReference(
            f"{where}: {body_tokens} body tokens but offsets of shape {np.shape(reference.token_offsets)}; "
            "one (start, end) per body token is needed"
        )
    if np.shape(reference.vector) != (dimension,) or not np.isfinite(reference.vector).all():
        raise InvalidReference(f"{where}: the vector must be {dimension} finite numbers; embed it again")
    return {
        "document_id": document_id,
        "page": reference.page,
        "start": reference.start,
        "end": reference.end,
        "heading_path": [codec.clean(heading) for heading in reference.heading_path],
        "token_ids": codec.pack_uint32(reference.token_ids),
        "header_tokens": reference.header_tokens,
        "token_offsets": codec.pack_uint32(reference.token_offsets),
        "vector": codec.pack_vector(reference.vector),
        "embedder": embedder,
    }


def _page_texts(connection: sa.Connection, document_id: str, numbers: Sequence[int]) -> dict[int, str]:
    query = sa.select(Page.number, Page.text).where(Page.document_id == document_id, Page.number.in_(numbers))
    return dict(connection.execute(query).all())


def _lacking(document_id: str, fingerprint_id: str) -> sa.Select[int]:
    there = sa.select(Memory.reference_id).where(
        Memory.fingerprint_id == fingerprint_id, Memory.document_id == document_id
    )
    return sa.select(Reference.id).where(Reference.document_id == document_id, Reference.id.not_in(there))


_QUERY = (
    sa.select(
        Reference.id,
        Reference.document_id,
        Document.name.label("document_name"),
        Document.title,
        Reference.page,
        Reference.start,
        Reference.end,
        Reference.heading_path,
        Reference.token_ids,
        Reference.header_tokens,
        Reference.token_offsets,
    )
    .join(Document, Document.id == Reference.document_id)
    .order_by(Reference.id)
)


def _rows(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> Iterator[ReferenceRow]:
    """Texts are cut out here, not by SQL, whose substr() counts otherwise where a text holds NUL."""
    rows = connection.execute(_QUERY.where(*where)).all()
    wanted = sorted({(row.document_id, row.page) for row in rows})
    pages = {
        (page.document_id, page.number): page
        for page in connection.execute(
            sa.select(Page.document_id, Page.number, Page.label, Page.text).where(_one_of(wanted))
        )
    }
    for row in rows:
        page = pages[row.document_id, row.page]
        yield ReferenceRow(
            id=row.id,
            document_id=row.document_id,
            document_name=row.document_name,
            title=row.title,
            page=row.page,
            page_label=page.label,
            start=row.start,
            end=row.end,
            text=page.text[row.start : row.end],
            heading_path=tuple(row.heading_path),
            token_ids=codec.unpack_uint32(row.token_ids),
            header_tokens=row.header_tokens,
            token_offsets=codec.unpack_uint32(row.token_offsets).reshape(-1, 2),
        )


def _one_of(pages: Sequence[tuple[str, int]]) -> sa.ColumnElement[bool]:
    return sa.tuple_(Page.document_id, Page.number).in_(pages)


def _missing(document_id: str) -> DocumentNotFound:
    return DocumentNotFound(f"document {document_id} was deleted; stop reading it")
