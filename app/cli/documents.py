"""What is in the store: `attest collections` and `documents`."""

import sys
from collections.abc import Sequence

import click

from app import settings as settings_of
from app.cli.frame import as_json, main, show
from app.errors import AttestError
from app.library.views import DocumentView
from app.service import Service
from storage.records import PROFILES


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
    with Service(settings_of.load()) as service:
        receipts = service.delete_collection(name)
        freed = sum(receipt.bytes_freed for receipt in receipts)
        show({"receipts": receipts}, as_json, [f"deleted {name}: {len(receipts)} documents, {freed} bytes"])


@collections.command("rename")
@click.argument("name")
@click.argument("new")
@as_json
def collections_rename(name: str, new: str, as_json: bool) -> None:
    """Give a collection another name."""
    with Service(settings_of.load()) as service:
        given = service.shelves.rename_collection(name, new)
        show({"name": given}, as_json, [f"{name} is {given} now"])


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
    if row.superseded_by:
        line += f"\n    older version, superseded by {row.superseded_by}"
    return f"{line}\n    {row.error}" if row.error else line


@documents.command("show")
@click.argument("document_id", metavar="ID")
@as_json
def documents_show(document_id: str, as_json: bool) -> None:
    """One document with its warnings, where it was found, and its versions."""
    with Service(settings_of.load()) as service:
        row, versions = service.document(document_id), service.versions(document_id)
        found = [
            f"    {each.path} ({each.collection}), version {each.version}"
            + (", no longer there" if each.gone_at else "")
            for each in row.sources
        ]
        others = [
            f"    version {each.version}: {each.document_id}, {each.status}"
            for each in versions
            if each.document_id != document_id
        ]
        warnings = [
            f"    page {page}: {message}" if page else f"    {message}" for page, message in row.warnings
        ]
        recognised = [
            f"    page {page}: recognised text, confidence {round(100 * confidence)} %"
            for page, confidence in row.recognised.items()
        ]
        lines = [_document_line(row), *found, *others, *recognised, *warnings]
        show({**vars(row), "versions": versions}, as_json, lines)


@documents.command("rename")
@click.argument("document_id", metavar="ID")
@click.argument("name")
@as_json
def documents_rename(document_id: str, name: str, as_json: bool) -> None:
    """Show a document under another name; it keeps its ending."""
    with Service(settings_of.load()) as service:
        given = service.shelves.rename(document_id, name)
        show({"document_id": document_id, "name": given}, as_json, [f"{document_id} is {given} now"])


@documents.command("move")
@click.argument("document_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--from", "source", required=True, metavar="NAME", help="The collection that they are in.")
@click.option("--to", "target", required=True, metavar="NAME", help="The collection that they are put into.")
@as_json
def documents_move(document_ids: Sequence[str], source: str, target: str, as_json: bool) -> None:
    """Put documents of one collection into another; nothing is read again."""
    with Service(settings_of.load()) as service:
        moved = service.shelves.move(document_ids, source, target)
        show({"moved": moved}, as_json, [f"moved {moved} of {len(document_ids)} documents to {target}"])
    if moved < len(document_ids):
        click.echo(f"attest: the others are not in {source}", err=True)
        sys.exit(3 if moved else 1)


@documents.command("retry")
@click.argument("document_ids", metavar="ID...", nargs=-1, required=True)
@as_json
def documents_retry(document_ids: Sequence[str], as_json: bool) -> None:
    """Queue again what failed or was cancelled of documents (JSON: one line each)."""
    failed = 0
    with Service(settings_of.load()) as service:
        for document_id in document_ids:
            try:
                queued = service.shelves.retry(document_id)
            except AttestError as error:
                failed += 1
                click.echo(f"attest: {error}", err=True)
                continue
            words = "is queued again" if queued else "had nothing to be tried again"
            show({"document_id": document_id, "queued": queued}, as_json, [f"{document_id} {words}"])
    if failed:
        sys.exit(3 if failed < len(document_ids) else 1)


@documents.command("delete")
@click.argument("document_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--all-versions", is_flag=True, help="With every version of what was found at the same path.")
@as_json
def documents_delete(document_ids: Sequence[str], all_versions: bool, as_json: bool) -> None:
    """Delete documents with everything made of them. A receipt for each (JSON: one line each).

    Only the versions that are named go; of those that are left, the highest is the newest.
    """
    failed = 0
    with Service(settings_of.load()) as service:
        if all_versions:
            document_ids = _with_all_versions(service, document_ids)
        for document_id in document_ids:
            try:
                before = _previous(service, document_id)
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
            if before is not None and before not in document_ids:
                click.echo(f"{before}, the version before it, is the newest again", err=True)
    if failed:
        sys.exit(3 if failed < len(document_ids) else 1)


def _with_all_versions(service: Service, document_ids: Sequence[str]) -> list[str]:
    wanted = dict.fromkeys(document_ids)
    for document_id in document_ids:
        versions = service.store.sources.versions(document_id)
        wanted.update(dict.fromkeys(each.document_id for each in versions))
    return list(wanted)


def _previous(service: Service, document_id: str) -> str | None:
    """The version that becomes the newest at its path when this document goes."""
    row = service.document(document_id)
    newest = (each for each in row.sources if each.superseded_by is None)
    return next((each.replaces for each in newest if each.replaces), None)


@documents.command("text")
@click.argument("document_id", metavar="ID")
@click.option("--page", type=int, required=True)
@as_json
def documents_text(document_id: str, page: int, as_json: bool) -> None:
    """The text of one page, as citations count its characters."""
    with Service(settings_of.load()) as service:
        view = service.page_view(document_id, page)
        if view.confidence is not None:
            click.echo(f"recognised text, confidence {round(100 * view.confidence)} %", err=True)
        show(view, as_json, [view.text])
