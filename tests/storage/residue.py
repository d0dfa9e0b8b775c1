"""Searches a home folder for what a deleted document may have left anywhere in its files."""

from collections.abc import Iterable
from pathlib import Path

RUN = 40


def left_behind(home: Path, secrets: Iterable[bytes]) -> list[str]:
    """Files that hold any `RUN` bytes in a row of a secret, or the whole of a shorter one.

    Every run of `RUN` bytes of a file covers one block of half as many, on a multiple of that; so only these
    blocks are looked up, and a find is then grown to both sides.
    """
    block = RUN // 2
    whole = [secret for secret in secrets if len(secret) < RUN]
    places: dict[bytes, list[tuple[bytes, int]]] = {}
    for secret in secrets:
        for at in range(len(secret) - block + 1 if len(secret) >= RUN else 0):
            places.setdefault(secret[at : at + block], []).append((secret, at))
    found = []
    for path in home.rglob("*"):
        if any(secret in str(path.relative_to(home)).encode() for secret in whole):
            found.append(f"{path.relative_to(home)} (its name)")
        if not path.is_file():
            continue
        data = path.read_bytes()
        blocks = (
            (start, secret, at)
            for start in range(0, len(data) - block + 1, block)
            for secret, at in places.get(data[start : start + block], ())
        )
        if any(secret in data for secret in whole) or any(
            _run(data, start, secret, at, block) >= RUN for start, secret, at in blocks
        ):
            found.append(str(path.relative_to(home)))
    return found


def _run(data: bytes, start: int, secret: bytes, at: int, block: int) -> int:
    """How many bytes in a row are equal around data[start:start + block] and secret[at:at + block]."""
    before = after = 0
    while before < min(start, at) and data[start - before - 1] == secret[at - before - 1]:
        before += 1
    while (
        start + block + after < len(data)
        and at + block + after < len(secret)
        and data[start + block + after] == secret[at + block + after]
    ):
        after += 1
    return before + block + after
