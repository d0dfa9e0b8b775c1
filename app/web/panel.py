"""From a choice in the conversation to the evidence panel: asks the service for what is to be shown.

A document may have been deleted since the answer was given; the panel then says so and keeps the bars.
"""

from dataclasses import dataclass, replace

from app.answering.answer import Answer, Citation, TokenAttention
from app.errors import AttestError, DocumentGone
from app.web.conversation import Turn
from app.web.protocol import Service
from app.web.reading import Passage, Reading, Spot, nearest, read_over, spot_of
from app.web.sheet import Panel, Word
from app.web.stretches import labels, steps
from app.web.views import PageView
from app.web.words import whole_words


@dataclass(frozen=True)
class Shown:
    """What a reader looks at: a turn, a passage of it, a page if not the passage's own, a stretch or all.

    sentence: the one whose references are marked.
    """

    turn: int
    spot: Spot | None = None
    page: int | None = None
    stretch: int | None = None
    sentence: int | None = None


def first_shown(index: int, turn: Turn) -> Shown:
    """What is shown when an answer is complete: what its first sentence drew on most, else its first
    citation, else what came closest.
    """
    if turn.answer is None:
        return Shown(index)
    if turn.shown is not None and turn.shown.citations:
        by_number = {citation.n: citation for citation in turn.shown.citations}
        drawn = [n for sentence in turn.shown.sentences for n in sentence.citations if n in by_number]
        return Shown(index, spot_of(by_number[drawn[0]] if drawn else turn.shown.citations[0]))
    reading = read_over(turn.reads, ())
    if turn.answer.abstained:
        closest = nearest(turn.reads, 1)
        return Shown(index, closest[0].spot if closest else None)
    return Shown(index, reading.passages[0].spot if reading and reading.passages else None)


def panel_of(
    service: Service, turn: Turn, shown: Shown, *, writing: bool = False, measuring: bool = False
) -> Panel:
    """Collect the page, the rectangles and the names that the panel needs."""
    citations = turn.shown.citations if turn.shown else []
    walked = steps(turn.reads, turn.shown.answer if turn.shown else "")
    known = shown.stretch is not None and 0 <= shown.stretch < len(walked)
    stretch = shown.stretch if known else None
    reading = read_over(turn.reads, citations, stretch)
    names = {(citation.document_id, citation.page): _name(citation) for citation in citations}
    for passage in reading.passages if reading else ():
        key = (passage.spot.document_id, passage.spot.page)
        if key not in names:
            names |= _look_up(service, key)
    base = Panel(
        shown.turn,
        reading,
        walked,
        stretch,
        shown.spot,
        names=names,
        writing=writing,
        mode=turn.mode,
        labels=labels(read_over(turn.reads, citations)),
        needed={} if turn.answer is None else needed_of(turn.answer),
        measurable=not writing and can_be_measured(turn),
        measuring=measuring,
    )
    base = _with_sentence(base, turn, shown.sentence)
    if shown.spot is None or writing:
        return base
    try:
        return _with_page(service, base, shown, shown.spot, turn)
    except DocumentGone:
        cited = _cited(citations, shown.spot)
        return replace(base, citation=cited, deleted=True, measurable=False)
    except AttestError as problem:
        return replace(base, problem=str(problem))


def needed_of(answer: Answer) -> dict[Spot, float]:
    """What was measured, by passage."""
    return {spot_of(cited): cited.needed for cited in answer.citations if cited.needed is not None}


def can_be_measured(turn: Turn) -> bool:
    """Whether a cited memory is left whose need is not known."""
    answer = turn.answer
    if answer is None or turn.mode != "memory" or answer.abstained or not turn.reads or turn.deleted:
        return False
    return any(cited.needed is None for cited in answer.citations)


def _with_sentence(base: Panel, turn: Turn, sentence: int | None) -> Panel:
    if turn.shown is None or sentence is None or not 0 <= sentence < len(turn.shown.sentences):
        return base
    mark = turn.shown.sentences[sentence]
    words = " ".join(turn.shown.answer[mark.start : mark.end].split())
    return replace(base, sentence=words, drawn=frozenset(mark.citations))


def _with_page(service: Service, base: Panel, shown: Shown, spot: Spot, turn: Turn) -> Panel:
    page = service.page_view(spot.document_id, shown.page or spot.page)
    citation = _cited(turn.shown.citations if turn.shown else [], spot)
    pin = turn.pins.get(citation.n, "") if citation else ""
    lines, words = ((), ()) if page.page != spot.page else _overlay(service, page, spot, base.reading)
    return replace(base, citation=citation, page=page, lines=lines, words=words, pin=pin)


def _cited(citations: list[Citation], spot: Spot) -> Citation | None:
    return next((citation for citation in citations if spot_of(citation) == spot), None)


def _overlay(
    service: Service, page: PageView, spot: Spot, reading: Reading | None
) -> tuple[tuple[tuple[float, float, float, float], ...], tuple[Word, ...]]:
    tokens = whole_words(page.text, _attended(spot, reading.passages if reading else ()))
    spans = [(spot.start, spot.end), *((token.start, token.end) for token in tokens)]
    found = service.rectangles(spot.document_id, spot.page, spans) if page.has_image else [()] * len(spans)
    words = tuple(
        Word(token.start, token.end, token.read, tuple(rects))
        for token, rects in zip(tokens, found[1:], strict=True)
    )
    return tuple(found[0]), words


def _attended(spot: Spot, passages: tuple[Passage, ...]) -> list[TokenAttention]:
    return [
        token
        for passage in passages
        if passage.spot.meets(spot)
        for token in passage.tokens
        if token.end > token.start
    ]


def _name(citation: Citation) -> tuple[str, str]:
    return citation.document_name, citation.page_label


def _look_up(service: Service, key: tuple[str, int]) -> dict[tuple[str, int], tuple[str, str]]:
    try:
        page = service.page_view(*key)
    except AttestError:
        return {}
    return {key: (page.document_name, page.page_label)}
