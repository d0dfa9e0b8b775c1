"""The document list as HTML: what each document is doing, how far it is, and what went wrong.

Pure functions. Names, reasons and warnings are escaped. Progress is what the service counted, never
estimated here; a bar without a known end is not drawn.
"""

from collections.abc import Sequence
from html import escape

from app.library.forecast import size
from app.web.protocol import AddedDocument, DocumentListing, DocumentView, EngineStatus, Receipt, WorkerStatus

BUSY = ("queued", "reading", "answerable")
PER_PAGE = 50
WARNINGS = 3


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
        return f"ready · {_count(document.pages, 'page')} · {_count(document.references, 'passage')}"
    if document.status == "partial":
        return f"partly ready · {_count(document.pages, 'page')} · {_count(document.references, 'passage')}"
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


def documents_html(page: DocumentListing | None, *, confirming: str | None = None) -> str:
    """One page of the list. `confirming`: asked to be removed."""
    if page is None or not page.total:
        return '<p class="at-note at-none">No documents yet.</p>'
    items = "".join(_item(document, document.document_id == confirming) for document in page.documents)
    return f'<ul class="at-documents" aria-label="Documents">{items}</ul>{_pages(page.first, page.total)}'


def _pages(first: int, total: int) -> str:
    if total <= PER_PAGE:
        return ""
    last = min(first + PER_PAGE, total)
    back = "" if first else " disabled"
    on = "" if last < total else " disabled"
    return (
        f'<div class="at-paging"><button type="button" class="at-step" data-act="list" aria-label="Earlier"'
        f' data-first="{first - PER_PAGE}"{back}>‹</button><span>{first + 1}–{last} of {total:,}</span>'
        f'<button type="button" class="at-step" data-act="list" aria-label="Later"'
        f' data-first="{last}"{on}>›</button></div>'
    )


def _item(document: DocumentView, confirming: bool) -> str:
    identity, name = escape(document.document_id), escape(document.name)
    busy = is_busy(document)
    action, word = ("cancel", "Stop") if busy else ("remove", "Remove")
    parts = [
        f'<li class="at-document at-is-{escape(document.status)}"><div class="at-document-head">'
        f'<span class="at-document-name" title="{name}">{name}</span>'
        f'<button type="button" class="at-quiet" data-act="{action}" data-document="{identity}"'
        f' aria-label="{word} {name}">{word}</button></div>'
        f'<div class="at-document-state">{escape(stage_words(document))}</div>'
    ]
    if busy and document.total > 0 and document.stage != "waiting":
        parts.append(_progress(document))
    if document.status == "answerable" and busy:
        parts.append('<div class="at-document-ask">can already be asked</div>')
    if document.superseded_by is not None:
        parts.append('<div class="at-document-older">older version: cited by earlier answers only</div>')
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
        facts.append(f"{_left(worker.seconds_left)} left")
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


def _left(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(int(seconds), 1)} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
