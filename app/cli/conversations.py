"""What is kept of questions and answers: `attest conversations` and `answers`."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from app import settings as settings_of
from app.answering.conversations import Kept
from app.cli.frame import as_json, main, show
from app.errors import AttestError
from app.evidence.record import Record, read_record, record_of
from app.evidence.report import report_of
from app.evidence.verifying import Verdict, verify
from app.service import Service
from engine.opening import BACKENDS
from storage.records import ConversationRow


@main.group()
def conversations() -> None:
    """Kept conversations."""


@conversations.command("list")
@click.option("--collection")
@click.option("--text", help="Words of the title, a question or an answer.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@as_json
def conversations_list(collection: str | None, text: str | None, limit: int, as_json: bool) -> None:
    """Conversations, the last changed first."""
    with Service(settings_of.load()) as service:
        rows = service.conversations.list(collection, text=text, limit=limit)
        show({"conversations": rows}, as_json, [_conversation_line(row) for row in rows])


def _conversation_line(row: ConversationRow) -> str:
    return f"{row.id:6}  {row.title}  ({row.collection}; {row.answers} answers)"


@conversations.command("show")
@click.argument("conversation_id", metavar="ID", type=int)
@as_json
def conversations_show(conversation_id: int, as_json: bool) -> None:
    """All questions and answers of a conversation."""
    with Service(settings_of.load()) as service:
        row, answers = (
            service.conversations.get(conversation_id),
            service.conversations.answers(conversation_id),
        )
        lines = [_conversation_line(row)]
        for kept in answers:
            lines += ["", *_answer_lines(service, kept)]
        show({**vars(row), "answers": [_answer_json(service, kept) for kept in answers]}, as_json, lines)


@conversations.command("rename")
@click.argument("conversation_id", metavar="ID", type=int)
@click.argument("title")
@as_json
def conversations_rename(conversation_id: int, title: str, as_json: bool) -> None:
    """Give a conversation another name."""
    with Service(settings_of.load()) as service:
        service.conversations.rename(conversation_id, title)
        row = service.conversations.get(conversation_id)
        show(row, as_json, [_conversation_line(row)])


@conversations.command("delete")
@click.argument("conversation_ids", metavar="ID...", type=int, nargs=-1, required=True)
@as_json
def conversations_delete(conversation_ids: Sequence[int], as_json: bool) -> None:
    """Delete conversations with their answers and the evidence of them (JSON: one line each)."""
    failed = 0
    with Service(settings_of.load()) as service:
        for conversation_id in conversation_ids:
            try:
                answers = service.conversations.delete(conversation_id)
            except AttestError as error:
                failed += 1
                click.echo(f"attest: {error}", err=True)
                continue
            line = f"deleted conversation {conversation_id}: {answers} answers"
            show({"id": conversation_id, "answers": answers}, as_json, [line])
    if failed:
        sys.exit(3 if failed < len(conversation_ids) else 1)


@conversations.command("export")
@click.argument("conversation_id", metavar="ID", type=int)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="A folder.")
@as_json
def conversations_export(conversation_id: int, out: Path, as_json: bool) -> None:
    """Write a report for every answer of a conversation into a folder."""
    with Service(settings_of.load()) as service:
        kept = service.conversations.answers(conversation_id)
        files = [_write(out / f"answer-{each.id}.html", report_of(service, each.id)) for each in kept]
        show({"files": files}, as_json, files)


@main.group()
def answers() -> None:
    """Kept answers and the reports on them."""


@answers.command("show")
@click.argument("answer_id", metavar="ID", type=int)
@as_json
def answers_show(answer_id: int, as_json: bool) -> None:
    """One answer with its evidence."""
    with Service(settings_of.load()) as service:
        kept = service.conversations.answer(answer_id)
        show(_answer_json(service, kept), as_json, _answer_lines(service, kept))


@answers.command("export")
@click.argument("answer_id", metavar="ID", type=int)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="An HTML file.")
@as_json
def answers_export(answer_id: int, out: Path, as_json: bool) -> None:
    """Write why this answer was given: one file with everything in it, to be read offline and verified."""
    with Service(settings_of.load()) as service:
        file = _write(out, report_of(service, answer_id))
        show({"file": file, "bytes": out.stat().st_size}, as_json, [file])


@answers.command("ratings")
@click.option(
    "--contexts",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file for the texts of the documents.",
)
@click.option("--collection", metavar="NAME", help="Only answers about this one.")
@as_json
def answers_ratings(contexts: Path, collection: str | None, as_json: bool) -> None:
    """Print rated answers as questions that `attest eval` takes: JSON lines, with or without --json."""
    from app.measuring.rated import OPEN, json_lines, rated_set

    with Service(settings_of.load()) as service:
        found = rated_set(service.store, service.conversations.rated(collection))
    _write(contexts, json_lines(found.contexts))
    click.echo(json_lines(found.questions), nl=False)
    open_ones = sum(row["type"] == OPEN for row in found.questions)
    click.echo(
        f"{len(found.questions)} rated answers about {len(found.contexts)} documents; {open_ones} lack a "
        f"right answer, which you can write into the file; {found.left_out} left out, for their documents "
        "were deleted",
        err=True,
    )


@answers.command("verify")
@click.argument("report_or_id", metavar="FILE|ID")
@as_json
def answers_verify(report_or_id: str, as_json: bool) -> None:
    """Ask again and compare answer, reads and the documents' hashes. Status 1 if anything differs."""
    settings = settings_of.load()
    with Service(settings) as service:
        record = _record(service, report_or_id)
        fits = (backend for backend in BACKENDS if backend == record.answer.engine.backend)
        settings = replace(settings, backend=next(fits, settings.backend))
    with Service(settings) as service:
        verdict = verify(service, record)
        show(verdict, as_json, _verdict_lines(verdict))
    if not verdict.ok:
        sys.exit(1)


