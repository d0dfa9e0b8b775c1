"""`attest ask`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import click

from app import settings as settings_of
from app.answering.answer import Answer, DoneEvent, Mode, QueuedEvent, TokenEvent, TrimmedEvent
from app.cli.frame import DEFAULT_COLLECTION, as_json, main, show
from app.errors import AttestError
from app.evidence.citing import Presented
from app.service import Service
from engine.opening import BACKENDS, Backend


@main.command()
@click.argument("question")
@click.option("--collection", default=DEFAULT_COLLECTION, show_default=True)
@click.option("--document", "documents", multiple=True, metavar="ID", help="Ask only this one. Repeatable.")
@click.option("--mode", type=click.Choice(get_args(Mode)), default="memory", show_default=True)
@click.option("--backend", type=click.Choice(BACKENDS), help="For this question; else the setting.")
@click.option("--max-tokens", type=click.IntRange(1, 4096), default=128, show_default=True)
@click.option("--evidence", is_flag=True, help="Measure what the answer loses without each citation.")
@click.option("--keep/--no-keep", default=True, show_default=True, help="Keep the answer with its evidence.")
@as_json
def ask(
    question: str,
    collection: str,
    documents: Sequence[str],
    mode: Mode,
    backend: Backend | None,
    max_tokens: int,
    evidence: bool,
    keep: bool,
    as_json: bool,
) -> None:
    """Ask a collection. The answer streams; its citations follow.

    Mode memory reads the documents as memories, text puts them into the prompt, none uses no documents.
    """
    settings = settings_of.load()
    if backend is not None:
        settings = replace(settings, backend=backend)
    with Service(settings) as service:
        answer: Answer | None = None
        asked = service.ask(
            question,
            collection,
            mode=mode,
            max_tokens=max_tokens,
            evidence=evidence,
            documents=documents or None,
        )
        for event in asked:
            if isinstance(event, TokenEvent) and not as_json:
                click.echo(event.text, nl=False)
            elif isinstance(event, QueuedEvent | TrimmedEvent):
                click.echo(event.sentence, err=True)
            elif isinstance(event, DoneEvent):
                answer = event.answer
        if answer is None:
            raise AttestError("the answer was stopped")
        kept = _kept(service, question, collection, answer, mode, max_tokens) if keep else None
        printed = answer.to_json() | ({} if kept is None else {"answer_id": kept})
        lines = _answer_lines(service.present(answer, collection))
        if kept is not None:
            lines += ["", f"Kept as answer {kept}; why: attest answers export {kept} --out FILE.html"]
        show(printed, as_json, lines)


def _kept(
    service: Service, question: str, collection: str, answer: Answer, mode: Mode, max_tokens: int
) -> int | None:
    """The number under which the answer is kept; None, with the reason on stderr, if it cannot be."""
    if not service.store.collections.has(collection):  # without documents no collection is needed
        return None
    try:
        kept = service.conversations.keep(
            None, question, collection, answer, mode=mode, max_tokens=max_tokens
        )
    except AttestError as error:
        click.echo(f"attest: this answer is not kept: {error}", err=True)
        return None
    return kept.id


def _answer_lines(presented: Presented) -> list[str]:
    answer = presented.answer
    lines = [""]
    if answer.abstained and answer.citations:
        lines += ["", "Nearest passages:"]
    unfound = [answer.answer[each.start : each.end] for each in answer.claims if not each.citations]
    if unfound:
        listed = ", ".join(f"“{text}”" for text in dict.fromkeys(unfound))
        lines += ["", f"Not in the cited passages: {listed}"]
    for cited in answer.citations:
        share = f"read {cited.read:.1%}, attention {cited.attention:.1%}" if cited.attention else "retrieved"
        if cited.needed is not None:
            share += f", needed {cited.needed:.2f} nats"
        where = presented.pins.get(cited.n) or f"page {cited.page_label}"
        lines += ["", f"[{cited.n}] {cited.document_name}, {where} ({share})"]
        lines.append("    " + " ".join(cited.text.split())[:300])
    tokens = answer.timings.tokens
    if answer.reads and tokens:
        other = [
            sum(getattr(read.other, part) * (read.to_token - read.from_token) for read in answer.reads)
            / tokens
            for part in ("question", "answer", "prefix")
        ]
        lines += [
            "",
            f"Attention: documents {1 - sum(other):.1%}, question {other[0]:.1%}, "
            f"answer so far {other[1]:.1%}, prefix {other[2]:.1%}",
        ]
    return lines
