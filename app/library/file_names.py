"""Names that files come with, made fit to be names here. Knows no file system but its limits."""

import os

LONGEST_NAME = 200  # bytes; file systems allow 255


def safe_name(name: str) -> str:
    """The last part of `name` without control characters, at most `LONGEST_NAME` bytes, extension kept."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(letter for letter in last if letter.isprintable()).strip()
    if printable.strip(".") == "":
        return "document"
    stem, extension = os.path.splitext(printable)
    room = LONGEST_NAME - len(extension.encode())
    if room < 1:
        return printable.encode()[:LONGEST_NAME].decode(errors="ignore")
    return stem.encode()[:room].decode(errors="ignore") + extension
