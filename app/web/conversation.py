"""The conversation as values and as HTML: questions, answers with numbers, citations, timings.

Pure functions from dataclasses to strings; every text that came from a person, a document or the model
is escaped here. Knows nothing of Gradio or of the service.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from app.answering.answer import Answer, Citation, Mode, StretchRead, Timings
from app.evidence.citing import Presented
from app.profiles import PROFILES
from app.profiles import profile as known_profile
from app.web.judging import comparison_html, tools_html
from app.web.marks import NOT_FOUND, answer_html
from app.web.reading import nearest, per_cent
from app.web.sentences import cards_html

MODES: dict[Mode, str] = {
    "memory": "From memories",
    "text": "From re-read text",
    "none": "Without documents",
}
ABSTAINED = "The documents in this collection do not support an answer to this question."
SNIPPET = 220


@dataclass(frozen=True)
class Turn:
    """One question and what came of it: an answer, or the words so far and why there is no more.

    stopped: the reader pressed stop. error: what went wrong, in words for people. notes: what was answered
    otherwise than asked, and why.
    answer: as recorded; presented: as people see it, with adjacent citations merged.
    kept: the id under which it is kept. rating: -1, 0 or 1, with a note of the reader's. deleted: how many of
    its sources are gone. beside: other answers to the question. comparing, measuring: those, or what it
    needed, are on their way. documents: those that alone were asked; None for the whole collection.
    """

    question: str
    collection: str
    mode: Mode
    text: str = ""
    answer: Answer | None = None
    reads: tuple[StretchRead, ...] = ()
    stopped: bool = False
    error: str | None = None
    notes: tuple[str, ...] = ()
    presented: Presented | None = None
    kept: int | None = None
    rating: int = 0
    note: str = ""
    deleted: int = 0
    beside: tuple["Turn", ...] = ()
    comparing: bool = False
    measuring: bool = False
    documents: tuple[str, ...] | None = None

    @property
    def shown(self) -> Answer | None:
        """The answer as people see it."""
        return self.presented.answer if self.presented else self.answer

    @property
    def pins(self) -> Mapping[int, str]:
        """Pin cites by the number of the citation."""
        return self.presented.pins if self.presented else {}


Conversation = tuple[Turn, ...]


def history(conversation: Conversation) -> list[tuple[str, str]]:
    """Earlier questions and answers, oldest first; abstentions are left out."""
    return [
        (turn.question, turn.answer.answer)
        for turn in conversation
        if turn.answer and not turn.answer.abstained
    ]


def conversation_html(conversation: Conversation, first: int = 0) -> str:
    """All finished turns, oldest first; `first` is the number of the first one."""
    return "".join(turn_html(turn, first + index) for index, turn in enumerate(conversation))


def turn_html(turn: Turn, index: int, *, waiting: str | None = None) -> str:
    """One turn. `waiting` is what is being waited for while the answer is on its way."""
    parts = [f'<article class="at-turn"><h3 class="at-question">{escape(turn.question)}</h3>']
    if waiting is None:
        parts.append(
            f'<button type="button" class="at-quiet at-edit" data-act="edit" data-turn="{index}"'
            f' aria-label="Edit and ask again: {escape(snippet(turn.question, 80))}">Edit</button>'
        )
    given = turn.shown
    if given and given.abstained:
        parts.append(_abstained(given, index, turn.pins))
    elif given:
        known = {citation.n for citation in given.citations}
        body = answer_html(given.answer, given.sentences, turn=index, known=known, claims=given.claims)
        parts.append(f'<div class="at-answer">{body}{cards_html(given, index, turn.pins)}</div>')
        parts.append(_unfound(given))
        parts.append(_citations(given.citations, index, turn.pins))
    elif turn.text:
        open_class = " at-writing" if waiting is not None else ""
        parts.append(f'<div class="at-answer{open_class}">{answer_html(turn.text)}</div>')
    elif waiting is not None:
        parts.append(f'<p class="at-waiting" role="status">{escape(waiting)}</p>')
    parts += [f'<p class="at-note">{escape(note)}</p>' for note in turn.notes]
    if turn.error:
        parts.append(f'<p class="at-error" role="alert">{escape(turn.error)}</p>')
    if turn.stopped:
        parts.append('<p class="at-note">You stopped this answer.</p>')
    if turn.deleted:
        parts.append(f'<p class="at-error">{_gone(turn.deleted)}</p>')
    if turn.answer:
        parts.append(_footer(turn, turn.answer))
        parts.append(tools_html(turn, index))
        parts.append(comparison_html(turn))
    parts.append("</article>")
    return "".join(parts)


def _gone(count: int) -> str:
    what, was = ("A document", "was") if count == 1 else (f"{count} documents", "were")
    return (
        f"{what} behind this answer {was} deleted since. What is left here is the question, "
        "the answer without what it quoted, and the numbers."
    )


def _unfound(answer: Answer) -> str:
    """Says in words what the dotted lines mean; nothing where there are none."""
    texts = [answer.answer[each.start : each.end] for each in answer.claims if not each.citations]
    if not texts:
        return ""
    listed = ", ".join(f"<q>{escape(text)}</q>" for text in dict.fromkeys(texts))
    return f'<p class="at-note at-unfound-note">{NOT_FOUND}: {listed}. Check before you rely on it.</p>'


def _citations(citations: Sequence[Citation], turn: int, pins: Mapping[int, str]) -> str:
    if not citations:
        return ""
    rows = "".join(
        f'<li><button type="button" class="at-source" data-act="citation" data-turn="{turn}"'
        f' data-n="{citation.n}"><span class="at-number">{citation.n}</span>'
        f'<span class="at-source-body"><span class="at-source-head">'
        f'<span class="at-source-name">{escape(citation.document_name)}</span>'
        f'<span class="at-source-page">{escape(_where(citation, pins))}</span>'
        f"{_share(citation)}</span>"
        f'<span class="at-snippet">{escape(snippet(citation.text))}</span></span></button></li>'
        for citation in citations
    )
    return f'<ol class="at-sources" aria-label="Passages this answer was read from">{rows}</ol>'


def _where(citation: Citation, pins: Mapping[int, str]) -> str:
    return pins.get(citation.n) or f"page {citation.page_label}"


def _share(citation: Citation) -> str:
    if not citation.read:  # nothing was measured: the passage was retrieved, not read as a memory
        return ""
    title = "Read: share of attention while the answer was written"
    return f'<span class="at-source-share" title="{title}">{per_cent(citation.read)}</span>'


def _abstained(answer: Answer, turn: int, pins: Mapping[int, str]) -> str:
    sentence = answer.answer.strip() or ABSTAINED
    html = f'<div class="at-answer at-abstained"><p>{escape(sentence)}</p></div>'
    if answer.citations:
        rows = _citations(answer.citations, turn, pins)
        return f'{html}<p class="at-note">The nearest passages, for you to judge:</p>{rows}'
    found = nearest(answer.reads)
    if not found:
        return html
    rows = "".join(
        f'<li><button type="button" class="at-source" data-act="passage" data-turn="{turn}"'
        f' data-document="{escape(passage.spot.document_id)}" data-page="{passage.spot.page}"'
        f' data-start="{passage.spot.start}" data-end="{passage.spot.end}">'
        f'<span class="at-number at-number-plain">–</span>'
        f'<span class="at-source-body"><span class="at-snippet">{escape(snippet(passage.text))}</span>'
        f"</span></button></li>"
        for passage in found
    )
    return (
        f'{html}<p class="at-note">The nearest passages, for you to judge:</p>'
        f'<ol class="at-sources" aria-label="Nearest passages">{rows}</ol>'
    )


def _footer(turn: Turn, answer: Answer) -> str:
    chosen = "" if turn.documents is None else f"asked of {_chosen(turn.documents)}"
    facts = [MODES[turn.mode], turn.collection, chosen, *_timing(answer.timings), answer.engine.model]
    items = " · ".join(escape(fact) for fact in facts if fact)
    return f'<p class="at-timing">{items}</p>'


def _chosen(documents: Sequence[str]) -> str:
    return "one document" if len(documents) == 1 else f"{len(documents):,} documents"


def _timing(timings: Timings) -> list[str]:
    if not timings.tokens:
        return []
    return [
        f"first word after {seconds(timings.first_token)}",
        f"{timings.tokens} tokens at {timings.decode_tokens_per_second:.0f} a second",
    ]


def seconds(milliseconds: float) -> str:
    """A duration for reading: "80 ms", "1.4 s"."""
    return f"{milliseconds:.0f} ms" if milliseconds < 950 else f"{milliseconds / 1000:.1f} s"


def snippet(text: str, most: int = SNIPPET) -> str:
    """The beginning of `text` on one line, cut at a word."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    cut = line[:most].rsplit(" ", 1)[0]
    return cut.rstrip(" ,;:") + " …"


