"""Sheets that ask before something is done, as HTML: a name, a place, a password, a deletion, a big ingest,
who else may use a collection.

Pure functions; names are escaped. A sheet opens by itself (`attest.js`) and is gone when the next HTML is "".
"""

from collections.abc import Sequence
from html import escape

from app.library.forecast import Forecast, duration, size
from app.web.views import GrantView

LONGEST_NAME = 200
ROLES = {
    "reader": "Reader: asks and reads",
    "editor": "Editor: also adds and deletes documents",
    "owner": "Owner: also renames, shares and deletes it",
}


def _sheet(title: str, body: str, buttons: str, problem: str = "", *, leave: str = "Cancel") -> str:
    alert = f'<p class="at-error" role="alert">{escape(problem)}</p>' if problem else ""
    return (
        f'<dialog class="at-dialog" data-opens aria-label="{escape(title)}"><h2>{escape(title)}</h2>'
        f'{alert}<div class="at-form at-dialog-form">{body}<div class="at-dialog-buttons">{buttons}'
        f'<button type="button" class="at-button" data-act="close">{leave}</button></div></div></dialog>'
    )


def _field(label: str, value: str = "", kind: str = "text", extra: str = "") -> str:
    return (
        f'<label>{escape(label)}<input class="at-field" type="{kind}" value="{escape(value)}"{extra}'
        f' maxlength="{LONGEST_NAME}" autocomplete="off" autofocus></label>'
    )


def _button(act: str, label: str, extra: str = "", *, danger: bool = False) -> str:
    kind = "at-button at-danger" if danger else "at-button at-primary"
    return f'<button type="button" class="{kind}" data-act="{act}"{extra}>{escape(label)}</button>'


def _about(document_id: str) -> str:
    return f' data-document="{escape(document_id)}"'


def _of(collection: str) -> str:
    return f' data-collection="{escape(collection)}"'


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


def collection_html(
    collection: str,
    documents: int,
    grants: Sequence[GrantView] | None = None,
    *,
    name: str | None = None,
    problem: str = "",
) -> str:
    """For another name of a collection, to share it, or its end.

    grants: None where that is not for whoever asks. name: as it was typed.
    """
    shared = "" if grants is None else _shared(collection, len(grants))
    danger = (
        '<details class="at-danger-zone"><summary>Delete this collection</summary>'
        f"<p>{_documents(documents)} with passages and memories, and all conversations about them, go for "
        "good; a document that is in another collection too stays there.</p>"
        f"{_button('drop-collection', 'Delete for good', _of(collection), danger=True)}</details>"
    )
    return _sheet(
        "Collection",
        _field("Name", collection if name is None else name) + shared + danger,
        _button("rename-collection", "Rename", _of(collection)),
        problem,
    )


def _shared(collection: str, people: int) -> str:
    others = people - 1  # besides the owner, who is reading this
    words = f"You and {others:,} other{'' if others == 1 else 's'}" if others else "Only you"
    return (
        f'<div class="at-shared"><p><b>Who may use it</b><br>{words}</p>'
        f'<button type="button" class="at-button" data-act="share"{_of(collection)}>Share</button></div>'
    )


def sharing_html(
    collection: str,
    grants: Sequence[GrantView],
    me: str | None,
    *,
    user: str = "",
    role: str = "",
    done: str = "",
    problem: str = "",
) -> str:
    """Who may use a collection, to let others in or shut them out. user, role: as they were chosen."""
    owners = sum(grant.role == "owner" for grant in grants)
    people = "".join(
        f'<li><span class="at-person">{escape(grant.user)}{" (you)" if grant.user == me else ""}</span>'
        f"<span>{escape(grant.role)}</span>"
        + ("" if grant.role == "owner" and owners == 1 else _take_away(collection, grant.user))
        + "</li>"
        for grant in grants
    )
    options = "".join(
        f'<option value="{each}"{" selected" if each == role else ""}>{words}</option>'
        for each, words in ROLES.items()
    )
    name = _field("Name of a user", user, extra=' name="user"')
    status = f'<p class="at-note" role="status">{escape(done)}</p>' if done else ""
    return _sheet(
        f"Who may use “{collection}”",
        f'<ul class="at-people">{people}</ul>{status}{name}'
        f'<label>Role<select class="at-field" name="role">{options}</select></label>',
        _button("grant-now", "Share", _of(collection)),
        problem,
        leave="Done",
    )


def _take_away(collection: str, user: str) -> str:
    return (
        f'<button type="button" class="at-quiet" data-act="revoke-now" data-whose="{escape(user)}"'
        f'{_of(collection)} aria-label="Take away from {escape(user)}">Take away</button>'
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
