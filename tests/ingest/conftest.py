from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.protocol import Tokens
from ingest.document import DocumentInfo, Page, PageWarning
from ingest.limits import Limits
from ingest.sandbox import read
from storage.store import Store

LIMITS = Limits(seconds=30)


@pytest.fixture
def keep(tmp_path: Path) -> Callable[[str, bytes | str], Path]:
    """Write a file into the test's folder."""

    def write(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


class Reading:
    """Everything that one read yields, sorted."""

    def __init__(self, path: Path, password: str | None = None, limits: Limits = LIMITS) -> None:
        items = list(read(path, password=password, limits=limits))
        assert isinstance(items[0], DocumentInfo)
        self.info = items[0]
        self.pages = [item for item in items if isinstance(item, Page)]
        self.warnings = [item for item in items if isinstance(item, PageWarning)]
        assert len(items) == 1 + len(self.pages) + len(self.warnings)
        assert [page.number for page in self.pages] == list(range(1, self.info.page_count + 1))

    @property
    def text(self) -> str:
        return "\n\n".join(page.text for page in self.pages)

    @property
    def headings(self) -> list[tuple[int, str]]:
        return [(heading.level, heading.text) for page in self.pages for heading in page.headings]


def character_tokens(text: str) -> Tokens:
    """A tokenizer of up to three UTF-8 bytes a token that respects words, as byte-level BPE does."""
    ids: list[int] = []
    offsets: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = start + 1
        # A word's token takes the space before it, so a cut changes the first token: like the real ones.
        while end < len(text) and end - start < 3 and text[end].isalnum() and ord(text[end]) < 128:
            end += 1
        pieces = text[start:end].encode("utf-8", "surrogatepass")
        for at in range(0, len(pieces), 3):
            ids.append(int.from_bytes(pieces[at : at + 3], "big"))
            offsets.append((start, end))
        start = end
    return Tokens(ids, offsets)


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """An empty store with one collection, "law"."""
    with Store.open(home) as opened:
        opened.collections.add("law", "legal")
        yield opened
