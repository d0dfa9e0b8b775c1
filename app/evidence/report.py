"""Why this answer: one self-contained HTML file that a colleague can read, print and verify.

Pictures are inline, there is no script and nothing is fetched: a content security policy in the file forbids
both. Everything that came from a person, a document or the model is escaped. Scores are labelled as what they
are. The record that `attest answers verify` reads is part of the file.
"""

import base64
import json
from functools import cache
from html import escape
from importlib import resources
from importlib.metadata import version

from app.answering.keeping import GONE
from app.errors import AttestError
from app.evidence.record import RECORD, Record, record_of
from app.web.bars import NOT_MEASURED, nats
from app.web.conversation import Turn
from app.web.marks import answer_html
from app.web.panel import Shown, needed_of, panel_of
from app.web.protocol import Service
from app.web.reading import per_cent, read_over, spot_of
from app.web.sentences import drawn_on
from app.web.sheet import Panel, image_html, text_html
from app.web.stretches import labels, steps
from app.web.thread import turn_of
from app.web.words import words_html

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
IMAGE_WIDTH = 1100  # pixels of a page's picture
MODES = {
    "memory": "read from memories of the documents",
    "text": "read from the text of the passages",
    "none": "answered without documents",
}


def report_name(answer_id: int) -> str:
    return f"why-answer-{answer_id}.html"


def report_of(service: Service, answer_id: int) -> str:
    """The report of a kept answer, which the service notes as taken away. Raises AttestError."""
    kept = service.conversations.answer(answer_id)
    history = service.conversations.history(kept.conversation_id, before=kept.id)
    record = record_of(kept, history)
    turn = turn_of(service, kept)
    body = "".join(
        (
            _head(record),
            _answer(turn, record),
            _claims(turn),
            _sentences(turn),
            "".join(
                _citation(service, turn, n) for n in range(len(turn.shown.citations if turn.shown else ()))
            ),
            _reads(turn, record),
            _facts(record),
            _record(record),
        )
    )
    title = escape(f"Why this answer: {record.question[:80]}")
    html = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{_style()}</style></head><body><main>{body}</main></body></html>\n"
    )
    service.report_taken(answer_id, len(html.encode()))
    return html


@cache
def _style() -> str:
    return (resources.files("assets") / "web" / "report.css").read_text(encoding="utf-8")


def _head(record: Record) -> str:
    return (
        f'<header><p class="kicker">Why this answer</p><h1>{escape(record.question)}</h1>'
        f'<p class="facts">Asked of “{escape(record.collection)}” on {escape(record.asked_at)} (UTC), '
        f"{MODES[record.mode]}, by {escape(record.answer.engine.model)}</p></header>"
    )


def _answer(turn: Turn, record: Record) -> str:
    given = turn.shown
    if given is None:
        return ""
    known = {each.n for each in given.citations}
    body = answer_html(given.answer, given.sentences, known=known, claims=given.claims)
    notes = [*record.remarks]
    if given.abstained:
        notes.append("The documents were found not to answer; the passages below are the nearest ones.")
    if record.stopped:
        notes.append("The answer was stopped by its reader.")
    if record.deleted:
        notes.append(
            f"{record.deleted} of its sources were deleted since; what the answer quoted of them is covered."
        )
    said = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    return f'<section class="answer"><h2>Answer</h2>{body}{said}</section>'


def _claims(turn: Turn) -> str:
    """What the answer states that can be looked up, and where it stands."""
    given = turn.shown
    if given is None or not given.claims:
        return ""
    rows = []
    for each in given.claims:
        where = " ".join(f"[{n}]" for n in each.citations) or "<strong>not in the cited passages</strong>"
        text = escape(" ".join(given.answer[each.start : each.end].split()))
        rows.append(f"<tr><td>{text}</td><td>{each.kind}</td><td>{where}</td></tr>")
    return (
        "<section><h2>What it states, looked up</h2><table><thead><tr><th>Statement</th><th>Kind</th>"
        f"<th>Found in</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
        '<p class="note">Quotations, dates, amounts, numbers and names only. Found means that it stands '
        "there, not that the sentence around it is right.</p></section>"
    )


def _sentences(turn: Turn) -> str:
    given = turn.shown
    if given is None or not given.sentences:
        return ""
    rows = []
    for index, mark in enumerate(given.sentences):
        text = escape(" ".join(given.answer[mark.start : mark.end].split()))
        drawn = "; ".join(
            f"[{each.number}] read {per_cent(each.read)}, needed "
            f"{NOT_MEASURED if each.needed is None else nats(each.needed)}"
            for each in drawn_on(given, index, turn.pins)
        )
        rows.append(f"<tr><td>{text}</td><td>{drawn or '–'}</td></tr>")
    return (
        "<section><h2>What each sentence drew on</h2>"
        "<table><thead><tr><th>Sentence</th><th>Citations</th></tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table></section>"
    )


