"""A service without a model: documents typeset in memory, answers from a script, the same events.

It draws its own pages, so that every character's box is known and an overlay can be checked against it.
"""

import io
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from PIL import Image, ImageDraw, ImageFont

from app.answering.answer import (
    Answer,
    AnswerEvent,
    DoneEvent,
    Mode,
    QueuedEvent,
    ReadEvent,
    Rect,
    TokenEvent,
    TrimmedEvent,
)
from app.errors import AttestError, DocumentGone, MemoryRefused
from app.evidence.citing import Presented
from app.library.views import Original, PageView
from storage.grants import LOCAL, Viewer
from storage.listing import ALL
from storage.records import Wanted
from tests.app.web.scripted import HEIGHT, SIZE, WIDTH, boxes, legal_answer, medical_answer
from tests.app.web.shelf import (
    Added,
    Collection,
    Deleted,
    Document,
    DoubleSharing,
    DoubleShelves,
    Listing,
    library,
    listing,
)
from tests.app.web.talks import DoubleConversations


@dataclass(frozen=True)
class Engine:
    ready: bool = True
    model: str = "SmolLM2-360M-Instruct"
    backend: str = "torch"
    quantisation: str = "bf16"
    device: str = "CPU"
    device_reason: str = "no CUDA device was found"
    message: str = ""
    adapter: str = "reader"


@dataclass(frozen=True)
class Worker:
    alive: bool = True
    pid: int | None = 1234
    tokens_per_second: float | None = 1240.0
    seconds_left: float | None = 250.0


class NoAccounts:
    """Without users: whoever comes is the local one."""

    def let_in(self, token: str | None) -> Viewer | None:
        return LOCAL

    def sign_in(self, name: str, password: str, address: str) -> str:
        raise AttestError("there are no users")

    def vouched_for(self, subject: str, email: str | None) -> str:
        raise AttestError("there are no users")

    def sign_out(self, token: str) -> None: ...


@dataclass(frozen=True)
class Check:
    name: str
    state: str
    message: str


@dataclass(frozen=True)
class Health:
    engine: Engine
    checks: Sequence[Check]
    audited: Sequence[str] | None = None
    version: str = "0.1.0"
    embedder: str = "all-minilm-l6-v2"
    home: str = "/home/reader/attest"
    collections: int = 2
    documents: int = 8
    passages: int = 1600
    memories: int = 220
    memory_bytes: int = 88_000_000
    free: int = 68_000_000_000
    workers: int = 1
    lacking: int | None = 0
    models: Sequence[str] = ("smollm2-135m-instruct",)


