"""The sheet of settings and health: what answers, what is kept, what is wrong and what to do. As HTML.

Pure functions from values to strings; everything is escaped.
"""

from collections.abc import Sequence
from html import escape

from app.library.forecast import size
from app.web.views import CheckView, HealthView

LISTED = 5  # problems that are named one by one
NAMES = {
    "store": "The store",
    "worker": "Background work",
    "disk": "Free disk",
    "device": "Processor",
    "backend": "What answers",
    "python": "Python",
    "llama-cpp-python": "Fast engine",
}


def health_html(health: HealthView, at: int) -> str:
    """at: makes each sheet another one, so that it opens again."""
    problems = [check for check in health.checks if check.state != "ok"]
    rest = [check for check in health.checks if check.state == "ok"]
    return (
        f'<dialog class="at-dialog at-health" data-opens data-at="{at}" aria-label="Settings and health">'
        '<div class="at-dialog-head"><h2>Settings and health</h2>'
        '<button type="button" class="at-quiet" data-local="close">Close</button></div>'
        f"{_verdict(problems)}{_engine(health)}{_kept(health)}{_audit(health)}"
        f'<details class="at-health-rest"><summary>What else was checked</summary>{_list(rest)}</details>'
        f'<p class="at-note">Attest {escape(health.version)} · settings are in <code>settings.toml</code> in '
        "the folder above; they count from the next start.</p></dialog>"
    )


def _verdict(problems: Sequence[CheckView]) -> str:
    if not problems:
        return '<p class="at-health-good" role="status">Everything is as it should be.</p>'
    return f'<div role="status">{_list(problems)}</div>'


def _list(checks: Sequence[CheckView]) -> str:
    rows = "".join(
        f'<li class="at-check at-check-{escape(check.state)}"><strong>{escape(_named(check.name))}</strong> '
        f"<span>{_in_words(check.message)}</span></li>"
        for check in checks
    )
    return f'<ul class="at-checks">{rows}</ul>'


def _named(name: str) -> str:
    return NAMES.get(name) or (f"Model {name[6:]}" if name.startswith("model ") else name)


def _in_words(message: str) -> str:
    """Commands of a message, in backquotes, as code."""
    parts = escape(message).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def _engine(health: HealthView) -> str:
    engine = health.engine
    if not engine.ready:
        return _section("Answers", [("Model", engine.model), ("State", engine.message)])
    rows = [
        ("Model", engine.model + ("" if engine.quantisation == "none" else f", {engine.quantisation}")),
        ("Adapter", engine.adapter or "none"),
        ("Runs on", f"{engine.backend}, {engine.device}"),
        ("Because", engine.device_reason),
        ("Finds passages with", health.embedder),
    ]
    note = (
        "Another model: set <code>ATTEST_MODEL</code> or <code>model</code> in the settings, start again, "
        "and run <code>attest memories rebuild</code>, since memories belong to the model that wrote them. "
        "<code>attest models list</code> names those that are here."
    )
    return _section("Answers", rows, note)


def _kept(health: HealthView) -> str:
    rows = [
        ("Folder", health.home),
        ("Holds", f"{health.documents:,} documents in {health.collections:,} collections"),
        ("Passages", f"{health.passages:,}"),
        ("Memories", f"{health.memories:,}, {size(health.memory_bytes)}"),
        ("Free disk", size(health.free)),
        ("Background work", f"{health.workers} running" if health.workers else "not running"),
    ]
    return _section("Documents", rows)


def _audit(health: HealthView) -> str:
    if health.audited is None:
        return (
            '<p><button type="button" class="at-button" data-act="audit">Check every memory</button> '
            '<span class="at-note">reads all of them and compares them with what was written</span></p>'
        )
    if not health.audited:
        return '<p class="at-health-good" role="status">All was read, and all of it is whole.</p>'
    named = "".join(f"<li>{escape(words)}</li>" for words in health.audited[:LISTED])
    more = len(health.audited) - LISTED
    named += f"<li>and {more:,} more; `attest memories verify` names all</li>" if more > 0 else ""
    return (
        f'<div class="at-error" role="alert"><p>{len(health.audited):,} things do not fit. '
        "<code>attest memories rebuild</code> writes damaged memories anew.</p>"
        f"<ul>{named}</ul></div>"
    )


def _section(title: str, rows: Sequence[tuple[str, str]], note: str = "") -> str:
    items = "".join(f"<dt>{label}</dt><dd>{escape(value)}</dd>" for label, value in rows if value)
    below = f'<p class="at-note">{note}</p>' if note else ""
    return f'<section><h3>{title}</h3><dl class="at-takes">{items}</dl>{below}</section>'
