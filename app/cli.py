"""`attest`: the command line, a thin face of `app.service`.

`--json` prints one object (or lines where said) on stdout and nothing else there; progress and logs go to
stderr. Exit status: 0 done, 1 the request failed, 2 wrong usage, 3 some items failed.
"""

import json
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, get_args

import click

from app import settings as settings_of
from app.answer import Answer, DoneEvent, Mode, QueuedEvent, TokenEvent
from app.errors import AttestError, for_people
from app.service import DocumentView, Service
from storage.records import PROFILES

DEFAULT_COLLECTION = "default"

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Faced(click.Group):
    """A group whose commands end with a message and status 1 when the request fails."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AttestError as error:
            click.echo(f"attest: {error}", err=True)
            ctx.exit(1)


@click.group(cls=Faced, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="attest-assistant")
@click.option("--verbose", "-v", is_flag=True, help="Log to stderr what is being done.")
def main(verbose: bool) -> None:
    """Answers from your own documents, read as explicit memories, cited to the page, on this machine."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )


def show(data: Any, printed: bool, lines: Iterable[str]) -> None:
    """JSON if asked for, else lines for people."""
    if printed:
        lines = [json.dumps(data, default=_plain, ensure_ascii=False)]
    for line in lines:  # a file name need not be text; JSON reads the escape as the same name
        click.echo(line.encode("utf-8", "backslashreplace").decode())


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--collection", default=DEFAULT_COLLECTION, show_default=True)
@click.option("--profile", type=click.Choice(PROFILES), help="Of the collection, if it is new.")
@click.option("--memories/--no-memories", default=True, help="Write memories now, or on first use.")
@click.option("--wait/--no-wait", default=True, help="Return when all is written, or at once.")
@as_json
def ingest(
    paths: Sequence[Path], collection: str, profile: str | None, memories: bool, wait: bool, as_json: bool
) -> None:
    """Add files, and the files in folders, to a collection. One line per document."""
    from app.ingesting import ingest_paths

    failed = done = 0
    with Service(settings_of.load()) as service:
        for outcome in ingest_paths(service, paths, collection, profile, memories=memories, wait=wait):
            bad = outcome.status in ("failed", "cancelled")
            failed, done = failed + bad, done + (not bad)
            line = f"{outcome.status:9}  {outcome.path}"
            if outcome.error:
                line += f"\n           {outcome.error}"
            elif outcome.status in ("ready", "partial"):
                line += (
                    f"  ({outcome.pages} pages, {outcome.references} passages, {outcome.memories} memories)"
                )
            show(outcome, as_json, [line])
    if failed:
        sys.exit(3 if done else 1)


@main.command()
@click.argument("question")
@click.option("--collection", default=DEFAULT_COLLECTION, show_default=True)
@click.option("--mode", type=click.Choice(get_args(Mode)), default="memory", show_default=True)
@click.option("--backend", type=click.Choice(("auto", "torch")), default="auto", show_default=True)
@click.option("--max-tokens", type=click.IntRange(1, 4096), default=128, show_default=True)
@as_json
def ask(question: str, collection: str, mode: Mode, backend: str, max_tokens: int, as_json: bool) -> None:
    """Ask a collection. The answer streams; its citations follow.

    Mode memory reads the documents as memories, text puts them into the prompt, none uses no documents.
    """
    with Service(settings_of.load()) as service:
        answer: Answer | None = None
        for event in service.ask(question, collection, mode=mode, max_tokens=max_tokens):
            if isinstance(event, TokenEvent) and not as_json:
                click.echo(event.text, nl=False)
            elif isinstance(event, QueuedEvent):
                click.echo(event.sentence, err=True)
            elif isinstance(event, DoneEvent):
                answer = event.answer
        if answer is None:
            raise AttestError("the answer was stopped")
        show(answer.to_json(), as_json, _answer_lines(answer))


def _answer_lines(answer: Answer) -> list[str]:
    lines = [""]
    if answer.abstained and answer.citations:
        lines += ["", "Nearest passages:"]
    for cited in answer.citations:
        share = f"attention {cited.attention:.1%}" if cited.attention else "retrieved"
        lines += ["", f"[{cited.n}] {cited.document_name}, page {cited.page_label} ({share})"]
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