def _citation(service: Service, turn: Turn, index: int) -> str:
    given = turn.shown
    if given is None:
        return ""
    cited = given.citations[index]
    panel = panel_of(service, turn, Shown(0, spot_of(cited)))
    pin = turn.pins.get(cited.n) or f"page {cited.page_label}"
    needed = NOT_MEASURED if cited.needed is None else nats(cited.needed)
    if panel.page is None:
        why = (
            "The document was deleted after the answer was written." if panel.deleted else panel.problem or ""
        )
        sheet = f'<p class="note">{escape(why)}</p>'
    else:
        sheet = _sheet(service, panel)
    return (
        f'<section class="citation"><h2><span class="number">{cited.n}</span> {escape(cited.document_name)}, '
        f"{escape(pin)}</h2>"
        f'<p class="facts">read {per_cent(cited.read)} of attention · needed {needed}</p>'
        f"<blockquote>{escape(cited.text)}</blockquote>{sheet}</section>"
    )


def _sheet(service: Service, panel: Panel) -> str:
    page = panel.page
    if page is None:
        return ""
    words = words_html(page.text, panel.attended)
    if not page.has_image or page.width <= 0 or page.height <= 0:
        return f'<div class="sheet">{text_html(panel, page, here=True)}</div>{words}'
    try:
        picture = service.page_png(page.document_id, page.page, IMAGE_WIDTH)
    except AttestError as problem:
        return f'<p class="note">{escape(str(problem))}</p>{words}'
    source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return f'<div class="sheet">{image_html(panel, page, source, here=True)}</div>{words}'


def _reads(turn: Turn, record: Record) -> str:
    """Every stretch with its memories, and what was not from documents."""
    reading = read_over(turn.reads, turn.shown.citations if turn.shown else ())
    if reading is None:
        return ""
    names = labels(reading)
    titles = {each.document_id: each.name for each in record.documents}
    needed = {} if turn.answer is None else needed_of(turn.answer)
    passages = "".join(
        f"<tr><td>{escape(names[each.spot])}</td>"
        f"<td>{escape(titles.get(each.spot.document_id, GONE))}, page {each.spot.page}, "
        f"characters {each.spot.start}–{each.spot.end}</td><td>{each.retrieval_score:.4f}</td>"
        f"<td>{per_cent(each.read)}</td><td>{per_cent(each.attention)}</td>"
        f"<td>{nats(needed[each.spot]) if each.spot in needed else NOT_MEASURED}</td></tr>"
        for each in reading.passages
    )
    rest = "".join(
        f"<tr><td></td><td>{label}</td><td></td><td></td><td>{per_cent(share)}</td><td></td></tr>"
        for label, share in (
            ("question", reading.question),
            ("answer so far", reading.answer),
            ("other (prefix)", reading.prefix),
        )
    )
    walked = "".join(
        f"<tr><td>{step.from_token}–{step.to_token}</td><td>{escape(step.text)}</td><td>"
        + ", ".join(
            f"{escape(names[spot])} {per_cent(mass)}{' (new)' if new else ''}"
            for spot, mass, new in step.held
        )
        + f"</td><td>{', '.join(escape(names[spot]) for spot in step.dropped) or '–'}</td></tr>"
        for step in steps(turn.reads, turn.shown.answer if turn.shown else "")
    )
    return (
        "<section><h2>What was read</h2><table><thead><tr><th></th><th>Passage</th><th>Retrieval score</th>"
        "<th>Read</th><th>Attention</th><th>Needed</th></tr></thead>"
        f"<tbody>{passages}{rest}</tbody></table>"
        '<p class="note">Attention is what all heads looked at while the answer was written, on average; its '
        "shares are 100 % together. Read is that of the heads that tell what an answer depends on. Needed is "
        "the log-probability, in nats, that the answer loses when the passage is taken away. None of them is "
        "proof that the passage supports the answer: read it.</p>"
        "<h3>The decode, stretch by stretch</h3><table><thead><tr><th>Tokens</th><th>Written</th>"
        f"<th>Memories</th><th>Dropped</th></tr></thead><tbody>{walked}</tbody></table></section>"
    )


def _facts(record: Record) -> str:
    engine = record.answer.engine
    rows = [
        ("Model", engine.model),
        ("Adapter", engine.adapter or "none"),
        ("Quantisation", engine.quantisation),
        ("Backend", engine.backend),
        ("Bank (fingerprint)", engine.fingerprint),
        ("Memory format", json.dumps(engine.format)),
        ("Decoding", f"greedy, at most {record.max_tokens} tokens"),
        ("Program", f"Attest {version('attest-assistant')}"),
    ]
    rows += [(f"SHA-256 of {each.name}", each.sha256) for each in record.documents]
    listed = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f'<section><h2>Made with</h2><table class="made">{listed}</table></section>'


def _record(record: Record) -> str:
    whole = json.dumps(record.to_json(), ensure_ascii=False)
    return (
        "<section><h2>Verify</h2><p><code>attest answers verify FILE</code> asks the question again and "
        "compares answer, reads and the documents’ hashes with the record below.</p>"
        f'<details><summary>Record</summary><pre id="{RECORD}">{escape(whole)}</pre></details></section>'
    )