def _record(service: Service, report_or_id: str) -> Record:
    path = Path(report_or_id)
    if path.is_file():
        return read_record(path.read_bytes())
    if not report_or_id.isdecimal():
        raise AttestError(f"{report_or_id}: there is no such file, and it is not the number of an answer")
    kept = service.conversations.answer(int(report_or_id))
    return record_of(kept, service.conversations.history(kept.conversation_id, before=kept.id))


def _verdict_lines(verdict: Verdict) -> list[str]:
    lines = [
        f"answer: {'the same' if verdict.same_answer else 'differs'}",
        f"reads: {'the same' if verdict.same_reads else 'differ'}",
        f"engine: {'the same' if verdict.same_engine else 'differs'}",
    ]
    lines += [f"{each.name}: {each.standing} ({each.sha256})" for each in verdict.documents]
    return [*lines, *(f"    {reason}" for reason in verdict.reasons)]


def _write(path: Path, html: str) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(html, encoding="utf-8")
    except OSError as error:
        raise AttestError(f"{path} cannot be written ({error.strerror}); choose another place") from error
    return str(path)


def _answer_json(service: Service, kept: Kept) -> dict[str, object]:
    shown = service.present(kept.answer, kept.collection)
    pins = [{"citation": n, "pin_cite": pin} for n, pin in shown.pins.items()]
    return {**vars(kept), "answer": kept.answer.to_json(), "deleted": kept.deleted, "pin_cites": pins}


def _answer_lines(service: Service, kept: Kept) -> list[str]:
    shown = service.present(kept.answer, kept.collection)
    lines = [f"{kept.id:6}  {kept.question}", f"        {shown.answer.answer}"]
    for cited in shown.answer.citations:
        where = shown.pins.get(cited.n) or f"page {cited.page_label}"
        needed = "" if cited.needed is None else f", needed {cited.needed:.2f} nats"
        lines.append(f"    [{cited.n}] {cited.document_name}, {where} (read {cited.attention:.1%}{needed})")
    if kept.deleted:
        lines.append(f"    {kept.deleted} of its sources were deleted since")
    if kept.rating or kept.note:
        lines.append(f"    {'good' if kept.rating > 0 else 'bad' if kept.rating else 'noted'}: {kept.note}")
    return lines
