"""Sheets that ask before something is done: a name, a place, a password, a deletion, a big ingest. As HTML.

Pure functions; names are escaped. A sheet opens by itself (`attest.js`) and is gone when the next HTML is "".
"""

from collections.abc import Sequence
from html import escape

from app.library.forecast import Forecast, duration, size

LONGEST_NAME = 200


def _sheet(title: str, body: str, buttons: str, problem: str = "") -> str:
    alert = f'<p class="at-error" role="alert">{escape(problem)}</p>' if problem else ""
    return (
        f'<dialog class="at-dialog" data-opens aria-label="{escape(title)}"><h2>{escape(title)}</h2>'
        f'{alert}<div class="at-form at-dialog-form">{body}<div class="at-dialog-buttons">{buttons}'
        '<button type="button" class="at-button" data-act="close">Cancel</button></div></div></dialog>'
    )


def _field(label: str, value: str = "", kind: str = "text") -> str:
    return (
        f'<label>{escape(label)}<input class="at-field" type="{kind}" value="{escape(value)}"'
        f' maxlength="{LONGEST_NAME}" autocomplete="off" autofocus></label>'
    )


def _button(act: str, label: str, extra: str = "", *, danger: bool = False) -> str:
    kind = "at-button at-danger" if danger else "at-button at-primary"
    return f'<button type="button" class="{kind}" data-act="{act}"{extra}>{escape(label)}</button>'


def _about(document_id: str) -> str:
    return f' data-document="{escape(document_id)}"'


def rename_html(document_id: str, name: str, problem: str = "") -> str:
    """For another name of a document."""
    return _sheet(
        "Rename document",
        _field("Name", name),
        _button("rename-now", "Rename", _about(document_id)),
        problem,
    )


def unlock_html(document_id: str, name: str, problem: str = "") -> str:
    """For the password of a locked document."""
    note = '<p class="at-note">It is used once, to read the document, and kept nowhere.</p>'
    return _sheet(
        f"Unlock “{name}”",
        _field("Password", kind="password") + note,
        _button("unlock-now", "Unlock", _about(document_id)),
        problem,
    )


def move_html(count: int, collections: Sequence[str], problem: str = "") -> str:
    """For the collection that the selected documents are put into."""
    if not collections:
        note = '<p class="at-note">There is no other collection yet; make one with “New”.</p>'
        return _sheet(f"Move {_documents(count)}", note, "", problem)
    options = "".join(f"<option>{escape(name)}</option>" for name in collections)
    body = f'<label>Into<select class="at-field" autofocus>{options}</select></label>'
    note = '<p class="at-note">Nothing is read again. Conversations stay where they are.</p>'
    return _sheet(f"Move {_documents(count)}", body + note, _button("move-now", "Move"), problem)


def delete_html(count: int, problem: str = "") -> str:
    """Before the selected documents are deleted."""
    note = "<p>Their files, passages and memories go for good, and what conversations quote of them.</p>"
    button = _button("delete-now", f"Delete {_documents(count)}", danger=True)
    return _sheet(f"Delete {_documents(count)}?", note, button, problem)


def collection_html(name: str, documents: int, problem: str = "") -> str:
    """For another name of a collection, or its end."""
    danger = (
        '<details class="at-danger-zone"><summary>Delete this collection</summary>'
        f"<p>{_documents(documents)} with passages and memories, and all conversations about them, go for "
        "good; a document that is in another collection too stays there.</p>"
        f"{_button('drop-collection', 'Delete for good', danger=True)}</details>"
    )
    return _sheet(
        "Collection",
        _field("Name", name) + danger,
        _button("rename-collection", "Rename"),
        problem,
    )


def ingest_html(expected: Forecast) -> str:
    """Before many or large files are taken in: what they will take."""
    if expected.memory_bytes is None:
        memories = "known once the first is written"
    else:
        memories = f"about {size(expected.memory_bytes)}"
    takes = "known once the first document is read"
    if expected.seconds is not None:
        takes = f"{duration(expected.seconds)} at the pace of the last documents; they can be asked before"
    rows = (
        ("Files", f"{expected.files:,}, {size(expected.bytes)}"),
        ("Passages", f"some {expected.passages:,}, about {size(expected.passage_bytes)}"),
        ("Their memories", memories),
        ("Free on the disk", size(expected.free)),
        ("Time", takes),
    )
    table = "".join(f"<dt>{label}</dt><dd>{escape(value)}</dd>" for label, value in rows)
    title = f"Add {_documents(expected.files)}?"
    if not expected.fits:
        problem = "The disk has not enough room for them. Free some, or add fewer files."
        return _sheet(title, f'<dl class="at-takes">{table}</dl>', "", problem)
    return _sheet(title, f'<dl class="at-takes">{table}</dl>', _button("add-now", "Add them"))


def _documents(count: int) -> str:
    return f"{count:,} document{'' if count == 1 else 's'}"
