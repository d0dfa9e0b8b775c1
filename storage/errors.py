"""Everything that the store raises.

StorageError
├── NotFound
│   ├── CollectionNotFound
│   ├── DocumentNotFound
│   ├── PageNotFound
│   ├── JobNotFound
│   ├── BankNotFound
│   ├── ConversationNotFound
│   ├── AnswerNotFound
│   ├── KeyNotFound
│   └── UserNotFound
├── AlreadyThere
│   ├── CollectionExists
│   ├── KeyExists
│   └── UserExists
├── NotAllowed           what is seen may not be changed by whoever asks
├── OriginalUnreadable   a file to be added cannot be read
├── InvalidPage          a page's boxes do not fit its text
├── InvalidReference     a reference's span, arrays or vector do not fit its page, its tokens or one another
├── JobLost              another worker has taken the job over, or it was ended meanwhile
├── MemoryCorrupt        a stored memory is damaged; rebuilding it repairs the bank
├── CodebookDamaged      what a bank's memories were coded with is damaged, or belongs to another bank
├── FingerprintConflict  one fingerprint id names two different fingerprints
├── EmbedderChanged      stored vectors of an embedder have another dimension than it has now
├── UnsupportedArray     an array's number format cannot be stored
└── StoreUnavailable     the store as a whole cannot be used now
    ├── StoreBusy        another process held the database for longer than the wait
    ├── StoreDamaged     the database file is not readable as a database
    ├── StoreReadOnly    the home folder or the database cannot be written
    ├── DiskFull         no space left for what was to be written
    └── SchemaTooNew     the store was written by a newer release

Each message says what happened, to what, and what to do next.
"""


class StorageError(Exception):
    """Base of all storage errors."""


class NotFound(StorageError):
    """The named thing is not in the store."""


class CollectionNotFound(NotFound):
    """No collection of that name."""


class DocumentNotFound(NotFound):
    """No document of that id (it may have been deleted meanwhile)."""


class PageNotFound(NotFound):
    """The document has no such page, or it is not read yet."""


class JobNotFound(NotFound):
    """No job of that id."""


class KeyNotFound(NotFound):
    """No key of that name."""


class UserNotFound(NotFound):
    """No user of that name."""


class BankNotFound(NotFound):
    """No bank of that fingerprint."""


class ConversationNotFound(NotFound):
    """No conversation of that id (it may have been deleted meanwhile)."""


class AnswerNotFound(NotFound):
    """No kept answer of that id (it may have been deleted with its conversation)."""


class AlreadyThere(StorageError):
    """Something of that name is in the store already."""


class CollectionExists(AlreadyThere):
    """A collection of that name is there already."""


class KeyExists(AlreadyThere):
    """A key of that name is there already, or was."""


class UserExists(AlreadyThere):
    """A user of that name or address is there already."""


class NotAllowed(StorageError):
    """What is seen may not be changed by whoever asks."""


class OriginalUnreadable(StorageError):
    """A file to be added cannot be read."""


class InvalidPage(StorageError):
    """A page's boxes do not fit its text."""


class InvalidReference(StorageError):
    """A reference's span, arrays or vector do not fit its page, its tokens or one another."""


class JobLost(StorageError):
    """Another worker has taken the job over, or it was ended meanwhile."""


class MemoryCorrupt(StorageError):
    """A stored memory is damaged. `reference_ids` are those to write again."""

    def __init__(self, message: str, reference_ids: tuple[int, ...]) -> None:
        super().__init__(message)
        self.reference_ids = reference_ids


class CodebookDamaged(StorageError):
    """What a bank's memories were coded with is damaged, or belongs to another bank."""


class FingerprintConflict(StorageError):
    """One fingerprint id names two different fingerprints."""


class EmbedderChanged(StorageError):
    """Stored vectors of an embedder have another dimension than it has now."""


class UnsupportedArray(StorageError):
    """An array's number format cannot be stored."""


class StoreUnavailable(StorageError):
    """The store as a whole cannot be used now."""


class StoreBusy(StoreUnavailable):
    """Another process held the database for longer than the wait."""


class StoreDamaged(StoreUnavailable):
    """The database file is not readable as a database."""


class StoreReadOnly(StoreUnavailable):
    """The home folder or the database cannot be written."""


class DiskFull(StoreUnavailable):
    """No space left for what was to be written."""


class SchemaTooNew(StoreUnavailable):
    """The store was written by a newer release."""
