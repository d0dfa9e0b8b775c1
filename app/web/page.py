"""The page: what is where, and which handler answers which event. Nothing is decided here."""

from html import escape
from typing import Any

import gradio as gr

from app.accounts.acting import whoever_asks
from app.web.archive import Archive, ArchiveParts, opened
from app.web.checking import Checking
from app.web.conversation import MODES
from app.web.evidence import empty_html
from app.web.finding import SEND_FINDS, finder_html
from app.web.help import help_html
from app.web.library import PROFILES, Library, LibraryParts
from app.web.ordering import Listing
from app.web.protocol import Service
from app.web.reader import Reader, ReaderParts
from app.web.showing import BUSY_SECONDS, Shown
from app.web.signing_in import SIGN_OUT
from app.web.uploads import keep_names

# Clicks on anything with data-act reach the server as the event "act", with all its data- attributes,
# whether it is checked, if it is a box, and, if it is in a form, what its first field and named ones hold.
SEND_CLICKS = """
element.addEventListener('click', event => {
  const target = event.target.closest('[data-act]');
  if (!target || !element.contains(target) || target.disabled) return;
  const form = target.closest('.at-form');
  const field = form?.querySelector('.at-field');
  const fields = field ? {value: field.value} : {};
  for (const named of form?.querySelectorAll('[name]') ?? []) fields[named.name] = named.value;
  const box = target.type === 'checkbox' ? {checked: target.checked} : {};
  trigger('act', {...fields, ...target.dataset, ...box});
});
"""

HEADER = '<div class="at-brand">Attest<span>answers from your own documents</span></div>'
VIEWS = '<nav class="at-views" aria-label="View">{}</nav>'.format(
    "".join(
        f'<button type="button" data-local="view" data-view="{view}" aria-pressed="{pressed}">'
        f"{label}</button>"
        for view, label, pressed in (
            ("documents", "Documents", "false"),
            ("ask", "Questions", "true"),
            ("evidence", "Evidence", "false"),
        )
    )
)
TOOLS = (
    '<div class="at-header-tools"><button type="button" class="at-quiet" data-local="help"'
    ' aria-label="Keys">Keys</button>'
    '<button type="button" class="at-quiet" data-act="health">Health</button></div>'
)
EXPORT = (
    '<p class="at-note at-export"><a class="at-tool" href="/page/ratings.zip" download>Export rated answers'
    "</a> as questions for <code>attest eval</code></p>"
)
SIDES = (
    '<div class="at-sides" role="group" aria-label="Show">'
    '<button type="button" data-local="side" data-side="documents" aria-pressed="true">Documents</button>'
    '<button type="button" data-local="side" data-side="conversations" aria-pressed="false">Conversations'
    "</button></div>"
)

QUIET = {"show_progress": "hidden", "api_visibility": "private"}


