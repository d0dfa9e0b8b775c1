"""What the worker does and has done: `attest jobs` and `memories`."""

from datetime import datetime
from typing import get_args

import click

from app import settings as settings_of
from app.cli.frame import as_json, main, show
from app.errors import for_people
from app.service import Service
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
        reasons = [f"    {_when(reason.at)}  {reason.message}" for reason in row.reasons]
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


def _when(seconds: float) -> str:
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
