"""Takes the encryption off a PDF whose password somebody knows, in a limited process of its own.

The copy is for reading and drawing; passwords are forgotten with the call and never logged. Knows how to
ask, not how to decrypt (ingest.readers.pdf_unlock).
"""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from ingest.errors import ReaderCrashed, TooLarge
from ingest.limits import DEFAULT_LIMITS, Limits
from ingest.media import PDF_HEADER_WITHIN, PDF_MARK
from ingest.sandbox import Child, check_file


def unlock(path: Path, passwords: Sequence[str], copy: BinaryIO, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Write the document without encryption into `copy`, if one of the passwords opens it.

    Returns False, with nothing written, if it is not locked. Raises WrongPassword, and other subclasses of
    UnreadableDocument.
    """
    check_file(path, limits)
    if not _may_be_locked(path):
        return False
    size = 0
    with Child(path, {"task": "unlock", "passwords": list(passwords)}, limits) as child:
        for header, payload in child.messages():
            if header.get("kind") != "block":
                raise ReaderCrashed(f"{path.name}: the encryption could not be taken off")
            size += len(payload)
            if size > limits.file_bytes:
                raise TooLarge(f"{path.name}: more than {limits.file_bytes} bytes without its encryption")
            copy.write(payload)
    return size > 0


def _may_be_locked(path: Path) -> bool:
    """Whether it is worth starting a process: a PDF's encryption is named in clear text."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(PDF_MARK, 0, PDF_HEADER_WITHIN) >= 0 and content.find(b"/Encrypt") >= 0