@main.group()
def collections() -> None:
    """Collections of documents."""


@collections.command("list")
@as_json
def collections_list(as_json: bool) -> None:
    """All collections."""
    with Service(settings_of.load()) as service:
        rows = service.collections()
        show(
            {"collections": rows},
            as_json,
            [
                f"{r.name}  ({r.profile}; {r.documents} documents, {r.memories} of {r.references} memories)"
                for r in rows
            ],
        )


@collections.command("add")
@click.argument("name")
@click.option("--profile", type=click.Choice(PROFILES), default="general", show_default=True)
@as_json
def collections_add(name: str, profile: str, as_json: bool) -> None:
    """Make a collection."""
    with Service(settings_of.load()) as service:
        show(service.add_collection(name, profile), as_json, [f"added {name}"])


@collections.command("delete")
@click.argument("name")
@as_json
def collections_delete(name: str, as_json: bool) -> None:
    """Delete a collection and every document that is in no other one."""
    with Service(settings_of.load()) as service, for_people():
        receipts = service.store.collections.delete(name)
        freed = sum(receipt.bytes_freed for receipt in receipts)
        show({"receipts": receipts}, as_json, [f"deleted {name}: {len(receipts)} documents, {freed} bytes"])


@main.group()
def documents() -> None:
    """Documents in the store."""


@documents.command("list")
@click.option("--collection")
@as_json
def documents_list(collection: str | None, as_json: bool) -> None:
    """Documents, newest first."""
    with Service(settings_of.load()) as service:
        rows = service.documents(collection)
        show({"documents": rows}, as_json, [_document_line(row) for row in rows])


def _document_line(row: DocumentView) -> str:
    written = f"{row.pages} pages, {row.memories} of {row.references} memories"
    line = f"{row.document_id}  {row.status:10}  {row.name}  ({written})"
    return f"{line}\n    {row.error}" if row.error else line


@documents.command("show")
@click.argument("document_id", metavar="ID")
@as_json
def documents_show(document_id: str, as_json: bool) -> None:
    """One document with its warnings."""
    with Service(settings_of.load()) as service:
        row = service.document(document_id)
        warnings = [
            f"    page {page}: {message}" if page else f"    {message}" for page, message in row.warnings
        ]
        show(row, as_json, [_document_line(row), *warnings])


@documents.command("delete")
@click.argument("document_ids", metavar="ID...", nargs=-1, required=True)
@as_json
def documents_delete(document_ids: Sequence[str], as_json: bool) -> None:
    """Delete documents with everything made of them. A receipt for each (JSON: one line each)."""
    failed = 0
    with Service(settings_of.load()) as service:
        for document_id in document_ids:
            try:
                receipt = service.delete_document(document_id)
            except AttestError as error:
                failed += 1
                click.echo(f"attest: {error}", err=True)
                continue
            line = (
                f"deleted {document_id}: {receipt.rows} rows, {receipt.vectors} vectors, "
                f"{receipt.memories} memories, {receipt.files} files, {receipt.bytes_freed} bytes"
            )
            show(receipt, as_json, [line])
    if failed:
        sys.exit(3 if failed < len(document_ids) else 1)


@documents.command("text")
@click.argument("document_id", metavar="ID")
@click.option("--page", type=int, required=True)
@as_json
def documents_text(document_id: str, page: int, as_json: bool) -> None:
    """The text of one page, as citations count its characters."""
    with Service(settings_of.load()) as service:
        view = service.page_view(document_id, page)
        show(view, as_json, [view.text])


@main.group()
def jobs() -> None:
    """The worker's jobs."""


@jobs.command("list")
@as_json
def jobs_list(as_json: bool) -> None:
    """Jobs, newest first."""
    with Service(settings_of.load()) as service:
        rows = service.jobs()
        show({"jobs": rows}, as_json, [_job_line(row) for row in rows])


@jobs.command("show")
@click.argument("job_id", metavar="ID", type=int)
@as_json
def jobs_show(job_id: int, as_json: bool) -> None:
    """One job."""
    with Service(settings_of.load()) as service, for_people():
        row = service.store.jobs.get(job_id)
        show(row, as_json, [_job_line(row)])


