"""What reading one file may use. Knows no process and no format."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one file may use.

    memory_bytes: address space of the reading process. recognition_bytes: more of it, once a page has to be
    recognised. seconds: longest wait for the next page. recognition_seconds: for the next lines of a page
    that is being recognised. total_seconds: processor time for the whole file, counted anew while pages are
    recognised. pages: most pages. file_bytes: largest file. page_characters: text beyond this is cut off
    each page, with a warning.
    """

    memory_bytes: int = 1536 * 2**20
    recognition_bytes: int = 1536 * 2**20
    seconds: float = 60.0
    recognition_seconds: float = 300.0
    total_seconds: int = 3600
    pages: int = 20_000
    file_bytes: int = 2 * 2**30
    page_characters: int = 1_000_000


DEFAULT_LIMITS = Limits()