def build_page(service: Service) -> gr.Blocks:
    """Lay the page out and connect it to `service`."""
    with gr.Blocks(
        title="Attest", analytics_enabled=False, fill_width=True, fill_height=True, delete_cache=(600, 3600)
    ) as page:
        listing = gr.State(Listing())
        left = gr.State(Shown())
        mark = gr.Textbox(visible=False, elem_id="at-mark")
        conversation = gr.State(())
        shown = gr.State(None)
        thread = gr.State(None)
        chosen = gr.State(None)
        opening = gr.State(None)
        weighed = gr.State(None)
        removed = gr.State(None)
        scope = gr.State(())
        editing = gr.State(None)
        timer = gr.Timer(BUSY_SECONDS)
        with gr.Row(elem_id="at-header"):
            markup(HEADER, elem_id="at-brand")
            status = markup(elem_id="at-engine")
            tools = markup(TOOLS, elem_id="at-tools", js_on_load=SEND_CLICKS)
            who = markup(elem_id="at-who")
        health = markup(elem_id="at-health", js_on_load=SEND_CLICKS)
        dialog = markup(elem_id="at-dialog", js_on_load=SEND_CLICKS)
        markup(help_html(), elem_id="at-help-sheet")
        markup(VIEWS, elem_id="at-nav")
        with gr.Row(elem_id="at-columns"):
            with gr.Column(elem_id="at-library"):
                with gr.Row(elem_id="at-collection"):
                    # A tick may still carry the name of a collection that was just renamed or deleted.
                    collection = gr.Dropdown(
                        [],
                        label="Collection",
                        interactive=True,
                        allow_custom_value=True,
                        elem_id="at-collection-choice",
                    )
                    # A tab outlives the server that it was opened on; the next one does not know what that
                    # one offered. Whether there is such a collection, the service says.
                    collection.preprocess = str_or_none
                    new = gr.Button("New", size="sm", elem_id="at-collection-new", min_width=60)
                facts = markup(elem_id="at-facts-line", js_on_load=SEND_CLICKS)
                with gr.Column(visible=False, elem_id="at-collection-form") as form:
                    name = gr.Textbox(label="Name", max_length=80, elem_id="at-collection-name")
                    profile = gr.Radio(
                        list(PROFILES), value="General", label="Kind of documents", elem_id="at-profile"
                    )
                    with gr.Row(elem_id="at-form-buttons"):
                        create = gr.Button(
                            "Create",
                            variant="primary",
                            size="sm",
                            elem_id="at-collection-create",
                            min_width=60,
                        )
                        cancel = gr.Button("Cancel", size="sm", min_width=60)
                markup(SIDES)
                with gr.Column(elem_id="at-side-documents"):
                    drop = gr.File(
                        file_count="multiple",
                        label="Add documents",
                        show_label=False,
                        height=104,
                        elem_id="at-drop",
                    )
                    folder = gr.UploadButton(
                        "Add a folder", file_count="directory", size="sm", elem_id="at-folder"
                    )
                    keep_names(drop)
                    keep_names(folder)
                    notice = markup(elem_id="at-notice")
                    worker = markup(elem_id="at-worker")
                    finder = markup(finder_html(), elem_id="at-finder", js_on_load=SEND_FINDS)
                    selection = markup(elem_id="at-selection", js_on_load=SEND_CLICKS)
                    documents = markup(elem_id="at-documents", js_on_load=SEND_CLICKS)
                with gr.Column(elem_id="at-side-conversations"):
                    search = gr.Textbox(
                        placeholder="Find a conversation",
                        show_label=False,
                        container=False,
                        label="Find a conversation",
                        max_length=200,
                        elem_id="at-search",
                    )
                    with gr.Column(visible=False, elem_id="at-rename-form") as renaming:
                        title = gr.Textbox(label="New name", max_length=120, elem_id="at-rename-title")
                        rename = gr.Button("Rename", size="sm", variant="primary", elem_id="at-rename")
                    conversations = markup(elem_id="at-conversations", js_on_load=SEND_CLICKS)
                    markup(EXPORT, elem_id="at-export")
            with gr.Column(elem_id="at-reader"):
                with gr.Column(elem_id="at-thread"):
                    welcome = markup(elem_id="at-welcome", js_on_load=SEND_CLICKS)
                    past = markup(elem_id="at-past", js_on_load=SEND_CLICKS)
                    live = markup(elem_id="at-live", js_on_load=SEND_CLICKS)
                with gr.Column(elem_id="at-composer"):
                    chips = markup(elem_id="at-scope", js_on_load=SEND_CLICKS)
                    again = markup(elem_id="at-again", js_on_load=SEND_CLICKS)
                    with gr.Row(elem_id="at-ask-row"):
                        question = gr.Textbox(
                            placeholder="Ask a question",
                            show_label=False,
                            container=False,
                            label="Question",
                            lines=1,
                            max_lines=6,
                            max_length=4000,
                            autofocus=True,
                            elem_id="at-question",
                        )
                        ask = gr.Button("Ask", variant="primary", elem_id="at-ask", min_width=80)
                        stop = gr.Button("Stop", visible=False, elem_id="at-stop", min_width=80)
                    with gr.Row(elem_id="at-options"):
                        mode = gr.Radio(
                            list(MODES.values()),
                            value=MODES["memory"],
                            show_label=False,
                            label="How to answer",
                            container=False,
                            elem_id="at-mode",
                        )
                        fresh = gr.Button(
                            "New conversation", size="sm", visible=False, elem_id="at-fresh", min_width=120
                        )
            with gr.Column(elem_id="at-evidence-column"):
                evidence = markup(empty_html(), elem_id="at-evidence", js_on_load=SEND_CLICKS)

        reader_parts = ReaderParts(
            past,
            live,
            welcome,
            question,
            ask,
            stop,
            fresh,
            evidence,
            again,
            conversation,
            shown,
            thread,
            editing,
        )
        library_parts = LibraryParts(
            collection,
            form,
            name,
            profile,
            facts,
            selection,
            documents,
            worker,
            notice,
            dialog,
            status,
            welcome,
            chips,
            drop,
            timer,
            listing,
            left,
            mark,
            removed,
            scope,
        )
        archive_parts = ArchiveParts(conversations, search, renaming, title, chosen)
        reader, archive = Reader(service, reader_parts), Archive(service, archive_parts)
        finished = _connect_reader(reader, reader_parts, page, collection, mode, scope)
        library = Library(service, library_parts)
        _connect_library(library, library_parts, page, folder, create)
        finder.act(
            library.act,
            [collection, listing, left, scope],
            library_parts.all(),
            trigger_mode="always_last",
            **QUIET,
        )
        checking = Checking(service)
        for source in (tools, health):
            source.act(checking.act, outputs=health, **QUIET)
        _connect_archive(archive, archive_parts, reader_parts.thread, opening, rename)
        # Gradio makes a component anew that is a skipped output; so states say what is to be done.
        page.load(who_html, outputs=who, **QUIET)
        page.load(reader.arrive, outputs=opening, **QUIET)
        shown_again = opening.change(reader.open, opening, reader_parts.opened(), **QUIET)
        removed.change(reader.again, [conversation, thread, shown], reader_parts.opened(), **QUIET)
        page.load(archive.list, [search, thread], conversations, **QUIET)
        for event in finished:
            event.then(reader.weigh, conversation, weighed, **QUIET)
        weighed.change(
            reader.weighed,
            [weighed, shown, thread],
            [reader_parts.past, reader_parts.conversation, reader_parts.evidence],
            **QUIET,
        )
        for event in (*finished, shown_again):
            event.then(archive.list, [search, thread], archive_parts.conversations, **QUIET)
        new.click(lambda: gr.update(visible=True), outputs=form, **QUIET)
        cancel.click(lambda: gr.update(visible=False), outputs=form, **QUIET)
    page.queue(default_concurrency_limit=16)
    return page


