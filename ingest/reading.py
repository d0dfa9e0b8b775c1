"""A file becomes stretches: some pages with their references, each stored in one go.

A stretch ends after a page, once it has enough pages or enough references. Both are counted from where the
last one ended, so stretches, and with them the batches in which texts are embedded, are the same whether or
not reading was interrupted between two of them. That matters to the last bit: an embedder's numbers depend
on what shares a batch (padding, and the kernels that a shape chooses).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.protocol import Tokens
from ingest import sandbox
from ingest.chunk import Reference, chunk
from ingest.document import PDF, DocumentInfo, Heading, Page, PageWarning, Read, Start
from ingest.headings import HeadingPath
from ingest.progress import Progress
from storage.records import Checkpoint, DocumentRow, PageHeading, PageRow
from storage.store import Store

PAGES = 16
REFERENCES = 128


@dataclass(frozen=True)
class Stretch:
    """Pages, the references cut from them, and where reading goes on behind them."""

    pages: list[Page]
    references: list[Reference]
    after: Checkpoint


class Reading:
    """Reads one document from a checkpoint on. title: its own; total: pages; both known after the first item.

    read: a reader to use in this process, for files that are known to be harmless.
    """

    def __init__(
        self,
        store: Store,
        document: DocumentRow,
        checkpoint: Checkpoint,
        progress: Progress,
        read: Callable[[Path], Read] | None = None,
    ) -> None:
        self._store, self._document, self._progress = store, document, progress
        self._checkpoint = checkpoint
        self._read = read
        self.title: str | None = None
        self.total = 0
        self.last = checkpoint.page

    def stretches(
        self, path: Path, tokenize: Callable[[str], Tokens], header_title: str
    ) -> Iterator[Stretch]:
        headings = HeadingPath(Heading(h.start, h.level, h.text) for h in self._checkpoint.headings)
        pages: list[Page] = []
        references: list[Reference] = []
        for page in self._pages(path):
            pages.append(page)
            for reference in chunk([page], tokenize, header_title, path=headings):
                references.append(reference)
                self._progress("chunking", page.number, self.total)
            if len(pages) >= PAGES or len(references) >= REFERENCES:
                yield Stretch(pages, references, self._behind(headings))
                pages, references = [], []
        if pages:
            yield Stretch(pages, references, self._behind(headings))

    def _behind(self, headings: HeadingPath) -> Checkpoint:
        return Checkpoint(self.last, tuple(PageHeading(h.start, h.level, h.text) for h in headings.open))

    def _pages(self, path: Path) -> Iterator[Page]:
        """Pages behind the checkpoint, in order; what else the reader says goes to the document."""
        if self._read is not None:
            items = self._read(path)
        else:
            items = sandbox.read(path, start=self._start(), stopped=self._progress.interrupted)
        for item in items:
            if isinstance(item, DocumentInfo):
                self.total, self.title = item.page_count, item.title
                self._store.documents.set_info(
                    self._document.id, media_type=item.media_type, title=item.title, page_count=self.total
                )
            elif isinstance(item, PageWarning):
                self._store.documents.add_warning(self._document.id, item.page, item.message)
            elif item.number > self._checkpoint.page:
                self.last = item.number
                self.total = max(self.total, item.number)
                yield item
            self._progress("reading", self.last, self.total)

    def _start(self) -> Start:
        """What the reading process has to know of the pages that are stored."""
        spoken, damaged, texts = False, 0, []
        if self._checkpoint.page:
            for page in self._store.pages.iterate(self._document.id):
                spoken = spoken or bool(page.text.strip())
                damaged += self._document.media_type == PDF and page.width is None
                texts.append(page.text)
        return Start(self._checkpoint.page, spoken, damaged, tuple(texts))


def page_row(page: Page) -> PageRow:
    headings = tuple(PageHeading(h.start, h.level, h.text) for h in page.headings)
    return PageRow(
        page.number,
        page.label,
        page.text,
        page.width,
        page.height,
        page.boxes,
        headings,
        page.confidence,
        page.margins,
    )
