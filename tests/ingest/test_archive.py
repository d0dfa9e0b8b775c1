"""ZIP-based formats that would explode, reach out or hide something are refused before they are unpacked."""

import io
import zipfile

import pytest

from ingest import errors
from tests.ingest import make_office as make
from tests.ingest.conftest import Reading

FILES = {
    "a.docx": (make.word, "word/document.xml"),
    "a.xlsx": (lambda: make.excel({"S": [["a", "b"], [1, 2]]}), "xl/worksheets/sheet1.xml"),
    "a.pptx": (make.slides, "ppt/slides/slide1.xml"),
    "a.odt": (make.odt, "content.xml"),
    "a.epub": (make.epub, "OPS/book.opf"),
}


def changed(data: bytes, **entries: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    return make.packed(kept | {name.replace("__", "/"): content for name, content in entries.items()})


@pytest.mark.parametrize("name", FILES)
def test_bombs_are_refused_in_every_format(keep, name: str) -> None:
    build, _ = FILES[name]
    path = keep(name, changed(build(), bomb=b"0" * (80 * 2**20)))
    with pytest.raises(errors.TooLarge, match="unpacks to 80 MiB"):
        Reading(path)


@pytest.mark.parametrize("name", FILES)
def test_entities_are_refused_in_every_format(keep, name: str) -> None:
    build, part = FILES[name]
    data = build()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        content = archive.read(part)
    root = content[content.index(b"?>") + 2 :] if content.startswith(b"<?xml") else content
    secret = keep("secret.txt", "the secret clause")
    for declared in (
        b'<!ENTITY a "' + b"x" * 1000 + b'"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">',
        b'<!ENTITY a SYSTEM "' + secret.as_uri().encode() + b'">',
        b'<!ENTITY % a SYSTEM "http://192.0.2.1/a.dtd"> %a;',
    ):
        hostile = b"<!-- " + b"x" * 40_000 + b" --><!DOCTYPE r [" + declared + b"]>" + root
        with pytest.raises(errors.UnsupportedFormat, match="declares XML entities"):
            Reading(keep(name, changed(data, **{part.replace("/", "__"): hostile})))


@pytest.mark.parametrize(
    "inside", ["../../outside.xml", "/etc/outside.xml", "C:\\outside.xml", "a\\..\\..\\b"]
)
def test_names_that_point_outside_are_refused(keep, inside: str) -> None:
    output = io.BytesIO(make.word())
    with zipfile.ZipFile(output, "a") as archive:
        archive.writestr(zipfile.ZipInfo(inside), b"x")
    with pytest.raises(errors.UnsupportedFormat, match="points outside of the archive"):
        Reading(keep("a.docx", output.getvalue()))


def test_too_many_entries_are_refused(keep) -> None:
    many = {f"word/{i}": b"" for i in range(20_001)}
    with pytest.raises(errors.TooLarge, match="20002 entries"):
        Reading(keep("a.docx", make.packed({"word/document.xml": b"<a/>", **many})))


def test_locked_entries_ask_for_a_copy_without_a_password(keep) -> None:
    data = bytearray(make.odt())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(errors.PasswordRequired, match="without the password"):
        Reading(keep("a.odt", bytes(data)))


def test_a_size_that_lies_is_damage(keep) -> None:
    """zipfile unpacks no more than the table of contents promises."""
    data = bytearray(make.word())
    entry = data.rindex(b"word/document.xml") - 46  # of the table of contents; the unpacked size is at 24
    data[entry + 24 : entry + 28] = (100).to_bytes(4, "little")
    with pytest.raises(errors.DamagedFile, match="BadZipFile"):
        Reading(keep("a.docx", bytes(data)))


def test_documents_inside_documents_are_named_and_not_opened(keep) -> None:
    inner = make.excel({"S": [["a secret sheet"]]})
    reading = Reading(keep("a.docx", changed(make.word(), word__embeddings__Sheet1_xlsx=inner)))
    assert "secret" not in reading.text
    (warning,) = reading.warnings
    assert warning.message == "1 embedded object(s) were not read: word/embeddings/Sheet1_xlsx"


def test_nothing_that_a_document_refers_to_is_fetched(keep) -> None:
    """The reading process has no sockets: a request would be an error, and the text comes without one."""
    page = (
        '<p>Here</p><img src="http://192.0.2.1/a.png"/><link rel="stylesheet" href="http://192.0.2.1/a.css"/>'
    )
    message = make.mail(html=f"<html><body>{page}</body></html>")
    message.get_payload()[0].set_payload("\n")
    assert Reading(keep("a.eml", bytes(message))).text.endswith("Here")
    book = changed(make.epub(), OPS__one_xhtml=b"")
    assert "It ends." in Reading(keep("a.epub", book)).text
