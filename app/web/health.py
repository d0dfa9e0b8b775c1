"""The sheet of settings and health: what answers, what is kept, what is wrong and what to do. As HTML.

Pure functions from values to strings; everything is escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Said:
    """What came of the last click in the sheet; nothing where it is empty."""

    words: str
    problem: bool = False


NOTHING = Said("")


def health_html(health: HealthView, at: int, said: Said = NOTHING) -> str:
    """at: makes each sheet another one, so that it opens again."""
    problems = [check for check in health.checks if check.state != "ok"]
    rest = [check for check in health.checks if check.state == "ok"]
    return (
        f'<dialog class="at-dialog at-health" data-opens data-at="{at}" aria-label="Settings and health">'
        '<div class="at-dialog-head"><h2>Settings and health</h2>'
        '<button type="button" class="at-quiet" data-local="close">Close</button></div>'
        f"{_said(said)}{_verdict(problems)}{_engine(health)}{_kept(health)}{_audit(health)}"
        f'<details class="at-health-rest"><summary>What else was checked</summary>{_list(rest)}</details>'
        f'<p class="at-note">Attest {escape(health.version)} · settings are in <code>settings.toml</code> in '
        "the folder above; they count from the next start.</p></dialog>"
    )


def _said(said: Said) -> str:
    if not said.words:
        return ""
    look, role = ("at-error", "alert") if said.problem else ("at-health-good", "status")
    return f'<p class="{look}" role="{role}">{escape(said.words)}</p>'


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
        return _section("Answers", [("Model", engine.model), ("State", engine.message)], _choice(health))
    rows = [
        ("Model", engine.model + ("" if engine.quantisation == "none" else f", {engine.quantisation}")),
        ("Adapter", engine.adapter or "none"),
        ("Runs on", f"{engine.backend}, {engine.device}"),
        ("Because", engine.device_reason),
        ("Finds passages with", health.embedder),
    ]
    return _section("Answers", rows, _choice(health) + _lacking(health))


def _choice(health: HealthView) -> str:
    """For another model: one that is known by name, or any that lies on this machine."""
    names = "".join(f'<option value="{escape(name)}"></option>' for name in health.models)
    return (
        '<details class="at-model"><summary>Use another model</summary>'
        '<div class="at-form at-dialog-form"><label>Name, GGUF file, or folder of safetensors on this machine'
        f'<input class="at-field" type="text" list="at-models" maxlength="4096" autocomplete="off"></label>'
        f'<datalist id="at-models">{names}</datalist>'
        '<div class="at-dialog-buttons"><button type="button" class="at-button at-primary"'
        ' data-act="use-model">Use it</button></div>'
        '<p class="at-note">Memories belong to the model that wrote them: those of the model before stay on '
        "disk, and the new one writes its own when a passage is first read, or all at once from here.</p>"
        "</div></details>"
    )


def _lacking(health: HealthView) -> str:
    if not health.lacking:
        return ""
    passages = "1 passage has" if health.lacking == 1 else f"{health.lacking:,} passages have"
    return (
        f'<p class="at-note">{passages} no memory of this model yet; it is written when it is first read. '
        '<button type="button" class="at-button" data-act="write-memories">Write all now</button></p>'
    )


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


def _section(title: str, rows: Sequence[tuple[str, str]], below: str = "") -> str:
    items = "".join(f"<dt>{label}</dt><dd>{escape(value)}</dd>" for label, value in rows if value)
    return f'<section><h3>{title}</h3><dl class="at-takes">{items}</dl>{below}</section>'