@jobs.command("cancel")
@click.argument("job_id", metavar="ID", type=int)
@as_json
def jobs_cancel(job_id: int, as_json: bool) -> None:
    """Cancel a queued job, or ask a running one to stop."""
    with Service(settings_of.load()) as service, for_people():
        row = service.store.jobs.cancel(job_id)
        show(row, as_json, [_job_line(row)])


@jobs.command("retry")
@click.argument("job_id", metavar="ID", type=int)
@as_json
def jobs_retry(job_id: int, as_json: bool) -> None:
    """Queue a failed or cancelled job again; the next worker takes it."""
    with Service(settings_of.load()) as service, for_people():
        row = service.store.jobs.retry(job_id)
        show(row, as_json, [_job_line(row)])


def _job_line(row: Any) -> str:
    line = f"{row.id}  {row.kind:8}  {row.status:9}  {row.stage} {row.done}/{row.total}  {row.document_id}"
    return f"{line}\n    {row.error}" if row.error else line


@main.group()
def memories() -> None:
    """The bank of explicit memories."""


@memories.command("status")
@as_json
def memories_status(as_json: bool) -> None:
    """Banks on disk: what they are valid for and how large they are."""
    with Service(settings_of.load()) as service, for_people():
        banks = service.store.banks.status()
        lines = [
            f"{bank.fingerprint_id}  {bank.memories} memories in {bank.shards} shards, {bank.bytes} bytes"
            + (f", {bank.missing} shards MISSING" if bank.missing else "")
            for bank in banks
        ]
        show({"banks": banks}, as_json, lines or ["no memories are written yet"])


@main.group()
def models() -> None:
    """Language models and embedders."""


@models.command("list")
@as_json
def models_list(as_json: bool) -> None:
    """Models known by name, whether they are installed, and which are in use."""
    from engine.registry import REGISTERED

    chosen = settings_of.load()
    used = (chosen.model, chosen.embedder)
    rows = [
        {
            "name": model.name,
            "kind": model.kind,
            "licence": model.licence,
            "installed": model.path() is not None,
            "used": model.name in used,
        }
        for model in REGISTERED.values()
    ]
    rows += [
        {"name": name, "kind": kind, "licence": None, "installed": Path(name).exists(), "used": True}
        for name, kind in zip(used, ("language model", "embedder"), strict=True)
        if name not in REGISTERED
    ]
    lines = [
        f"{'*' if row['used'] else ' '} {row['name']}  ({row['kind']}, {row['licence'] or 'licence unknown'}"
        f"{'' if row['installed'] else '; NOT installed'})"
        for row in rows
    ]
    show({"models": rows}, as_json, lines)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=7861, show_default=True)
@click.option("--workers", type=click.IntRange(0, 8), default=1, show_default=True)
@click.option("--samples", is_flag=True, help="Begin with the sample documents that come with Attest.")
def serve(host: str, port: int, workers: int, samples: bool) -> None:
    """Serve the web page, with a worker that reads what is dropped."""
    from app.serving import serve as run

    run(settings_of.load(), host, port, workers, samples)


@main.command()
@click.option("--offline", is_flag=True, help="Also prove that loading and answering open no connection.")
@as_json
def doctor(offline: bool, as_json: bool) -> None:
    """Check the installation, device, models, store and disk."""
    from app.doctor import examine

    report = examine(settings_of.load(), offline=offline)
    mark = {"ok": "ok  ", "warning": "WARN", "error": "FAIL"}
    lines = [f"{mark[check['state']]}  {check['name']}: {check['message']}" for check in report["checks"]]
    show(report, as_json, lines)
    if not report["ok"]:
        sys.exit(1)


@main.group()
def bench() -> None:
    """Benchmarks. Sides are compared within one run; the ratios are the result."""


@bench.command("ingest")
@click.option(
    "--document", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Default: a sample."
)
@as_json
def bench_ingest(document: Path | None, as_json: bool) -> None:
    """Writing memories, and ingesting a whole document, against the same model's plain prefill."""
    from app.bench import bench_ingest as run

    result = run(settings_of.load(), document)
    lines = [f"{name}: {value}" for name, value in {**result["ratios"], **result}.items() if name != "ratios"]
    show(result, as_json, lines)
