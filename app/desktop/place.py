"""Where the window was, kept in a file of the home folder, and whether it can be there again.

A file that is missing, damaged or of another version gives the default: a window that opens at an unexpected
place is better than one that does not open. Knows no toolkit.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from storage import files

SMALLEST = (480, 400)
SEEN = 96  # pixels of its top edge that must be on a screen, so that it can be taken hold of


@dataclass(frozen=True)
class Place:
    """Pixels of the desktop; x and y None: wherever the platform puts a window."""

    width: int = 1440
    height: int = 900
    x: int | None = None
    y: int | None = None
    maximised: bool = False


@dataclass(frozen=True)
class Area:
    """A screen."""

    x: int
    y: int
    width: int
    height: int


def remembered(file: Path) -> Place:
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        return Place(
            _whole(held["width"]),
            _whole(held["height"]),
            None if held["x"] is None else _whole(held["x"]),
            None if held["y"] is None else _whole(held["y"]),
            held["maximised"] is True,
        )
    except (OSError, ValueError, LookupError, TypeError):
        return Place()


def remember(file: Path, place: Place) -> None:
    """Replace the file as a whole. Raises StorageError."""
    with files.in_our_words("the window's place"), files.partial(file.parent) as (path, written):
        written.write(json.dumps(asdict(place)).encode())
        files.complete(written)
        files.settle(path, file)


def on_screen(place: Place, screens: Sequence[Area]) -> Place:
    """No larger than the screen that it is on; without a place where no screen shows its top any more."""
    if not screens:
        return place
    shown = next((screen for screen in screens if _shows(screen, place)), None)
    screen = shown or screens[0]
    fitted = replace(
        place,
        width=max(min(place.width, screen.width), SMALLEST[0]),
        height=max(min(place.height, screen.height), SMALLEST[1]),
    )
    return fitted if shown else replace(fitted, x=None, y=None)


def _shows(screen: Area, place: Place) -> bool:
    if place.x is None or place.y is None:
        return False
    seen = min(place.x + place.width, screen.x + screen.width) - max(place.x, screen.x)
    return seen >= SEEN and screen.y <= place.y <= screen.y + screen.height - SEEN


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 100_000:
        raise ValueError(f"{value!r} is no number of pixels")
    return value
