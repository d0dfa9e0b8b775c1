"""Pictures of pages, drawn once and kept: pages/<document id>-<page>-<width>.png.

A picture gets its name only while its document is in the store, so none outlives a delete; it is found by
whoever sees its document.
"""

from pathlib import Path

import sqlalchemy as sa

from storage import files
from storage.database import Database
from storage.errors import DocumentNotFound
from storage.grants import Viewer
from storage.schema import Document


class PageImages:
    """The folder of page images."""

    def __init__(self, database: Database, viewer: Viewer, folder: Path) -> None:
        self._database = database
        self._viewer = viewer
        self._folder = folder

    def path(self, document_id: str, page: int, width: int) -> Path:
        """Where the picture is, if it is kept. Raises DocumentNotFound."""
        with self._database.read() as connection:
            self._check(connection, document_id)
        return self._folder / f"{document_id}-{page}-{width}.png"

    def keep(self, document_id: str, page: int, width: int, png: bytes) -> None:
        """Raises DocumentNotFound, StoreUnavailable."""
        with files.in_our_words("a page image"), files.partial(self._folder) as (path, file):
            file.write(png)
            files.complete(file)
            with self._database.write() as connection:
                self._check(connection, document_id)
                files.settle(path, self._folder / f"{document_id}-{page}-{width}.png")

    def _check(self, connection: sa.Connection, document_id: str) -> None:
        seen = (Document.id == document_id, self._viewer.documents(Document.id))
        if connection.execute(sa.select(Document.id).where(*seen)).first() is None:
            raise DocumentNotFound(f"there is no document {document_id}; see `attest documents list`")
