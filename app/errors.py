"""The one kind of error that faces show to people, and where the rooms' own errors become it.

AttestError
├── NothingToAsk     the collection has no document that can be asked yet
├── NotReady         the model is still loading, or could not be loaded
├── MemoryRefused    the model cannot read memories; in text mode it answers
└── DocumentGone     there is no such document; where an answer cites it, it was deleted since
"""

from collections.abc import Iterator
from contextlib import contextmanager

from engine.errors import EngineError
from ingest.errors import IngestError
from storage.errors import DocumentNotFound, StorageError


class AttestError(Exception):
    """A request failed; the message is for people and says what to do next."""


class NothingToAsk(AttestError):
    """The collection has no document that can be asked yet."""


class NotReady(AttestError):
    """The model is still loading, or could not be loaded."""


class MemoryRefused(AttestError):
    """The model cannot read memories; in text mode it answers."""


class DocumentGone(AttestError):
    """There is no such document; where an answer cites it, it was deleted since."""


@contextmanager
def for_people() -> Iterator[None]:
    """Errors of the rooms below leave as AttestError, message unchanged."""
    try:
        yield
    except DocumentNotFound as error:
        raise DocumentGone(str(error)) from error
    except (EngineError, IngestError, StorageError) as error:
        raise AttestError(str(error)) from error
