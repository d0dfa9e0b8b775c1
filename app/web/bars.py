"""Bars as HTML, each labelled as what it is, with its number beside it.

attention is a share of one softmax over all that the model saw; read is that of the heads that tell what an
answer depends on (of all, where that is not known); needed is the log-probability, in nats, that the answer
loses without the passage. Neither proves that the passage supports the answer. Arithmetic and strings only.
"""

from app.web.reading import per_cent

READ, NEEDED, ATTENTION = "read", "needed", "attention"
READ_MEANS = "Share of attention, while writing, of the heads that tell what an answer depends on"
NEEDED_MEANS = "Log-probability, in nats, that the answer loses when this passage is taken away"
ATTENTION_MEANS = "Share of the attention of all heads while writing"
NOT_MEASURED = "not measured"


def read_bar(value: float, most: float) -> str:
    """value, most: shares, 0..1; the bar of `most` is full."""
    return _bar(READ, READ_MEANS, "at-fill", value, most, per_cent(value), "at-read")


def share_bar(value: float, most: float, kind: str) -> str:
    """value, most: per cent. kind: READ or ATTENTION."""
    if kind == READ:
        return _bar(READ, READ_MEANS, "at-fill", value, most, f"{value:.1f} %", "at-read")
    return _bar(ATTENTION, ATTENTION_MEANS, "at-fill at-fill-rest", value, most, f"{value:.1f} %", "at-share")


def needed_bar(value: float | None, most: float) -> str:
    """value, most: nats. A passage without which the answer gets likelier has its number and an empty bar."""
    number = NOT_MEASURED if value is None else nats(value)
    return _bar(NEEDED, NEEDED_MEANS, "at-fill at-fill-needed", value or 0.0, most, number, "at-nats")


def nats(value: float) -> str:
    """For reading: "0.42 nats"; minus zero is zero."""
    return f"{round(value, 2) + 0.0:.2f} nats"


def _bar(label: str, means: str, fill: str, value: float, most: float, number: str, kind: str) -> str:
    width = 100 * min(max(value / most, 0.0), 1.0) if most > 0 else 0.0
    return (
        f'<span class="at-measure" title="{means}"><span class="at-measure-label">{label}</span>'
        f'<span class="at-track"><span class="{fill}" style="width:{width:.1f}%"></span></span>'
        f'<span class="{kind}">{number}</span></span>'
    )