class DoubleService:
    """In memory; `pace` is seconds between tokens. Everything that it was asked to do is recorded."""

    def __init__(self, folder: Path, pace: float = 0.0) -> None:
        self.folder = folder
        self.pace = pace
        self.library = library()
        self.kinds = {"Contracts": "legal", "Medicines": "medical"}
        self.asked: list[tuple[str, str, Mode, list[tuple[str, str]]]] = []
        self.clients: list[str] = []  # who asked, in the order of `asked`
        self.added: list[tuple[str, bytes]] = []
        self.failing: str | None = None
        self.abstaining = False
        self.refusal: str | None = None  # why memories cannot be read
        self.trimmed = 0  # messages that are left out of every conversation
        self.ahead = 0  # questions before each one, until `turn` is set
        self.turn = threading.Event()
        self.engine = Engine()
        self.worker = Worker()
        self.conversations = DoubleConversations(self.library)
        self.measured = 0
        self.quiet = False  # else what an answer needed is measured at once
        self.accounts = NoAccounts()
        self.provider = None
        self.reports: list[int] = []
        self.shelves = DoubleShelves(self)
        self.sharing = DoubleSharing()
        self.scopes: list[list[str] | None] = []  # what each question was asked of
        self.checks = [Check("disk", "ok", "68000000000 bytes free")]
        self.audited: list[str] = []
        self.lacking = 0

    def as_user(self, viewer: Viewer) -> Self:
        return self

    def report_taken(self, answer_id: int, size: int) -> None:
        self.reports.append(answer_id)

    def profiles(self) -> dict[str, str]:
        return dict(self.kinds)

    def add_collection(self, name: str, profile: str) -> Collection:
        if not name or name in self.kinds:
            raise AttestError(f"A collection named “{name}” exists already; choose another name.")
        self.kinds[name] = profile
        return Collection(name, profile)

    def add_documents(
        self, paths: Sequence[Path], collection: str, profile: str | None = None
    ) -> list[Added]:
        results = []
        for path in paths:
            content = path.read_bytes()
            self.added.append((path.name, content))
            if not content:
                results.append(Added(path, None, "failed", "the file is empty"))
                continue
            identity = f"new{len(self.library)}"
            self.library[identity] = Document(
                identity, path.name, "queued", "waiting", collection=collection, texts=("A new text.",)
            )
            results.append(Added(path, identity, "queued"))
        return results

    def of(self, collection: str) -> list[Document]:
        return [item for item in self.library.values() if item.collection == collection]

    def document_listing(self, collection: str, first: int, count: int, wanted: Wanted = ALL) -> Listing:
        return listing(self.of(collection), first, count, wanted)

    def delete_collection(self, name: str) -> list[Deleted]:
        del self.kinds[name]
        return [self.delete_document(each.document_id) for each in self.of(name)]

    def health(self, *, thorough: bool = False) -> Health:
        return Health(self.engine, self.checks, self.audited if thorough else None, lacking=self.lacking)

    def use_model(self, model: str) -> None:
        if not model.strip():
            raise AttestError("no model ''")
        self.engine = replace(self.engine, model=model, ready=False, message=f"loading the model {model}")

    def write_memories(self) -> int:
        self.lacking = 0
        return 3

    def ratings(self) -> bytes:
        return b"PK rated"

    def document(self, document_id: str) -> Document:
        return self.library[document_id]

    def delete_document(self, document_id: str) -> Deleted:
        gone = self.library.pop(document_id)
        return Deleted(document_id, 9, gone.references, gone.memories, 1, 4_200_000)

    def cancel_document(self, document_id: str) -> None:
        self.library[document_id] = replace(self.library[document_id], status="cancelled", stage=None)

    def page_view(self, document_id: str, page: int) -> PageView:
        if document_id not in self.library:
            raise DocumentGone(f"there is no document {document_id}; see `attest documents list`")
        if not 1 <= page <= len(self.library[document_id].texts):
            raise AttestError("There is no such page.")
        document = self.library[document_id]
        size = (WIDTH, HEIGHT) if document.has_image else (0.0, 0.0)
        text = document.texts[page - 1]
        count = len(document.texts)
        return PageView(document_id, document.name, page, str(page), count, text, *size, document.has_image)

    def page_png(self, document_id: str, page: int, width_px: int) -> bytes:
        view = self.page_view(document_id, page)
        if not view.has_image:
            raise AttestError("This format has no page images.")
        scale = width_px / WIDTH
        image = Image.new("RGB", (width_px, round(HEIGHT * scale)), "white")
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(SIZE * scale)
        for (x0, y0, _, _), letter in zip(boxes(view.text), view.text, strict=True):
            draw.text((x0 * scale, y0 * scale), letter.strip(), fill="#1b1b1b", font=font)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    def rectangles(self, document_id: str, page: int, spans: Sequence[tuple[int, int]]) -> list[list[Rect]]:
        view = self.page_view(document_id, page)
        if not view.has_image:
            return [[] for _ in spans]
        letters = boxes(view.text)
        found: list[list[Rect]] = []
        for start, end in spans:
            lines: dict[float, list[Rect]] = {}
            for box in letters[start:end]:
                lines.setdefault(box[1], []).append(box)
            found.append([(row[0][0], top, row[-1][2], row[0][3]) for top, row in lines.items()])
        return found

    def present(self, answer: Answer, collection: str) -> Presented:
        return Presented(answer, {each.n: f"p. {each.page_label}, § {each.n}" for each in answer.citations})

    def idle(self) -> bool:
        return self.quiet

    def needed(
        self, question: str, collection: str, answer: Answer, *, history: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        self.measured += 1
        cited = [replace(each, needed=0.5 / each.n) for each in answer.citations]
        sentences = [replace(mark, needed={n: 0.5 / n for n in (1, 2, 3)}) for mark in answer.sentences]
        return replace(answer, citations=cited, sentences=sentences)

    def original(self, document_id: str) -> Original:
        if document_id not in self.library:
            raise AttestError("This document was removed.")
        path = self.folder / f"{document_id}.bin"
        path.write_bytes(b"original bytes")
        return Original(path, self.library[document_id].name)

    def engine_status(self) -> Engine:
        return self.engine

    def worker_status(self) -> Worker:
        return self.worker

    def ask(
        self,
        question: str,
        collection: str,
        *,
        mode: Mode = "memory",
        history: Sequence[tuple[str, str]] = (),
        max_tokens: int = 128,
        stop: threading.Event | None = None,
        client: str = "",
        documents: Sequence[str] | None = None,
    ) -> Iterator[AnswerEvent]:
        self.asked.append((question, collection, mode, list(history)))
        self.scopes.append(None if documents is None else list(documents))
        self.clients.append(client)
        if self.refusal is not None and mode == "memory":
            raise MemoryRefused(self.refusal)
        if self.trimmed:
            yield TrimmedEvent(self.trimmed)
        if self.ahead:
            yield QueuedEvent(self.ahead)
            self.turn.wait()
        if self.failing:
            raise AttestError(self.failing)
        answer = medical_answer() if collection == "Medicines" else legal_answer(mode, self.abstaining)
        if not answer.abstained:
            for word in answer.answer.split(" "):
                if stop is not None and stop.is_set():
                    break
                time.sleep(self.pace)
                yield TokenEvent(word + " ")
            for read in answer.reads:
                yield ReadEvent(read)
        yield DoneEvent(replace(answer, documents=self.scopes[-1]))
