"""What a service without a model answers and shows: its documents' words and boxes, its answers and reads."""

from PIL import ImageFont

from app.answering.answer import (
    Answer,
    Citation,
    EngineDescription,
    MemoryRead,
    Mode,
    Other,
    Rect,
    SentenceMark,
    StretchRead,
    Timings,
    TokenAttention,
)

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
