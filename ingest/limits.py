"""What reading one file may use. Knows no process and no format."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one file may use.

    memory_bytes: address space of the reading process. seconds: longest wait for the next page.
    total_seconds: processor time for the whole file. pages: most pages. file_bytes: largest file.
    page_characters: text beyond this is cut off each page, with a warning.
    """

    memory_bytes: int = 1536 * 2**20
    seconds: float = 60.0
    total_seconds: int = 3600
    pages: int = 20_000
    file_bytes: int = 2 * 2**30
    page_characters: int = 1_000_000


DEFAULT_LIMITS = Limits()
