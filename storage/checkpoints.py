"""How far documents are read: what a killed ingest goes on from.

A stretch of pages, its references with their vectors and words, and the place where reading goes on are kept
in one transaction, and only while the job is the worker's: no page is ever stored twice, without its
references, or by two workers. Until the document is answerable no search sees any of it.

What was made with other readers, another tokenizer or another embedder is no beginning to go on from.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from storage import codec, epochs, leases, pages, references
from storage.database import Database
from storage.errors import DocumentNotFound
from storage.records import SEARCHABLE, Checkpoint, Counts, JobRow, NewReference, PageRow
from storage.removal import Remover
from storage.schema import Checkpoint as CheckpointTable
from storage.schema import Document, Page, Reference


class Checkpoints:
    """The table of checkpoints."""

    def __init__(self, database: Database, remover: Remover) -> None:
        self._database = database
        self._remover = remover

    def begin(self, job: JobRow, owner: str, made_with: str) -> Checkpoint:
        """The document is being read from now on: where to go on.

        Its warnings are those of the checkpoint again. Without a checkpoint that fits, what an earlier
        reading left is removed. Raises DocumentNotFound, JobLost.
        """
        with self._database.write() as connection:
            status = connection.execute(
                sa.select(Document.status).where(Document.id == job.document_id)
            ).scalar()
            if status is None:
                raise DocumentNotFound(f"document {job.document_id} was deleted; stop reading it")
            leases.check_runs_for(connection, job.id, owner)
            row = connection.execute(_of(job.document_id)).one_or_none()
            forgotten = False
            if row is None or row.made_with != made_with:
                forgotten = references.forget_references(connection, job.document_id)
                connection.execute(sa.delete(Page).where(Page.document_id == job.document_id))
                connection.execute(
                    sa.delete(CheckpointTable).where(CheckpointTable.document_id == job.document_id)
                )
                connection.execute(
                    sa.insert(CheckpointTable).values(
                        document_id=job.document_id, made_with=made_with, page=0, headings=[], warnings=[]
                    )
                )
                row = connection.execute(_of(job.document_id)).one()
            connection.execute(
                sa.update(Document)
                .where(Document.id == job.document_id)
                .values(status="reading", warnings=row.warnings, error=None, finished_at=None)
            )
            if status in SEARCHABLE:
                epochs.visibility_changed(connection)
        if forgotten:
            self._remover.finish()
        return Checkpoint(row.page, codec.unpack_headings(row.headings))

    def keep(
        self,
        job: JobRow,
        owner: str,
        stretch: Sequence[PageRow],
        found: Sequence[NewReference],
        embedder: str,
        after: Checkpoint,
    ) -> None:
        """Store pages with their references, and go on behind them. `stretch` has at least one page.

        Raises DocumentNotFound, InvalidPage, InvalidReference, JobLost; then nothing has changed.
        """
        with self._database.write() as connection:
            leases.kept(connection, job.id, owner)
            pages.add(connection, job.document_id, stretch)
            references.append(connection, job.document_id, found, embedder)
            warnings = sa.select(Document.warnings).where(Document.id == job.document_id).scalar_subquery()
            connection.execute(
                sa.update(CheckpointTable)
                .where(CheckpointTable.document_id == job.document_id)
                .values(page=after.page, headings=codec.pack_headings(after.headings), warnings=warnings)
            )

    def forget(self, document_id: str) -> None:
        """The content cannot be read: nothing is to be gone on from, and nothing to be found."""
        with self._database.write() as connection:
            forgotten = references.forget_references(connection, document_id)
            connection.execute(sa.delete(CheckpointTable).where(CheckpointTable.document_id == document_id))
        if forgotten:
            self._remover.finish()

    def counts(self, document_id: str) -> Counts:
        """What is really stored of a document, counted."""
        words = sa.text(
            "SELECT count(*) FROM reference_fts WHERE rowid IN "
            "(SELECT id FROM reference WHERE document_id = :document)"
        )
        with self._database.read() as connection:
            numbers = [
                connection.execute(
                    sa.select(sa.func.count()).where(column == document_id).select_from(table)
                ).scalar_one()
                for table, column in ((Page, Page.document_id), (Reference, Reference.document_id))
            ]
            found = connection.execute(words, {"document": document_id}).scalar_one()
        return Counts(numbers[0], numbers[1], found)


def _of(document_id: str) -> sa.Select[str, int, list[object], list[object]]:
    return sa.select(
        CheckpointTable.made_with, CheckpointTable.page, CheckpointTable.headings, CheckpointTable.warnings
    ).where(CheckpointTable.document_id == document_id)
