"""The decode, step by step: each stretch of 64 tokens, the memories that it had, and which were new or gone.

Values and HTML; a memory has the same short label wherever it is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from app.answering.answer import StretchRead
from app.web.reading import Reading, Spot, per_cent, spot_of


@dataclass(frozen=True)
class Step:
    """Tokens [from_token, to_token). held: (memory, its attention, whether it is new), most attended first.

    dropped: memories of the stretch before that this one did not have. text: what was written, "" if unknown.
    """

    from_token: int
    to_token: int
    held: tuple[tuple[Spot, float, bool], ...]
    dropped: tuple[Spot, ...]
    text: str = ""


def steps(reads: Sequence[StretchRead], answer: str = "") -> list[Step]:
    found: list[Step] = []
    before: set[Spot] = set()
    for read in reads:
        now = {spot_of(memory): memory.attention for memory in read.memories}
        held = tuple(
            (spot, mass, bool(found) and spot not in before)
            for spot, mass in sorted(now.items(), key=lambda item: -item[1])
        )
        dropped = tuple(
            sorted(before - now.keys(), key=lambda spot: (spot.document_id, spot.page, spot.start))
        )
        text = " ".join(answer[read.start : read.end].split())
        found.append(Step(read.from_token, read.to_token, held, dropped, text))
        before = set(now)
    return found


def labels(reading: Reading | None) -> dict[Spot, str]:
    """A citation's number for what is cited, letters for the rest, in the order of their attention."""
    found: dict[Spot, str] = {}
    letters = 0
    for passage in reading.passages if reading else ():
        if passage.number is not None:
            found[passage.spot] = str(passage.number)
        else:
            found[passage.spot] = _letters(letters)
            letters += 1
    return found


def _letters(index: int) -> str:
    return (_letters(index // 26 - 1) if index >= 26 else "") + chr(ord("a") + index % 26)


def stretches_html(turn: int, walked: Sequence[Step], chosen: int | None, names: Mapping[Spot, str]) -> str:
    """Buttons to step through the stretches, and what each one read; nothing for a single stretch."""
    if len(walked) < 2:
        return ""
    at = -1 if chosen is None else chosen
    rows = "".join(_row(turn, index, step, index == chosen, names) for index, step in enumerate(walked))
    whole = (
        f'<button type="button" data-act="stretch" data-turn="{turn}" data-stretch=""'
        f' aria-pressed="{"true" if chosen is None else "false"}">Whole answer</button>'
    )
    return (
        '<div class="at-stretches" role="group" aria-label="Part of the answer">'
        f"{_button(turn, at - 1, '‹', 'Earlier stretch', at > 0)}{whole}"
        f"{_button(turn, at + 1, '›', 'Later stretch', at + 1 < len(walked))}</div>"
        f'<ol class="at-decode" aria-label="Memories of each stretch">{rows}</ol>'
        f"{_written(walked, chosen)}"
    )


def _written(walked: Sequence[Step], chosen: int | None) -> str:
    text = "" if chosen is None else walked[chosen].text
    return f'<p class="at-chosen-sentence"><q>{escape(text)}</q></p>' if text else ""


def _button(turn: int, stretch: int, sign: str, label: str, possible: bool) -> str:
    disabled = "" if possible else " disabled"
    return (
        f'<button type="button" class="at-step" data-act="stretch" data-turn="{turn}"'
        f' data-stretch="{stretch}" aria-label="{label}"{disabled}>{sign}</button>'
    )


def _row(turn: int, index: int, step: Step, pressed: bool, names: Mapping[Spot, str]) -> str:
    chips = "".join(
        f'<span class="at-memory{" at-memory-new" if new else ""}" title="{per_cent(mass)} of attention">'
        f"{'+' if new else ''}{escape(names.get(spot, '?'))}</span>"
        for spot, mass, new in step.held
    )
    gone = "".join(
        '<span class="at-memory at-memory-gone" title="not read any more">'
        f"−{escape(names.get(spot, '?'))}</span>"
        for spot in step.dropped
    )
    fresh = sum(new for _, _, new in step.held)
    change = f"{fresh} new, {len(step.dropped)} dropped" if fresh or step.dropped else "unchanged"
    said = "" if index == 0 else f'<span class="at-change">{change}</span>'
    return (
        f'<li><button type="button" data-act="stretch" data-turn="{turn}" data-stretch="{index}"'
        f' aria-pressed="{"true" if pressed else "false"}">tokens {step.from_token}–{step.to_token}</button>'
        f'<span class="at-memories">{chips or "no memories"}{gone}</span>{said}</li>'
    )