def str_or_none(value: Any) -> str | None:
    """A choice as the browser sent it."""
    return value if isinstance(value, str) else None


def markup(value: str = "", **options: Any) -> gr.HTML:
    """`gr.HTML` without Gradio's prose styles, which attest.css replaces."""
    return gr.HTML(value, apply_default_css=False, **options)


def who_html() -> str:
    """Who is signed in, and the way out; nothing for the local user."""
    viewer = whoever_asks()
    if viewer.user is None:
        return ""
    return (
        f'<form class="at-who" method="post" action="{SIGN_OUT}"><span>{escape(viewer.name)}</span>'
        '<button type="submit" class="at-quiet">Sign out</button></form>'
    )


def _connect_reader(
    reader: Reader,
    parts: ReaderParts,
    page: gr.Blocks,
    collection: gr.Dropdown,
    mode: gr.Radio,
    scope: gr.State,
) -> tuple[Any, Any]:
    """Returns the events that end with an answer."""
    asked = {
        "fn": reader.ask,
        "inputs": [
            parts.question,
            collection,
            mode,
            parts.conversation,
            parts.thread,
            scope,
            parts.editing,
        ],
        "outputs": parts.all(),
        "concurrency_limit": 32,
        "trigger_mode": "multiple",  # else a question is lost that comes just as an answer ends
        **QUIET,
    }
    from_box = gr.on([parts.ask.click, parts.question.submit], **asked)
    from_suggestion = parts.welcome.act(reader.suggest, outputs=parts.question, **QUIET).then(**asked)
    for event in (from_box, from_suggestion):
        event.failure(reader.failed, outputs=parts.all(), **QUIET)
    parts.stop.click(reader.stop, queue=False, **QUIET)
    parts.fresh.click(reader.clear, outputs=parts.all(), **QUIET)
    for source in (parts.past, parts.live, parts.evidence):
        source.act(
            reader.act,
            inputs=[parts.conversation, parts.shown, parts.thread],
            outputs=[parts.past, parts.conversation, parts.shown, parts.evidence],
            trigger_mode="multiple",  # or a click is lost while the one before it is on its way
            **QUIET,
        )
    editing = [parts.question, parts.editing, parts.again]
    for source in (parts.past, parts.again):
        source.act(reader.edit, parts.conversation, editing, **QUIET)
    page.unload(reader.leave)
    return from_box, from_suggestion


def _connect_library(
    library: Library, parts: LibraryParts, page: gr.Blocks, folder: gr.UploadButton, create: gr.Button
) -> None:
    now = [parts.collection, parts.listing, parts.shown]
    quiet = {"outputs": parts.all(), **QUIET}
    page.load(library.open, **quiet)
    page.unload(library.leave)
    ticking = [parts.collection, parts.mark, parts.listing, parts.shown]
    parts.timer.tick(library.tick, inputs=ticking, queue=False, **quiet)
    parts.collection.input(library.switch, inputs=now, **quiet)
    for source in (parts.drop, folder):
        source.upload(library.add_files, inputs=[source, *now], outputs=[parts.drop, *parts.all()], **QUIET)
    gr.on(
        [create.click, parts.name.submit],
        library.add_collection,
        inputs=[parts.name, parts.profile, parts.listing, parts.shown],
        **quiet,
    )
    for source in (parts.documents, parts.selection, parts.facts, parts.dialog):
        source.act(library.act, inputs=[*now, parts.scope], trigger_mode="multiple", **quiet)
    parts.chips.act(library.unchoose, parts.scope, [parts.scope, parts.chips], **QUIET)


def _connect_archive(
    archive: Archive, parts: ArchiveParts, thread: gr.State, opening: gr.State, rename: gr.Button
) -> None:
    parts.search.change(
        archive.list, [parts.search, thread], parts.conversations, trigger_mode="always_last", **QUIET
    )
    parts.conversations.act(opened, thread, opening, **QUIET)
    parts.conversations.act(
        archive.act,
        [parts.search, thread],
        [parts.conversations, parts.form, parts.title, parts.chosen],
        **QUIET,
    )
    gr.on(
        [rename.click, parts.title.submit],
        archive.rename,
        [parts.title, parts.chosen, parts.search, thread],
        [parts.form, parts.conversations],
        **QUIET,
    )
