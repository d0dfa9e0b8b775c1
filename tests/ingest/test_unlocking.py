"""Locked PDFs and passwords: what opens, what is refused, and how."""

import io
from pathlib import Path

import pypdf
import pytest

from ingest.errors import EmptyFile, PasswordRequired, WrongPassword
from ingest.unlocking import unlock
from tests.ingest.conftest import Reading
from tests.ingest.make_pdf import make_pdf, text_sheet

PLAIN = make_pdf(text_sheet("The warranty period is sixty months."), text_sheet("It starts at acceptance."))


def locked(user: str, owner: str | None = None, algorithm: str = "AES-256") -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(PLAIN))
    writer.encrypt(user, owner, algorithm=algorithm)
    whole = io.BytesIO()
    writer.write(whole)
    return whole.getvalue()


@pytest.mark.parametrize("algorithm", ["RC4-40", "RC4-128", "AES-128", "AES-256"])
@pytest.mark.parametrize("passwords", [["wrong", "opens"], ["ownér"]])
def test_the_password_takes_the_lock_off(keep, tmp_path: Path, algorithm: str, passwords: list[str]) -> None:
    path = keep("a.pdf", locked("opens", "ownér", algorithm))
    with pytest.raises(PasswordRequired, match=r"a\.pdf: this PDF is encrypted; give its password"):
        Reading(path)
    copy = tmp_path / "copy.pdf"
    with copy.open("wb") as file:
        assert unlock(path, passwords, file)
    assert Reading(copy).text == Reading(keep("plain.pdf", PLAIN)).text
    assert not Reading(copy).info.encrypted


def test_no_password_fits(keep) -> None:
    copy = io.BytesIO()
    with pytest.raises(WrongPassword, match=r"a\.pdf: none of the passwords opens this PDF"):
        unlock(keep("a.pdf", locked("opens")), ["wrong", "öpens"], copy)
    assert copy.getvalue() == b""


def test_what_is_not_locked_is_left_alone(keep) -> None:
    copy = io.BytesIO()
    for name, content in (
        ("plain.pdf", PLAIN),
        ("for owners only.pdf", locked("", "owner")),
        ("note.md", "an /Encrypt in a note"),
        ("damaged.pdf", b"%PDF-1.7 /Encrypt and nothing else"),
    ):
        assert not unlock(keep(name, content), ["x"], copy)
    with pytest.raises(EmptyFile):
        unlock(keep("empty.pdf", b""), ["x"], copy)
    assert copy.getvalue() == b""
