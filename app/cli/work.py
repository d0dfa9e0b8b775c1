"""What the worker does and has done: `attest jobs` and `memories`."""

from typing import Any

import click

from app import settings as settings_of
from app.cli.frame import as_json, main, show
from app.errors import for_people
from app.service import Service


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


@memories.command("compress")
@as_json
def memories_compress(as_json: bool) -> None:
    """Code the memories of banks of codec pq.

    The first time, a codebook is trained from them. What is written afterwards is coded at once.
    """
    from app.compressing import compress

    with Service(settings_of.load()) as service, for_people():
        rows = list(compress(service.store, lambda line: click.echo(line, err=True)))
    lines = [
        f"{row['fingerprint_id']}  {row['coded']} of {row['memories']} memories coded now, "
        f"{row['bytes_before']} bytes before, {row['bytes']} now, codebook {row['codebook_bytes']}"
        for row in rows
    ]
    show({"banks": rows}, as_json, lines)
