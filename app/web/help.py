"""The sheet of keys: what can be done without a mouse. Static HTML; `attest.js` does what it says."""

KEYS = (
    ("/", "go to the question"),
    ("Enter", "ask; with Shift a new line"),
    ("n, p", "next or previous citation, with its page"),
    ("+", "enlarge the page"),
    ("c", "copy the last answer with its citations"),
    ("e", "edit the last question and ask again"),
    ("f", "find a document"),
    ("w", "the list of documents with columns, and back"),
    ("?", "this sheet"),
    ("Esc", "close a sheet or a card; leave a field"),
)


def help_html() -> str:
    rows = "".join(
        f"<dt>{' '.join(f'<kbd>{key}</kbd>' for key in keys.split(', '))}</dt><dd>{words}</dd>"
        for keys, words in KEYS
    )
    return (
        '<dialog class="at-dialog" id="at-help" aria-label="Keys"><div class="at-dialog-head"><h2>Keys</h2>'
        '<button type="button" class="at-quiet" data-local="close">Close</button></div>'
        f'<dl class="at-keys-list">{rows}</dl>'
        '<p class="at-note">Single keys count while you are not in a field. Tab goes through everything.'
        "</p></dialog>"
    )
