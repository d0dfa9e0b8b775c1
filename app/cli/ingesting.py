"""`attest ingest`: files and folders once, or folders for as long as it runs."""

import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import click

from app import settings as settings_of
from app.cli.frame import DEFAULT_COLLECTION, as_json, main, show
from app.library.ingesting import IngestOptions, Outcome, ingest_paths
from app.library.watching import LOOK_SECONDS, Removed, watch
from app.service import Service
from storage.records import PROFILES


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--collection", default=DEFAULT_COLLECTION, show_default=True)
@click.option("--profile", type=click.Choice(PROFILES), help="Of the collection, if it is new.")
@click.option("--memories/--no-memories", default=True, help="Write memories now, or on first use.")
@click.option("--wait/--no-wait", default=True, help="Return when all is written, or at once.")
@click.option(
    "--workers", type=click.IntRange(1, 16), default=1, show_default=True, help="Started where none runs."
)
@click.option(
    "--watch", "watched", is_flag=True, help="Keep the collection in step with the folders until Ctrl-C."
)
@click.option(
    "--every",
    type=click.FloatRange(0.1),
    default=LOOK_SECONDS,
    show_default=True,
    help="Seconds between two looks into a watched folder.",
)
@click.option(
    "--delete-removed",
    is_flag=True,
    help="With --watch: delete the documents of removed files, all versions, instead of marking them.",
)
@click.option(
    "--password",
    "passwords",
    multiple=True,
    help="Tried on locked PDFs and not kept; may be repeated. Other users of this machine can see it.",
)
@click.option(
    "--passwords",
    "password_file",
    type=click.File(encoding="utf-8"),
    help="A file with passwords to try, one a line; - is standard input.",
)
@click.option("--despite-disk", is_flag=True, help="Begin even if the disk would clearly not do.")
@as_json
def ingest(
    paths: Sequence[Path],
    collection: str,
    profile: str | None,
    memories: bool,
    wait: bool,
    workers: int,
    watched: bool,
    every: float,
    delete_removed: bool,
    passwords: Sequence[str],
    password_file: TextIO | None,
    despite_disk: bool,
    as_json: bool,
) -> None:
    """Add files, and the files in folders, to a collection. One line per document."""
    if delete_removed and not watched:
        raise click.UsageError("--delete-removed goes with --watch")
    if password_file is not None:
        passwords = [*passwords, *filter(None, password_file.read().splitlines())]
    failed = done = 0
    options = IngestOptions(
        collection, profile, memories, wait, tuple(passwords), workers, despite_disk, say=_say
    )
    with Service(settings_of.load()) as service:
        if watched:
            stop = _until_interrupted()
            for event in watch(service, paths, stop, options, delete_removed=delete_removed, every=every):
                show(event, as_json, [_line(event)])
            return
        outcomes = ingest_paths(service, paths, options)
        for outcome in outcomes:
            bad = outcome.status in ("failed", "cancelled")
            failed, done = failed + bad, done + (not bad)
            show(outcome, as_json, [_line(outcome)])
    if failed:
        sys.exit(3 if done else 1)


def _until_interrupted() -> threading.Event:
    """Set by Ctrl-C or SIGTERM."""
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    _say("watching; Ctrl-C ends it")
    return stop


def _say(words: str) -> None:
    click.echo(words, err=True)


def _line(event: Outcome | Removed) -> str:
    line = f"{event.status:9}  {event.path}"
    if isinstance(event, Removed):
        if event.receipt is not None:
            line += f"  ({event.document_id}: {event.receipt.files} files, {event.receipt.bytes_freed} bytes)"
        return line
    if event.replaces:
        line += f", version {event.version}"
    if event.error:
        line += f"\n           {event.error}"
    elif event.status in ("ready", "partial"):
        line += f"  ({event.pages} pages, {event.references} passages, {event.memories} memories)"
    return line
