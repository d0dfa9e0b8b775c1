"""Everything that reading and cutting documents raises.

IngestError
├── ReferenceLimitTooSmall   the token limit leaves no room for text beside the header
├── ReadingStopped           the caller gave up while a page was being read
└── UnreadableDocument       this file cannot be read; other files are not affected
    ├── MissingFile          no such file, or a folder
    ├── PermissionDenied     the file exists but may not be opened
    ├── EmptyFile            nothing in it: zero bytes, or no text at all
    ├── UnsupportedFormat    what it really is, and why that is not read
    ├── PasswordRequired     encrypted, and no password was given
    │   └── WrongPassword    encrypted, and the given password does not open it
    ├── DamagedFile          the format is right but the content cannot be parsed
    ├── NoPages              a PDF without pages
    ├── NoSuchPage           a page number beyond the document's last page
    ├── NoText               pages, but images only
    ├── TooLarge             more pages, bytes or memory than the limits allow
    ├── DiskFailed           the disk could not read the file
    ├── ReaderCrashed        the reading process died
    └── ReaderTimeout        the reading process made no progress in time

`lasting` tells the content's own faults, which the same readers will find in it again, from failures of the
moment.

Each message starts with the file's name and says what happened and what to do next. Errors cross the border
between the reading process and its parent as (class name, message); `by_name` finds the class again.
"""

from typing import ClassVar


class IngestError(Exception):
    """Base of all errors of this room."""


class ReferenceLimitTooSmall(IngestError):
    """The token limit of a reference leaves no room for text beside the header."""


class ReadingStopped(IngestError):
    """The caller gave up while a page was being read; the reading process was ended."""


class UnreadableDocument(IngestError):
    """One file cannot be read; says which and why.

    lasting: the content itself is the reason; the same bytes will fail again with the same readers.
    passing: it may well go away by itself, so that it is worth trying again at once.
    """

    lasting: ClassVar[bool] = False
    passing: ClassVar[bool] = False


class MissingFile(UnreadableDocument):
    """No such file, or a folder where a file was expected."""


class PermissionDenied(UnreadableDocument):
    """The file exists but may not be opened."""


class EmptyFile(UnreadableDocument):
    """Zero bytes, or nothing that could be cited."""

    lasting = True


class UnsupportedFormat(UnreadableDocument):
    """A format that is not read; says what the content really is."""

    lasting = True


class PasswordRequired(UnreadableDocument):
    """Encrypted, and no password was given."""

    lasting = True


class WrongPassword(PasswordRequired):
    """Encrypted, and the given password does not open it."""


class DamagedFile(UnreadableDocument):
    """The content cannot be parsed as the format it claims to be."""

    lasting = True


class NoPages(UnreadableDocument):
    """A document without pages."""

    lasting = True


class NoSuchPage(UnreadableDocument):
    """A page number beyond the document's last page."""


class NoText(UnreadableDocument):
    """Pages that hold images only."""

    lasting = True


class TooLarge(UnreadableDocument):
    """More pages, bytes, pixels or memory than the limits allow."""


class DiskFailed(UnreadableDocument):
    """The disk, or the network behind it, could not read the file this time."""

    passing = True


class ReaderCrashed(UnreadableDocument):
    """The reading process died or spoke nonsense."""

    passing = True


class ReaderTimeout(UnreadableDocument):
    """The reading process made no progress in time and was ended."""


_BY_NAME: dict[str, type[UnreadableDocument]] = {
    cls.__name__: cls
    for cls in (
        MissingFile,
        PermissionDenied,
        EmptyFile,
        UnsupportedFormat,
        PasswordRequired,
        WrongPassword,
        DamagedFile,
        NoPages,
        NoSuchPage,
        NoText,
        TooLarge,
        DiskFailed,
        ReaderCrashed,
        ReaderTimeout,
    )
}


def by_name(name: str, message: str) -> UnreadableDocument:
    """The error that a reading process reported; an unknown name becomes ReaderCrashed."""
    return _BY_NAME.get(name, ReaderCrashed)(message)
