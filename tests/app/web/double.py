"""A service without a model: documents typeset in memory, answers from a script, the same events.

It draws its own pages, so that every character's box is known and an overlay can be checked against it.
"""

import io
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from PIL import Image, ImageDraw, ImageFont

from app.answering.answer import (
    Answer,
    AnswerEvent,
    Citation,
    DoneEvent,
    EngineDescription,
    MemoryRead,
    Mode,
    Other,
    QueuedEvent,
    ReadEvent,
    Rect,
    SentenceMark,
    StretchRead,
    Timings,
    TokenAttention,
    TokenEvent,
    TrimmedEvent,
)
from app.answering.conversations import Kept
from app.errors import AttestError, DocumentGone, MemoryRefused
from app.evidence.citing import Presented
from app.library.forecast import Forecast
from app.library.views import Original, PageView
from app.web.documents import PER_PAGE, is_busy
from storage.grants import LOCAL, Viewer
from storage.listing import ALL
from storage.records import SEARCHABLE, AnswerSource, Wanted

WIDTH, HEIGHT, MARGIN, SIZE, LEADING = 612.0, 792.0, 64.0, 11, 17.0

LEASE = (
    "4. Term and termination. This lease begins on 1 March 2024 and runs for five years. Either party may "
    "end it by giving not less than ninety days' notice in writing, delivered to the address in Schedule 1. "
    "If the tenant fails to pay rent for thirty days after a written demand, the landlord may end the lease "
    "with fourteen days' notice. Termination does not affect rights that have already arisen.\n"
    "5. Rent. The tenant shall pay a yearly rent of 48,000 euros in equal monthly instalments, in advance, "
    "on the first working day of each month. Rent that is paid late bears interest at four per cent above "
    "the base rate of the central bank from the due date until payment.\n"
    "6. Use. The premises may be used as offices only. The tenant shall not assign the lease or sublet any "
    "part of the premises without the landlord's prior written consent, which shall not be unreasonably "
    "withheld. Alterations need consent in writing and shall be undone at the end of the term if the "
    "landlord so requires.\n"
    "7. Governing law. This lease is governed by the law of the Republic of Ireland, and the courts of "
    "Dublin have exclusive jurisdiction over any dispute that arises from it."
)
SCHEDULE = (
    "Schedule 1. Notices to the landlord: 12 Harbour Row, Dublin 2. Notices to the tenant: the premises."
)
NOTES = (
    "Notes of the meeting of 4 June. The tenant asked for a rent holiday of two months while the roof is "
    "repaired. The landlord will answer by the end of the month. Ninety days' notice was mentioned, as in "
    "clause 4 of the lease."
)
HOSTILE = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"


@dataclass(frozen=True)
class Collection:
    name: str
    profile: str
    documents: int = 0
    references: int = 0
    memories: int = 0


@dataclass(frozen=True)
class Document:
    document_id: str
    name: str
    status: str = "ready"
    stage: str | None = None
    done: int = 0
    total: int = 0
    pages: int = 1
    references: int = 4
    memories: int = 4
    bytes: int = 1000
    warnings: list[tuple[int | None, str]] = field(default_factory=list)
    error: str | None = None
    collection: str = "Contracts"
    texts: tuple[str, ...] = (LEASE,)
    has_image: bool = True
    superseded_by: str | None = None
    version: int | None = None
    added_at: float = 1_700_000_000.0


@dataclass(frozen=True)
class Added:
    path: Path
    document_id: str | None
    status: str
    error: str | None = None


@dataclass(frozen=True)
class Deleted:
    document_id: str
    rows: int
    vectors: int
    memories: int
    files: int
    bytes_freed: int


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


@dataclass(frozen=True)
class Listing:
    documents: list[Document]
    first: int
    total: int
    askable: int
    busy: int
    matching: int
    failed: int
    references: int


