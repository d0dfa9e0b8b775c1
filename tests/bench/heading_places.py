"""Passages of the real documents and the headings that a reader would put above them, chosen by hand."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """document: how its file's name begins. passage: words of one page. wanted: outermost first."""

    document: str
    passage: str
    wanted: tuple[str, ...]


PLACES: tuple[Place, ...] = ()
