"""What the worker does and has done: `attest jobs` and `memories`."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import get_args

import click

from app import settings as settings_of
from app.cli.frame import as_json, main, show
from app.errors import for_people
from app.service import Service
from storage.audit import Problem
from storage.records import JobRow, JobStatus


@main.group()
def jobs() -> None:
    """The worker's jobs."""


@jobs.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--status", type=click.Choice(get_args(JobStatus)))
@as_json
def jobs_list(limit: int, status: JobStatus | None, as_json: bool) -> None:
    """Jobs, newest first."""
    with Service(settings_of.load()) as service, for_people():
        rows = service.store.jobs.list(limit=limit, status=status)
        show({"jobs": rows}, as_json, [_job_line(row) for row in rows])


@jobs.command("show")
@click.argument("job_id", metavar="ID", type=int)
@as_json
def jobs_show(job_id: int, as_json: bool) -> None:
    """One job, with the reason of every attempt that came to nothing."""
    with Service(settings_of.load()) as service, for_people():
        row = service.store.jobs.get(job_id)
        reasons = [f"    {when(reason.at)}  {reason.message}" for reason in row.reasons]
        show(row, as_json, [_job_line(row), *reasons])


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


def when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")


def _job_line(row: JobRow) -> str:
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


@memories.command("verify")
@as_json
def memories_verify(as_json: bool) -> None:
    """Read every memory; count rows, shards and passages."""
    from app.library.upkeep import audit_json, is_partial, verify

    with Service(settings_of.load()) as service:
        audit = verify(service)
    lines = [_problem_line(problem) for problem in audit.problems]
    lines += [
        f"{bank.fingerprint_id}  {bank.whole} of {bank.memories} memories whole in {bank.shards} shards"
        for bank in audit.banks
    ]
    if audit.problems:
        lines.append("`attest memories rebuild` writes damaged memories of the engine in use anew")
    show(audit_json(audit), as_json, lines or ["no memories are written yet"])
    if audit.problems:
        sys.exit(3 if is_partial(audit) else 1)


def _problem_line(problem: Problem) -> str:
    """One problem, after what it is about."""
    about = [
        f"bank {problem.fingerprint_id}" if problem.fingerprint_id else "",
        f"shard {problem.shard}" if problem.shard else "",
        f"reference {problem.reference_id}" if problem.reference_id is not None else "",
        f"document {problem.document_id}" if problem.document_id else "",
    ]
    return ": ".join([", ".join(part for part in about if part) or "store", problem.message])


@memories.command("rebuild")
@click.option("--wait/--no-wait", default=False, help="Return when all is written, or at once.")
@as_json
def memories_rebuild(wait: bool, as_json: bool) -> None:
    """Write the memories that the engine in use lacks."""
    from app.library.upkeep import rebuild

    with Service(settings_of.load()) as service:
        done = rebuild(service, wait=wait, report=_Progress())
        alive = bool(service.store.workers.alive())
    lines = [f"{done.fingerprint_id}  {done.memories} of {done.references} memories are written"]
    if done.discarded:
        lines.append(f"{done.discarded} damaged memories were taken out, to be written anew")
    if done.queued:
        lines.append(f"{done.queued} documents are queued; see `attest jobs list`")
        if not alive:
            click.echo("no worker runs: `attest serve` has one, and --wait brings its own", err=True)
    lines += [
        f"bank {bank} can be dropped: `attest memories compact --bank {bank}`" for bank in done.droppable
    ]
    show(done, as_json, lines)
    if wait and not done.complete:
        click.echo(
            "some memories are still lacking; see `attest jobs list`, and if `attest serve` was started with "
            "another model, start it anew",
            err=True,
        )
        sys.exit(3 if done.memories else 1)


class _Progress:
    """Says on stderr how far the writing is, whenever that changed."""

    def __init__(self) -> None:
        self._said = -1

    def __call__(self, done: int, total: int) -> None:
        if done != self._said:
            self._said = done
            click.echo(f"{done} of {total} memories", err=True)


@memories.command("compact")
@click.option(
    "--bank",
    "drop",
    multiple=True,
    metavar="ID",
    help="Drop this bank of another engine; several may be given.",
)
@as_json
def memories_compact(drop: Sequence[str], as_json: bool) -> None:
    """Join small shards, shrink the database, drop banks."""
    from app.library.upkeep import compact

    with Service(settings_of.load()) as service:
        done = compact(service, drop)
    lines = [
        f"{bank.fingerprint_id}  {bank.bytes_before} bytes in {bank.shards_before} shards, "
        + ("dropped" if bank.dropped else f"now {bank.bytes_after} bytes in {bank.shards_after} shards")
        for bank in done.banks
    ]
    lines.append(f"database  {done.database_bytes_before} bytes, now {done.database_bytes_after} bytes")
    lines.append(f"all  {done.bytes_before} bytes, now {done.bytes_after} bytes")
    show(done, as_json, lines)


@memories.command("compress")
@as_json
def memories_compress(as_json: bool) -> None:
    """Code the memories of banks of codec pq.

    The first time, a codebook is trained from them. What is written afterwards is coded at once.
    """
    from app.library.compressing import compress

    with Service(settings_of.load()) as service, for_people():
        rows = list(compress(service.store, lambda line: click.echo(line, err=True)))
    lines = [
        f"{row['fingerprint_id']}  {row['coded']} of {row['memories']} memories coded now, "
        f"{row['bytes_before']} bytes before, {row['bytes']} now, codebook {row['codebook_bytes']}"
        for row in rows
    ]
    show({"banks": rows}, as_json, lines)
