"""The document list as HTML: what each document is doing, how far it is, and what went wrong.

Pure functions. Names, reasons and warnings are escaped. Progress is what the service counted, never
estimated here; a bar without a known end is not drawn.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from html import escape

from app.library.forecast import duration, size
from app.web.views import AddedDocument, DocumentListing, DocumentView, EngineStatus, Receipt, WorkerStatus
from storage.listing import ALL
from storage.records import SEARCHABLE, Order, Wanted

BUSY = ("queued", "reading", "answerable")
PER_PAGE = 50
WARNINGS = 3
COLUMNS: tuple[tuple[Order | None, str], ...] = (
    ("name", "Name"),
    ("state", "State"),
    ("pages", "Pages"),
    (None, "Passages"),
    (None, "Remembered"),
    ("size", "Size"),
    (None, "Warnings"),
    (None, "Version"),
    ("added", "Added"),
)


def is_busy(document: DocumentView) -> bool:
    """Whether the worker still has something to do for it."""
    if document.status == "answerable":
        return document.stage is not None
    return document.status in BUSY


def stage_words(document: DocumentView) -> str:
    """What is happening to a document, in a few words."""
    if document.status == "failed":
        return f"failed: {document.error or 'no reason was recorded'}"
    if document.status == "cancelled":
        return "cancelled"
    if document.status == "ready":
        return "ready"
    if document.status == "partial":
        return "partly ready"
    if document.stage == "reading":
        return f"reading page {document.done} of {document.total}" if document.total else "reading"
    if document.stage == "chunking":
        return (
            f"finding passages on page {document.done} of {document.total}"
            if document.total
            else "finding passages"
        )
    if document.stage in ("embedding", "storing"):
        return f"indexing page {document.done} of {document.total}" if document.total else "indexing"
    if document.stage == "writing":
        return f"remembering {document.done} of {_count(document.total, 'passage')}"
    if document.status == "answerable":
        when = "waiting to be remembered" if document.stage == "waiting" else "remembered when first used"
        return f"{_count(document.references, 'passage')}, {when}"
    return f"waiting; {document.error}" if document.error else "waiting"


def documents_html(
    page: DocumentListing | None,
    *,
    confirming: str | None = None,
    picked: Collection[str] = (),
    wanted: Wanted = ALL,
) -> str:
    """One page of the list. `confirming`: asked to be removed. picked: ids. wanted: what is shown."""
    if page is None or not page.total:
        return '<p class="at-note at-none">No documents yet.</p>'
    if not page.matching:
        return '<p class="at-note at-none">No document is like that.</p>'
    items = "".join(
        _item(document, document.document_id == confirming, document.document_id in picked)
        for document in page.documents
    )
    boxes = " ".join(each.document_id for each in page.documents if each.document_id in picked)
    return (
        f'{_columns(wanted)}<ul class="at-documents" aria-label="Documents" data-picks="{escape(boxes)}">'
        f"{items}</ul>{_pages(page.first, page.matching)}"
    )


def _columns(wanted: Wanted) -> str:
    """Names of the columns, where the list is wide enough to have some."""
    cells = []
    for order, label in COLUMNS:
        if order is None:
            cells.append(f'<span class="at-column">{label}</span>')
            continue
        current = order == wanted.order
        turned = "true" if current and not wanted.turned else "false"
        arrow = "" if not current else " ↑" if wanted.turned == (order != "name") else " ↓"
        cells.append(
            f'<button type="button" class="at-column" data-act="sort" data-order="{order}"'
            f' data-turned="{turned}" aria-pressed="{"true" if current else "false"}">{label}{arrow}</button>'
        )
    return f'<div class="at-columns-head" role="group" aria-label="Sort">{"".join(cells)}</div>'


def _pages(first: int, total: int) -> str:
    if total <= PER_PAGE:
        return ""
    last = min(first + PER_PAGE, total)
    back = "" if first else " disabled"
    on = "" if last < total else " disabled"
    return (
        f'<div class="at-paging"><button type="button" class="at-step" data-act="list" aria-label="Earlier"'
        f' data-first="{first - PER_PAGE}"{back}>‹</button><span>{first + 1:,}–{last:,} of {total:,}</span>'
        f'<button type="button" class="at-step" data-act="list" aria-label="Later"'
        f' data-first="{last}"{on}>›</button></div>'
    )


def _item(document: DocumentView, confirming: bool, picked: bool) -> str:
    identity, name = escape(document.document_id), escape(document.name)
    parts = [
        f'<li class="at-document at-is-{escape(document.status)}">'
        f'<input type="checkbox" class="at-pick" data-act="pick" data-document="{identity}"'
        f' aria-label="Select {name}"{" checked" if picked else ""}>'
        f'<div class="at-document-head"><span class="at-document-name" title="{name}">{name}</span></div>'
        f'<div class="at-document-state">{escape(stage_words(document))}'
    ]
    parts.append(f"{_tools(document)}</div>{_remedies(document)}")
    if is_busy(document) and document.total > 0 and document.stage != "waiting":
        parts.append(_progress(document))
    if document.status == "answerable" and is_busy(document):
        parts.append('<div class="at-document-ask">can already be asked</div>')
    if document.superseded_by is not None:
        parts.append('<div class="at-document-older">older version: cited by earlier answers only</div>')
    parts.append(_facts(document))
    if document.warnings:
        parts.append(_warnings(document))
    if confirming:
        parts.append(
            '<div class="at-confirm" role="group" aria-label="Confirm removal"><span>Remove the file, its '
            "passages and its memories for good?</span>"
            f'<button type="button" class="at-danger" data-act="remove-now" data-document="{identity}">Remove'
            '</button><button type="button" class="at-quiet" data-act="keep">Keep</button></div>'
        )
    parts.append("</li>")
    return "".join(parts)


def _remedies(document: DocumentView) -> str:
    """What can be done about a failure."""
    if document.status not in ("failed", "cancelled"):
        return ""
    unlock = _tool("unlock", "Unlock", document) if is_locked(document) else ""
    return f'<div class="at-remedies">{unlock}{_tool("retry", "Try again", document)}</div>'


def is_locked(document: DocumentView) -> bool:
    """Whether a password is what it lacks, by the words of the reader that failed."""
    return document.status == "failed" and "password" in (document.error or "")


def _facts(document: DocumentView) -> str:
    """Numbers, each with its noun; where the list has columns, the nouns stand above them."""
    lacking = _none(document.references and document.memories != document.references)
    facts = [
        ("pages", _none(document.pages), f"{document.pages:,}", _noun(document.pages, " page")),
        (
            "references",
            _none(document.references),
            f"{document.references:,}",
            _noun(document.references, " passage"),
        ),
        ("memories", lacking, f"{document.memories:,}", " remembered"),
        ("bytes", "", size(document.bytes), ""),
        ("warnings", _none(len(document.warnings)), f"{len(document.warnings):,}", " warnings"),
        ("version", _none((document.version or 1) > 1), f"{document.version or 1}", "version"),
        ("added", " at-same", _day(document.added_at), ""),
    ]
    cells = "".join(
        f'<span class="at-fact at-fact-{kind}{same}">'
        + (f"<i>{noun} </i><b>{value}</b>" if kind == "version" else f"<b>{value}</b><i>{noun}</i>")
        + "</span>"
        for kind, same, value, noun in facts
    )
    return f'<div class="at-facts">{cells}</div>'


def _none(fact: int) -> str:
    """The class of a fact that goes without saying, but in columns."""
    return "" if fact else " at-same"


def _tools(document: DocumentView) -> str:
    tools = []
    if document.status in SEARCHABLE:
        tools.append(_tool("ask", "Ask only this", document, "Ask only"))
    tools.append(_tool("rename", "Rename", document))
    busy = is_busy(document)
    tools.append(_tool("cancel", "Stop", document) if busy else _tool("remove", "Remove", document))
    return f'<div class="at-document-tools">{"".join(tools)}</div>'


def _tool(act: str, label: str, document: DocumentView, word: str = "") -> str:
    return (
        f'<button type="button" class="at-quiet" data-act="{act}"'
        f' data-document="{escape(document.document_id)}"'
        f' aria-label="{word or label} {escape(document.name)}">{label}</button>'
    )


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%d %b %Y") if seconds else ""


def _progress(document: DocumentView) -> str:
    done = min(max(document.done, 0), document.total)
    return (
        f'<div class="at-progress" role="progressbar" aria-valuemin="0" aria-valuemax="{document.total}"'
        f' aria-valuenow="{done}" aria-valuetext="{escape(stage_words(document))}"'
        f' aria-label="{escape(document.name)}">'
        f'<div class="at-progress-fill" style="width:{100 * done / document.total:.1f}%"></div></div>'
    )


def _warnings(document: DocumentView) -> str:
    rows = "".join(
        f"<li>{f'page {page}: ' if page is not None else ''}{escape(message)}</li>"
        for page, message in document.warnings[:WARNINGS]
    )
    more = len(document.warnings) - WARNINGS
    rows += f"<li>and {_count(more, 'more warning')}</li>" if more > 0 else ""
    return f'<ul class="at-warnings">{rows}</ul>'


def added_html(added: Sequence[AddedDocument]) -> str:
    """What became of the files that were dropped."""
    queued = sum(item.status == "queued" for item in added)
    duplicates = sum(item.status == "duplicate" for item in added)
    failed = [item for item in added if item.status == "failed"]
    parts = []
    if queued:
        parts.append(f"{_count(queued, 'document')} added.")
    if duplicates:
        parts.append(f"{_count(duplicates, 'document')} already here.")
    html = notice_html(" ".join(parts)) if parts else ""
    for item in failed[:5]:
        html += notice_html(f"{item.path.name}: {item.error or 'could not be added'}", problem=True)
    if len(failed) > 5:
        html += notice_html(f"{len(failed) - 5} more files could not be added.", problem=True)
    return html


def receipt_html(name: str, receipt: Receipt) -> str:
    """The receipt of a deletion."""
    return notice_html(
        f"“{name}” was removed: {_count(receipt.vectors, 'passage')}, "
        f"{receipt.memories:,} of them remembered, {_count(receipt.files, 'file')}, "
        f"{size(receipt.bytes_freed)} freed."
    )


def deleted_html(words: str, receipts: Sequence[Receipt]) -> str:
    """One receipt for several deletions."""
    passages = sum(receipt.vectors for receipt in receipts)
    memories = sum(receipt.memories for receipt in receipts)
    files = sum(receipt.files for receipt in receipts)
    freed = size(sum(receipt.bytes_freed for receipt in receipts))
    return notice_html(
        f"{words}: {_count(passages, 'passage')}, {memories:,} of them remembered, {_count(files, 'file')}, "
        f"{freed} freed."
    )


def facts_html(kind: str | None, page: DocumentListing | None) -> str:
    """The line under the collection's name: its profile, how much is in it, and a way to change it."""
    if kind is None or page is None:
        return ""
    facts = [f"{kind.capitalize()} profile", _count(page.total, "document")]
    facts.append(_count(page.references, "passage"))
    if page.failed:
        facts.append(f"{page.failed:,} failed or stopped")
    words = " · ".join(facts)
    return (
        f'<p class="at-collection-line"><span>{escape(words)}</span>'
        '<button type="button" class="at-quiet" data-act="edit-collection">Edit</button></p>'
    )


