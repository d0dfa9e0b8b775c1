"""The window's place: kept whole, and given up where no screen shows it any more."""

from pathlib import Path

import pytest

from app.desktop.place import SMALLEST, Area, Place, on_screen, remember, remembered
from app.errors import AttestError, for_people

SCREENS = [Area(0, 0, 1920, 1080), Area(1920, 0, 1280, 1024)]


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "window" / "place.json"
    for place in (Place(), Place(900, 700, -20, 30), Place(1200, 800, 1930, 4, maximised=True)):
        remember(file, place)
        assert remembered(file) == place
    assert [each.name for each in file.parent.iterdir()] == ["place.json"]


@pytest.mark.parametrize(
    "held",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"width": "wide", "height": 1, "x": null, "y": null, "maximised": false}',
        b'{"width": 1e9, "height": 1, "x": null, "y": null, "maximised": false}',
        b'{"width": true, "height": 1, "x": null, "y": null, "maximised": false}',
        b'{"width": 99999999, "height": 1, "x": null, "y": null, "maximised": false}',
    ],
)
def test_what_cannot_be_read_is_the_default(tmp_path: Path, held: bytes) -> None:
    file = tmp_path / "place.json"
    file.write_bytes(held)
    assert remembered(file) == Place()


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "window").write_text("a file")
    with pytest.raises(AttestError, match="the window's place"), for_people():
        remember(tmp_path / "window" / "place.json", Place())


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (Place(900, 700, 100, 50), Place(900, 700, 100, 50)),
        (Place(900, 700, 2000, 50), Place(900, 700, 2000, 50)),  # on the second screen
        (Place(900, 700, -850, 50), Place(900, 700)),  # 50 pixels of it are left
        (Place(900, 700, 100, -40), Place(900, 700)),  # its title is above the screen
        (Place(900, 700, 100, 1000), Place(900, 700)),
        (Place(900, 700, 4000, 50), Place(900, 700)),  # of a screen that was taken away
        (Place(3000, 2000, 100, 50), Place(1920, 1080, 100, 50)),
        (Place(10, 10, 100, 50), Place(*SMALLEST, 100, 50)),  # but wide enough to be taken hold of
        (Place(900, 700, 100, 50, maximised=True), Place(900, 700, 100, 50, maximised=True)),
    ],
)
def test_it_is_on_a_screen(place: Place, expected: Place) -> None:
    fitted = on_screen(place, SCREENS)
    if place.width == 10:
        expected = Place(*SMALLEST)  # ten pixels are not enough to be seen there
    assert fitted == expected


def test_without_a_known_screen_it_stays() -> None:
    assert on_screen(Place(900, 700, 5, 5), []) == Place(900, 700, 5, 5)
