"""Pictures of pages, drawn once and kept: pages/<document id>-<page>-<width>.png.

A picture gets its name only while its document is in the store, so none outlives a delete.
"""

from pathlib import Path

import sqlalchemy as sa

from storage import files
from storage.database import Database
from storage.errors import DocumentNotFound
from storage.schema import Document


class PageImages:
    """The folder of page images."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def path(self, document_id: str, page: int, width: int) -> Path:
        """Where the picture is, if it is kept."""
        return self._folder / f"{document_id}-{page}-{width}.png"

    def keep(self, document_id: str, page: int, width: int, png: bytes) -> None:
        """Raises DocumentNotFound, StoreUnavailable."""
        with files.in_our_words("a page image"), files.partial(self._folder) as (path, file):
            file.write(png)
            files.complete(file)
            with self._database.write() as connection:
                known = connection.execute(sa.select(Document.id).where(Document.id == document_id)).first()
                if known is None:
                    raise DocumentNotFound(f"document {document_id} was deleted; stop reading it")
                files.settle(path, self.path(document_id, page, width))