def selection_html(picked: int, matching: int) -> str:
    """What can be done with the selected documents; nothing while there are none."""
    if not picked:
        return ""
    every = (
        f'<button type="button" class="at-quiet" data-act="pick-all">Select all {matching:,}</button>'
        if picked < matching
        else ""
    )
    acts = "".join(
        f'<button type="button" class="at-button" data-act="{act}">{label}</button>'
        for act, label in (("ask-picked", "Ask these"), ("retry-picked", "Try again"), ("move", "Move"))
    )
    return (
        '<div class="at-selection" role="group" aria-label="Selected documents">'
        f'<p><span role="status">{picked:,} selected</span>{every}'
        '<button type="button" class="at-quiet" data-act="pick-none">None</button></p>'
        f'<div class="at-selection-acts">{acts}'
        '<button type="button" class="at-button at-danger" data-act="delete">Delete</button></div></div>'
    )


def notice_html(text: str, *, problem: bool = False) -> str:
    """A line under the drop zone."""
    role, kind = ("alert", "at-error") if problem else ("status", "at-note")
    return f'<p class="{kind}" role="{role}">{escape(text)}</p>'


def worker_html(worker: WorkerStatus) -> str:
    """How the background work goes, while there is some."""
    if not worker.alive:
        return notice_html("The background worker is not running; documents wait until it is.", problem=True)
    facts = []
    if worker.tokens_per_second is not None:
        facts.append(f"{worker.tokens_per_second:,.0f} tokens a second")
    if worker.seconds_left is not None:
        facts.append(f"{duration(worker.seconds_left)} left")
    return notice_html("Working in the background" + "".join(f" · {fact}" for fact in facts))


def status_html(engine: EngineStatus) -> str:
    """The line at the top right: what answers, on which device, why there."""
    state = "ready" if engine.ready else "waiting"
    words = engine.message or ("Ready" if engine.ready else "Not ready")
    quantisation = "" if engine.quantisation == "none" else engine.quantisation
    facts = [engine.model, quantisation, engine.device] if engine.ready else [words]
    title = " · ".join(fact for fact in (words, engine.backend, engine.device_reason) if fact)
    text = " · ".join(fact for fact in facts if fact)
    return (
        f'<div class="at-status" role="status" title="{escape(title)}">'
        f'<span class="at-dot at-dot-{state}"></span><span>{escape(text)}</span></div>'
    )


def _noun(number: int, noun: str) -> str:
    return noun if number == 1 else f"{noun}s"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {_noun(number, noun)}"
