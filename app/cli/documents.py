"""What is in the store: `attest ingest`, `collections` and `documents`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from app import settings as settings_of
from app.cli.frame import DEFAULT_COLLECTION, as_json, main, show
from app.errors import AttestError, for_people
from app.service import DocumentView, Service
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
@as_json
def ingest(
    paths: Sequence[Path],
    collection: str,
    profile: str | None,
    memories: bool,
    wait: bool,
    workers: int,
    as_json: bool,
) -> None:
    """Add files, and the files in folders, to a collection. One line per document."""
    from app.ingesting import ingest_paths

    failed = done = 0
    with Service(settings_of.load()) as service:
        outcomes = ingest_paths(
            service, paths, collection, profile, memories=memories, wait=wait, workers=workers
        )
        for outcome in outcomes:
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