def listing(
    documents: Sequence[Document], first: int = 0, count: int = PER_PAGE, wanted: Wanted = ALL
) -> Listing:
    """A page of documents as the service would give it."""
    order = ordered(documents, wanted)
    first = min(max(first, 0), max(len(order) - 1, 0) // count * count)
    return Listing(
        order[first : first + count],
        first,
        len(documents),
        sum(document.status in SEARCHABLE for document in documents),
        sum(map(is_busy, documents)),
        len(order),
        sum(document.status in ("failed", "cancelled") for document in documents),
        sum(document.references for document in documents),
    )


def ordered(documents: Sequence[Document], wanted: Wanted) -> list[Document]:
    standing = {
        None: lambda each: True,
        "working": is_busy,
        "askable": lambda each: each.status in SEARCHABLE,
        "failed": lambda each: each.status in ("failed", "cancelled"),
        "warned": lambda each: bool(each.warnings),
    }[wanted.standing]
    by = {
        "added": lambda each: not is_busy(each),
        "name": lambda each: each.name.lower(),
        "size": lambda each: -each.bytes,
        "pages": lambda each: -each.pages,
        "state": lambda each: each.status,
    }[wanted.order]
    found = [each for each in documents if standing(each) and wanted.text.lower() in each.name.lower()]
    return sorted(found, key=by, reverse=wanted.turned)


def library() -> dict[str, Document]:
    """One document in every state that the page has words for."""
    documents = [
        Document("lease", "Office lease, Harbour Row.pdf", pages=2, texts=(LEASE, SCHEDULE)),
        Document("notes", "Meeting notes 4 June.txt", texts=(NOTES,), has_image=False, references=1),
        Document(
            "supply",
            "Master supply agreement with all of its schedules and amendments.pdf",
            "answerable",
            "writing",
            120,
            1500,
            340,
            1500,
        ),
        Document("scan", "Scanned deed.pdf", "reading", "reading", 3, 40, 0, 0),
        Document("next", "Side letter.docx", "queued", "waiting"),
        Document("half", "Annexes.pdf", "partial", pages=12, references=61, warnings=[(7, "no text layer")]),
        Document("broken", "Guarantee.pdf", "failed", error="the file is encrypted; add its password"),
        Document("leaflet", "Leaflet.pdf", collection="Medicines", texts=(HOSTILE,), has_image=False),
    ]
    return {document.document_id: document for document in documents}


@dataclass
class Talk:
    """A kept conversation."""

    id: int
    collection: str
    title: str
    changed_at: float = 1_700_000_000.0
    answers: int = 0


class DoubleConversations:
    """Kept in memory; documents that are gone from `library` are deleted sources."""

    def __init__(self, library: dict[str, Document]) -> None:
        self.library = library
        self.talks: dict[int, Talk] = {}
        self.kept: dict[int, Kept] = {}

    def keep(
        self,
        conversation_id: int | None,
        question: str,
        collection: str,
        answer: Answer,
        *,
        mode: Mode,
        max_tokens: int,
        stopped: bool = False,
        remarks: Sequence[str] = (),
        beside: int | None = None,
    ) -> Kept:
        if beside is not None:
            conversation_id = self.kept[beside].conversation_id
        if conversation_id is None:
            conversation_id = len(self.talks) + 1
            self.talks[conversation_id] = Talk(conversation_id, collection, question)
        self.talks[conversation_id].answers += beside is None
        number = len(self.kept) + 1
        remarks = tuple(remarks)
        self.kept[number] = Kept(
            number,
            conversation_id,
            collection,
            question,
            mode,
            max_tokens,
            answer,
            (),
            stopped,
            remarks,
            beside,
        )
        return self._now(number)

    def measured(self, answer_id: int, answer: Answer) -> Kept:
        self.kept[answer_id] = replace(self.kept[answer_id], answer=answer)
        return self._now(answer_id)

    def rate(self, answer_id: int, rating: int, note: str) -> Kept:
        self.kept[answer_id] = replace(self.kept[answer_id], rating=rating, note=note)
        return self._now(answer_id)

    def answer(self, answer_id: int) -> Kept:
        if answer_id not in self.kept:
            raise AttestError(f"there is no kept answer {answer_id}")
        return self._now(answer_id)

    def history(self, conversation_id: int, before: int | None = None) -> list[tuple[str, str]]:
        earlier = [kept for key, kept in self.kept.items() if before is None or key < before]
        return [(kept.question, kept.answer.answer) for kept in earlier]

    def answers(self, conversation_id: int) -> list[Kept]:
        self.get(conversation_id)
        return [self._now(key) for key, kept in self.kept.items() if kept.conversation_id == conversation_id]

    def list(self, collection: str | None = None, *, text: str | None = None, limit: int = 100) -> list[Talk]:
        found = [talk for talk in self.talks.values() if (text or "").lower() in talk.title.lower()]
        return sorted(found, key=lambda talk: -talk.id)[:limit]

    def get(self, conversation_id: int) -> Talk:
        if conversation_id not in self.talks:
            raise AttestError(f"there is no conversation {conversation_id}")
        return self.talks[conversation_id]

    def branch(self, conversation_id: int, last: int) -> int:
        made = len(self.talks) + 1
        self.talks[made] = replace(self.get(conversation_id), id=made)
        for key, kept in list(self.kept.items()):
            if kept.conversation_id == conversation_id and kept.beside is None and key <= last:
                number = len(self.kept) + 1
                self.kept[number] = replace(kept, id=number, conversation_id=made, rating=0, note="")
        return made

    def rename(self, conversation_id: int, title: str) -> None:
        self.get(conversation_id).title = title

    def delete(self, conversation_id: int) -> int:
        self.get(conversation_id)
        del self.talks[conversation_id]
        return 1

    def _now(self, number: int) -> Kept:
        """With the texts of deleted documents gone, as the store does it."""
        kept = self.kept[number]
        named = dict.fromkeys(cited.document_id for cited in kept.answer.citations)
        sources = [
            AnswerSource(key, self.library[key].name, "ab" * 32, None)
            if key in self.library
            else AnswerSource(None, None, None, 1_700_000_000.0)
            for key in named
        ]
        cited = [
            each
            if each.document_id in self.library
            else replace(each, document_name="a deleted document", text="", document_id="deleted-0")
            for each in kept.answer.citations
        ]
        return replace(kept, sources=sources, answer=replace(kept.answer, citations=cited))


class NoAccounts:
    """Without users: whoever comes is the local one."""

    def let_in(self, token: str | None) -> Viewer | None:
        return LOCAL

    def sign_in(self, name: str, password: str, address: str) -> str:
        raise AttestError("there are no users")

    def vouched_for(self, subject: str, email: str | None) -> str:
        raise AttestError("there are no users")

    def sign_out(self, token: str) -> None: ...


class DoubleShelves:
    """Works on the double's library; `password` opens what is locked."""

    password = "open sesame"

    def __init__(self, service: "DoubleService") -> None:
        self.service = service
        self.retried: list[str] = []
        self.forecast_of: dict[Path, int] = {}
        self.free = 60_000_000_000

    def matching(self, collection: str, wanted: Wanted) -> list[str]:
        return [each.document_id for each in ordered(self.service.of(collection), wanted)]

    def rename(self, document_id: str, name: str) -> str:
        if not name.strip():
            raise AttestError("a document needs a name")
        self._change(document_id, name=name)
        return name

    def move(self, document_ids: Sequence[str], source: str, target: str) -> int:
        for document_id in document_ids:
            self._change(document_id, collection=target)
        return len(document_ids)

    def retry(self, document_id: str) -> bool:
        if self.service.library[document_id].status not in ("failed", "cancelled"):
            return False
        self.retried.append(document_id)
        self._change(document_id, status="queued", stage="waiting", error=None)
        return True

    def unlock(self, document_id: str, password: str) -> None:
        if password != self.password:
            raise AttestError("not with this password; try another one")
        self.retry(document_id)

    def rename_collection(self, name: str, new: str) -> str:
        if new in self.service.kinds:
            raise AttestError(f"there is a collection {new!r} already; choose another name")
        kinds = {new if key == name else key: kind for key, kind in self.service.kinds.items()}
        self.service.kinds.clear()
        self.service.kinds.update(kinds)
        for each in self.service.of(name):
            self._change(each.document_id, collection=new)
        return new

    def forecast(self, files: Mapping[Path, int]) -> Forecast:
        self.forecast_of = dict(files)
        total = sum(files.values())
        return Forecast(len(files), total, 1200, 9_600_000, 480_000_000, self.free, 5400.0)

    def _change(self, document_id: str, **values: Any) -> None:
        self.service.library[document_id] = replace(self.service.library[document_id], **values)


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
        self.scopes: list[list[str] | None] = []  # what each question was asked of
        self.checks = [Check("disk", "ok", "68000000000 bytes free")]
        self.audited: list[str] = []

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
        return Health(self.engine, self.checks, self.audited if thorough else None)

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


def boxes(text: str) -> list[Rect]:
    """A box in PDF points for every character of a page that is set in one column."""
    font = ImageFont.load_default(SIZE)
    found: list[Rect] = []
    x, y, index = MARGIN, MARGIN, 0
    while index < len(text):
        word_end = min(
            (p for p in (text.find(" ", index), text.find("\n", index)) if p >= 0), default=len(text)
        )
        word = text[index : word_end + 1]
        if x + font.getlength(word.strip()) > WIDTH - MARGIN:
            x, y = MARGIN, y + LEADING
        for letter in word:
            width = font.getlength(" " if letter == "\n" else letter)
            found.append((x, y, x + width, y + SIZE * 1.2))
            x += width
        if word.endswith("\n"):
            x, y = MARGIN, y + 1.6 * LEADING
        index = word_end + 1
    return found


def span(text: str, part: str) -> tuple[int, int]:
    """Where `part` lies in `text`."""
    start = text.index(part)
    return start, start + len(part)


def memory(
    reference: int, document: str, text: str, part: tuple[int, int], mass: float, words: dict[str, float]
) -> MemoryRead:
    """A read of one passage; `words` are weights of its words, scaled to `mass`."""
    whole = sum(words.values()) or 1.0
    tokens = [
        TokenAttention(*span(text, word), *[mass * weight / whole] * 2) for word, weight in words.items()
    ]
    return MemoryRead(reference, document, 1, *part, text[part[0] : part[1]], mass * 3, mass, tokens, mass)


def legal_reads() -> list[StretchRead]:
    """Two stretches over the lease and the notes; every one sums to 1."""
    term = (0, LEASE.index("5. Rent"))
    use = (LEASE.index("6. Use"), LEASE.index("7. Governing"))
    rent = (LEASE.index("5. Rent"), LEASE.index("6. Use"))
    heat = {"ninety days'": 5, "notice in writing": 4, "Either party": 2, "delivered to": 1, "fourteen": 1.6}
    notes = (0, len(NOTES))
    first = [
        memory(1, "lease", LEASE, term, 0.31, heat),
        memory(2, "notes", NOTES, notes, 0.12, {"Ninety": 2, "clause 4": 1, "rent holiday": 0.2}),
        memory(3, "lease", LEASE, rent, 0.05, {"interest": 1}),
        memory(4, "lease", LEASE, use, 0.02, {"consent": 1}),
    ]
    second = [
        memory(1, "lease", LEASE, term, 0.22, {"fourteen": 3, "thirty": 2, "written demand": 1}),
        memory(3, "lease", LEASE, rent, 0.14, {"monthly": 1, "base rate": 2}),
    ]
    return [
        StretchRead(0, 64, first, Other(0.18, 0.11, 0.21)),
        StretchRead(64, 91, second, Other(0.17, 0.23, 0.24)),
    ]


def cite(number: int, read: MemoryRead, name: str, mean: float) -> Citation:
    """A citation of a read, with its mean attention over the whole answer."""
    where = (read.document_id, name, read.page, str(read.page), read.start, read.end)
    return Citation(number, *where, read.text, None, mean, 0.42 if number == 1 else None, mean)


def describe(mode: Mode) -> EngineDescription:
    return EngineDescription("torch", "SmolLM2-360M-Instruct", None, "bf16", "f" * 16, mode, {})


def marks(text: str, numbers: list[list[int]]) -> list[SentenceMark]:
    """One mark for every sentence that ends in ". "."""
    found, start = [], 0
    for cited in numbers:
        end = text.find(". ", start) + 1 or len(text)
        found.append(SentenceMark(start, end, cited))
        start = end + 1
    return found


def legal_answer(mode: Mode = "memory", abstained: bool = False) -> Answer:
    text = (
        "Either party may end the lease by giving at least **ninety days' notice in writing**. "
        "The notice has to be delivered to the address in Schedule 1. "
        "If rent stays unpaid for thirty days after a written demand, the landlord may end the lease with "
        "fourteen days' notice instead."
    )
    timings = Timings(41.0, 18.0, 820.0, 14.2, 91)
    reads = legal_reads()
    if mode == "none":
        bare = [StretchRead(0, 64, [], Other(0.4, 0.3, 0.3))]
        return Answer("It depends on the contract.", False, [], bare, timings, describe(mode), [])
    if abstained:
        return Answer("", True, [], reads[:1], timings, describe(mode), [])
    term, notes = reads[0].memories[:2]
    citations = [
        cite(1, term, "Office lease, Harbour Row.pdf", 0.2833),
        cite(2, notes, "Meeting notes 4 June.txt", 0.0844),
        cite(3, reads[1].memories[1], "Office lease, Harbour Row.pdf", 0.0767),
    ]
    return Answer(text, False, citations, reads, timings, describe(mode), marks(text, [[1, 2], [1], [1, 3]]))


def medical_answer() -> Answer:
    """Hostile in every text field."""
    read = MemoryRead(
        9, "leaflet", 1, 0, len(HOSTILE), HOSTILE, 1.0, 0.5, [TokenAttention(0, 8, 0.5, 0.5)], 0.5
    )
    citation = Citation(1, "leaflet", HOSTILE, 1, HOSTILE, 0, len(HOSTILE), HOSTILE, None, 0.5, None, 0.5)
    reads = [StretchRead(0, 10, [read], Other(0.2, 0.1, 0.2))]
    text = f"Take it. {HOSTILE} [x](javascript:window.hacked=1)"
    return Answer(
        text, False, [citation], reads, Timings(1, 1, 1, 1, 10), describe("memory"), marks(text, [[1]])
    )
