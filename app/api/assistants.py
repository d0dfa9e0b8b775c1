"""The Model Context Protocol: tools by which an assistant asks, searches and reads the user's documents.

Each result names document, page and characters, so that the assistant can cite what it was told. It only
reads; the protocol itself is the `mcp` package's.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Annotated, TypeVar

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from app.answering.answer import Answer, DoneEvent, Mode
from app.errors import AttestError, MemoryRefused
from app.library.searching import MOST_PASSAGES, Passage, search
from app.service import Service

INSTRUCTIONS = (
    "These tools read the user's own documents, which lie on this machine in collections. `ask` has a local "
    "model answer from them; `search` finds passages for you to read yourself; `read_page` gives a page's "
    "whole text. When you use what they return, cite the document's name and `page_label`, and quote exactly."
)
READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)

Collection = Annotated[str, Field(description="a name that list_collections gives")]
Result = TypeVar("Result")


@dataclass(frozen=True)
class CollectionEntry:
    """documents: how many are in it."""

    name: str
    profile: str
    documents: int


@dataclass(frozen=True)
class Source:
    """A passage that the answer was read from, with the share of attention it had (0 in mode text)."""

    n: int
    document_id: str
    document_name: str
    page: int
    page_label: str
    start: int
    end: int
    text: str
    attention: float


@dataclass(frozen=True)
class SourcedAnswer:
    """abstained: the documents do not answer; the citations are then the nearest passages."""

    answer: str
    abstained: bool
    citations: list[Source]
    model: str
    mode: Mode


@dataclass(frozen=True)
class PageText:
    """A page's text, as citations count its characters. confidence: of recognised text, else None."""

    document_id: str
    document_name: str
    page: int
    page_label: str
    page_count: int
    text: str
    superseded: bool
    confidence: float | None


def build_server(service: Service) -> MCPServer[object]:
    """The server; it speaks when it is run."""
    server: MCPServer[object] = MCPServer(
        "attest", instructions=INSTRUCTIONS, version=metadata.version("attest-assistant")
    )

    @server.tool(annotations=READS)
    async def list_collections() -> list[CollectionEntry]:
        """The collections of documents that can be asked and searched."""
        rows = await _in_thread(service.collections)
        return [CollectionEntry(row.name, row.profile, row.documents) for row in rows]

    @server.tool(annotations=READS)
    async def ask(
        question: str,
        collection: Collection,
        mode: Annotated[
            Mode, Field(description="memory (default), text, or none: without documents")
        ] = "memory",
        max_tokens: Annotated[int, Field(ge=1, le=4096)] = 256,
    ) -> SourcedAnswer:
        """Have the local model answer a question from a collection's documents, with its sources."""
        stop = threading.Event()

        def answer() -> Answer:
            try:
                return _answer(service, question, collection, mode, max_tokens, stop)
            except MemoryRefused:  # as on the page; `mode` in the result says so
                return _answer(service, question, collection, "text", max_tokens, stop)

        try:
            return _sourced(await _in_thread(answer))
        finally:
            stop.set()  # also when the assistant gave up waiting

    @server.tool(name="search", annotations=READS)
    async def search_passages(
        query: str, collection: Collection, count: Annotated[int, Field(ge=1, le=MOST_PASSAGES)] = 8
    ) -> list[Passage]:
        """Find the passages of a collection's documents that are nearest to a query, best first."""
        return await _in_thread(lambda: search(service.store, service.embedder(), query, collection, count))

    @server.tool(annotations=READS)
    async def read_page(document_id: str, page: Annotated[int, Field(ge=1, le=2**31)]) -> PageText:
        """The whole text of one page of a document (pages count from 1)."""
        view = await _in_thread(lambda: service.page_view(document_id, page))
        return PageText(
            view.document_id,
            view.document_name,
            view.page,
            view.page_label,
            view.page_count,
            view.text,
            view.superseded,
            view.confidence,
        )

    return server


async def _in_thread(work: Callable[[], Result]) -> Result:
    """Raises ToolError in the words of what went wrong."""
    try:
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    except AttestError as error:
        raise ToolError(str(error)) from error


def _answer(
    service: Service, question: str, collection: str, mode: Mode, max_tokens: int, stop: threading.Event
) -> Answer:
    for event in service.ask(
        question, collection, mode=mode, max_tokens=max_tokens, stop=stop, client="assistant"
    ):
        if isinstance(event, DoneEvent):
            return event.answer
    raise AttestError("the answer was stopped")


def _sourced(answer: Answer) -> SourcedAnswer:
    sources = [
        Source(
            cited.n,
            cited.document_id,
            cited.document_name,
            cited.page,
            cited.page_label,
            cited.start,
            cited.end,
            cited.text,
            cited.attention,
        )
        for cited in answer.citations
    ]
    return SourcedAnswer(answer.answer, answer.abstained, sources, answer.engine.model, answer.engine.mode)