def again_html(index: int, turns: int) -> str:
    """Says above the field what asking again does."""
    after = "this answer" if index == turns - 1 else "this answer and those after it"
    return (
        '<div class="at-scope"><span class="at-note">Asking again in a new conversation; '
        f"{after} stay{'s' if index == turns - 1 else ''} in the old one</span>"
        '<button type="button" class="at-quiet" data-act="leave">Cancel</button></div>'
    )


def welcome_html(collection: str | None, profile: str | None, *, askable: bool, empty: bool) -> str:
    """What an empty conversation shows: what to do first, and questions to start from."""
    if collection is None or empty:
        first = "Create a collection first, and add your documents to it."
        if collection is not None:
            first = "Add documents to this collection."
        return (
            '<div class="at-welcome"><h2>Ask your own documents</h2>'
            f"<p>{first} Every answer is read from them, "
            "with the page and the passage shown beside it.</p></div>"
        )
    head = f'<div class="at-welcome"><h2>Ask “{escape(collection)}”</h2>'
    if not askable:
        return (
            head + "<p>The documents are being read. The first ones can be asked as soon as "
            "their passages are found.</p></div>"
        )
    buttons = "".join(
        f'<button type="button" class="at-suggestion" data-act="suggest" data-question="{escape(question)}">'
        f"{escape(question)}</button>"
        for question in known_profile(profile if profile in PROFILES else "general").questions
    )
    return (
        head + "<p>Answers are read from these documents, with the page and the passage shown beside them."
        f'</p><div class="at-suggestions">{buttons}</div></div>'
    )
