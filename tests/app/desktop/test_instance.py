"""One window per home: the second start knocks, a dead one is no obstacle."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.desktop import instance as instances
from app.desktop.door import Door
from app.desktop.instance import Instance
from app.desktop.running import listening
from app.errors import AttestError

HOLD = """
import sys
from pathlib import Path
from app.desktop.instance import Instance
with Instance(Path(sys.argv[1])) as instance:
    assert instance.claim()
    instance.announce(int(sys.argv[2]), sys.argv[3])
    print("held", flush=True)
    sys.stdin.read()
"""


class Holder:
    """Another process that is the window of a home."""

    def __init__(self, home: Path, port: int, secret: str) -> None:
        command = [sys.executable, "-c", HOLD, str(home), str(port), secret]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"held\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_the_second_knocks_and_goes(home: Path) -> None:
    knocks: list[int] = []
    door = Door(_nothing, lambda: not knocks.append(1))
    with listening(door) as port:
        holder = Holder(home, port, door.knock_secret)
        try:
            with Instance(home) as second:
                assert not second.claim()
            assert knocks == [1]
            assert (home / "window" / "address.json").exists()  # of the first, which goes on
        finally:
            holder.kill()


def test_a_killed_window_is_no_obstacle(home: Path) -> None:
    holder = Holder(home, 1, "secret")
    holder.kill()
    with Instance(home) as second:
        assert second.claim()
        assert not (home / "window" / "address.json").exists()


def test_one_that_hangs_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "PATIENCE_SECONDS", 0.2)
    holder = Holder(home, 1, "secret")
    try:
        with Instance(home) as second, pytest.raises(AttestError, match="does not answer"):
            second.claim()
    finally:
        holder.kill()


def test_only_this_user_may_read_the_address(home: Path) -> None:
    with Instance(home) as instance:
        assert instance.claim()
        instance.announce(4711, "secret")
        file = home / "window" / "address.json"
        assert json.loads(file.read_text())["secret"] == "secret"
        assert file.stat().st_mode & 0o077 == 0
        assert file.parent.stat().st_mode & 0o077 == 0
    assert not file.exists()


@pytest.mark.parametrize("held", ["", "[]", "{}", '{"port": "x", "secret": 1}', "\xff"])
def test_a_damaged_address_is_no_answer(home: Path, held: str) -> None:
    with Instance(home) as instance:
        assert instance.claim()
        instance._address.write_text(held, encoding="latin-1")
        assert not instance._knock()


async def _nothing(scope: object, receive: object, send: object) -> None:
    """An application that does nothing."""
