"""The one kind of error that faces show to people, and where the rooms' own errors become it.

AttestError
├── NothingToAsk     the collection has no document that can be asked yet
├── MemoryRefused    the model cannot read memories; in text mode it answers
├── NotFound         what is named is not there
│   └── DocumentGone     there is no such document; where an answer cites it, it was deleted since
├── AlreadyThere     what was to be made is there already
├── NotAllowed       what is seen may not be changed by whoever asks
├── Unavailable      it cannot be had at the moment; later it may be
│   └── NotReady         the model is still loading, or could not be loaded
└── Failed           something of ours is damaged or broke down: no request can help that
"""

from collections.abc import Iterator
from contextlib import contextmanager

import storage.errors
from engine.errors import ContextOverflow, EngineAway, EngineError, EngineGone
from ingest.errors import IngestError
from storage.errors import DocumentNotFound, OriginalUnreadable, StorageError, StoreUnavailable


class AttestError(Exception):
    """A request failed; the message is for people and says what to do next."""


class NothingToAsk(AttestError):
    """The collection has no document that can be asked yet."""


class MemoryRefused(AttestError):
    """The model cannot read memories; in text mode it answers."""


class NotFound(AttestError):
    """What is named is not there."""


class DocumentGone(NotFound):
    """There is no such document; where an answer cites it, it was deleted since."""


class AlreadyThere(AttestError):
    """What was to be made is there already."""


class NotAllowed(AttestError):
    """What is seen may not be changed by whoever asks."""


class Unavailable(AttestError):
    """It cannot be had at the moment; later it may be."""


class NotReady(Unavailable):
    """The model is still loading, or could not be loaded."""


class Failed(AttestError):
    """Something of ours is damaged or broke down: no request can help that."""


@contextmanager
def for_people() -> Iterator[None]:
    """Errors of the rooms below leave as AttestError, message unchanged."""
    try:
        yield
    except DocumentNotFound as error:
        raise DocumentGone(str(error)) from error
    except storage.errors.NotFound as error:
        raise NotFound(str(error)) from error
    except storage.errors.AlreadyThere as error:
        raise AlreadyThere(str(error)) from error
    except storage.errors.NotAllowed as error:
        raise NotAllowed(str(error)) from error
    except (StoreUnavailable, EngineGone, EngineAway) as error:
        raise Unavailable(str(error)) from error
    except (ContextOverflow, IngestError, OriginalUnreadable) as error:
        raise AttestError(str(error)) from error
    except (EngineError, StorageError) as error:
        raise Failed(str(error)) from error
