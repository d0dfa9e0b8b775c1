"""DOCX, HTML, Markdown and plain text as text, headings and sections; and what a file really is."""

import io
import zipfile

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from ingest import errors, media
from ingest.document import DOCX, HTML, MARKDOWN, PDF, TEXT, XML
from ingest.readers.flow import SECTION_CHARACTERS
from tests.ingest.conftest import Reading
from tests.ingest.make_pdf import make_pdf, text_sheet


def word(build) -> bytes:
    document = docx.Document()
    build(document)
    output = io.BytesIO()
    document.save(output)
    return output.getvalue()


def test_docx_paragraphs_headings_lists_and_tables(keep) -> None:
    def build(document) -> None:
        document.core_properties.title = "Lease of Land"
        document.add_heading("Terms", 1)
        document.add_paragraph("The tenant pays.\tEach month.")
        document.add_heading("Rent", 2)
        document.add_paragraph("cash", style="List Bullet")
        document.add_paragraph("card", style="List Number")
        document.add_paragraph("cheque", style="List Number")
        table = document.add_table(rows=2, cols=2)
        for cell, text in zip(
            (c for r in table.rows for c in r.cells), ("Due", "Amount", "May", "€ 5"), strict=True
        ):
            cell.text = text
        document.add_heading("End", 1)
        document.add_paragraph("Signed.")

    reading = Reading(keep("a.docx", word(build)))
    assert (reading.info.media_type, reading.info.title) == (DOCX, "Lease of Land")
    assert [page.text for page in reading.pages] == [
        "Terms\n\nThe tenant pays.\tEach month.\n\nRent\n• cash\n1. card\n2. cheque\n\n"
        "Due | Amount\nMay | € 5",
        "End\n\nSigned.",
    ]
    assert reading.headings == [(1, "Terms"), (2, "Rent"), (1, "End")]
    page = reading.pages[0]
    assert (page.label, page.width, page.height, page.boxes) == ("1", None, None, None)
    assert all(page.text[h.start :].startswith(h.text) for h in page.headings)


def test_docx_counts_inserted_text_and_not_deleted_text(keep) -> None:
    def build(document) -> None:
        paragraph = document.add_paragraph("The fee is ")._p
        run = "<w:r><w:{0}>{1}</w:{0}></w:r>"
        paragraph.append(parse_xml(f"<w:ins {nsdecls('w')}>{run.format('t', 'ten')}</w:ins>"))
        paragraph.append(parse_xml(f"<w:del {nsdecls('w')}>{run.format('delText', 'five')}</w:del>"))
        paragraph.append(parse_xml(f"<w:r {nsdecls('w')}><w:sym w:font='Symbol' w:char='F0B3'/></w:r>"))
        inside = f"<w:sdtContent><w:p>{run.format('t', 'In a control')}</w:p></w:sdtContent>"
        document.element.body.insert(0, parse_xml(f"<w:sdt {nsdecls('w')}>{inside}</w:sdt>"))

    assert Reading(keep("b.docx", word(build))).text == "In a control\n\nThe fee is ten≥"


def test_docx_numbers_clauses_as_word_does(keep) -> None:
    levels = "".join(
        f'<w:lvl w:ilvl="{i}"><w:start w:val="1"/><w:numFmt w:val="{form}"/>'
        f'<w:lvlText w:val="{pattern}"/></w:lvl>'
        for i, (form, pattern) in enumerate(
            [("decimal", "%1."), ("decimal", "%1.%2"), ("lowerLetter", "(%3)")]
        )
    )

    def build(document) -> None:
        root = document.part.numbering_part.element
        root.insert(
            0, parse_xml(f'<w:abstractNum {nsdecls("w")} w:abstractNumId="77">{levels}</w:abstractNum>')
        )
        root.append(parse_xml(f'<w:num {nsdecls("w")} w:numId="77"><w:abstractNumId w:val="77"/></w:num>'))
        for level, text in [(0, "A"), (1, "B"), (1, "C"), (2, "D"), (2, "E"), (0, "F"), (1, "G")]:
            properties = document.add_paragraph(text)._p.get_or_add_pPr()
            properties.append(
                parse_xml(f'<w:numPr {nsdecls("w")}><w:ilvl w:val="{level}"/><w:numId w:val="77"/></w:numPr>')
            )

    text = Reading(keep("n.docx", word(build))).text
    assert text.split("\n") == ["1. A", "1.1 B", "1.2 C", "(a) D", "(b) E", "2. F", "2.1 G"]


def test_docx_bombs_and_damage_are_refused(keep) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"0" * (80 * 2**20))
    with pytest.raises(errors.TooLarge, match="unpacks to 80 MiB"):
        Reading(keep("bomb.docx", bomb.getvalue()))
    with pytest.raises(errors.DamagedFile):
        Reading(keep("cut.docx", word(lambda d: d.add_paragraph("x"))[:-400]))
    future = bytearray(word(lambda d: d.add_paragraph("x")))
    future[future.rindex(b"PK\x01\x02") + 6] = 99  # the version of the format that is needed to unpack it
    with pytest.raises(errors.UnsupportedFormat, match="of a kind that is not read"):
        Reading(keep("future.docx", bytes(future)))
    with pytest.raises(errors.EmptyFile, match="no text"):
        Reading(keep("blank.docx", word(lambda d: None)))


def test_long_flows_become_sections_that_lose_nothing(keep) -> None:
    paragraphs = [f"Paragraph {i} " + "says something. " * 30 for i in range(60)]
    monster = "word " * 4000
    text = Reading(keep("long.txt", "\n\n".join([*paragraphs, monster])))
    assert len(text.pages) > 4
    assert all(len(page.text) <= SECTION_CHARACTERS for page in text.pages)
    assert text.text.split() == " ".join([*paragraphs, monster]).split()


def test_headings_are_not_left_at_the_end_of_a_section(keep) -> None:
    body = "says something. " * 200
    markdown = "\n\n".join(f"## Heading {i}\n\n{body}" for i in range(8))
    for page in Reading(keep("h.md", markdown)).pages:
        assert not page.text.rstrip().split("\n")[-1].startswith("Heading")


def test_html_shows_what_a_browser_shows(keep) -> None:
    html = """<!doctype html><html><head><title> A  Notice </title><meta name="author" content="Clerk">
    <style>p {color: red}</style><script>alert("x")</script></head><body><!-- hidden -->
    <h1>Notice</h1><p>First&nbsp;line<br>second   <b>bo</b>ld</p><p hidden>not this</p>
    <ul><li>one</li><li><p>two</p></li></ul><ol start="3"><li>three</li></ol>
    <table><tr><th>Drug</th><td>Dose <p>daily</p></td></tr><tr><td>A</td><td>5 mg</td></tr></table>
    <pre>  a
   b</pre><div>tail</div><noscript>enable it</noscript>after</body></html>"""
    reading = Reading(keep("n.html", html))
    assert (reading.info.media_type, reading.info.title) == (HTML, "A Notice")
    assert reading.info.metadata == {"author": "Clerk"}
    assert reading.text == (
        "Notice\n\nFirst line\nsecond bold\n• one\n• two\n3. three\n\nDrug | Dose daily\nA | 5 mg\n\n"
        "  a\n   b\n\ntail\n\nafter"
    )
    assert reading.headings == [(1, "Notice")]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'<html><meta charset="iso-8859-2"><p>\xb1\xe6</p>', "ąć"),
        ("<html><p>ąć</p>".encode(), "ąć"),
        ("<html><p>ąć</p>".encode("utf-16"), "ąć"),
        (b"<html><p>\x93quoted\x94</p>", "“quoted”"),
        (b'<html><meta charset="no-such"><p>x</p>', "x"),
        (
            b'<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><p>x</p></html>',
            "x",
        ),
    ],
)
def test_html_encodings(keep, data: bytes, expected: str) -> None:
    assert Reading(keep("e.html", data)).text == expected


def test_deep_html_does_not_break(keep) -> None:
    assert Reading(keep("deep.html", "<html>" + "<div>" * 2000 + "bottom")).text == "bottom"


def test_markdown(keep) -> None:
    markdown = """---
title: "The Guide"
---
# Top

Some *text* with `code` and
a [link](https://example.org).

- one
- two
  more

1. first

| a | b |
|---|---|
| c | d |

```
raw  text
```

<div>inline <b>html</b></div>
"""
    reading = Reading(keep("g.md", markdown))
    assert (reading.info.media_type, reading.info.title) == (MARKDOWN, "The Guide")
    assert reading.text == (
        "Top\n\nSome text with code and a link.\n• one\n• two more\n1. first\n\na | b\n\na: c; b: d\n\n"
        "raw  text\n\ninline html"
    )
    assert reading.headings == [(1, "Top")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_text_encodings(keep, encoding: str) -> None:
    assert Reading(keep("t.txt", "Café “naïve”".encode(encoding))).text == "Café “naïve”"


def test_form_feeds_are_pages(keep) -> None:
    reading = Reading(keep("t.txt", "one\r\ntwo\n\f\nthree\n\f"))
    assert [(page.label, page.text) for page in reading.pages] == [("1", "one\ntwo"), ("2", "three")]
    assert reading.info.media_type == TEXT


def test_control_characters_and_surrogates_never_pass(keep) -> None:
    text = Reading(keep("c.txt", "a\x01b\ufeffc\u2028d\u037e" + "x" * 300)).text
    assert text.startswith("abc\nd;x")
    text.encode()


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.mark.parametrize(
    ("name", "data", "error", "message"),
    [
        ("a.pdf", PNG, errors.DamagedFile, "cannot be decoded as a picture"),
        ("a.pdf", b"hello there", errors.DamagedFile, "plain text"),
        ("a.pdf", b"\x00\x01\x02" * 50, errors.DamagedFile, "damaged"),
        ("a.docx", b"\xff\xd8\xff\xe0" + PNG, errors.DamagedFile, "cannot be decoded as a picture"),
        ("a.doc", OLE, errors.DamagedFile, "old Office file"),
        ("a.xml", b"<?xml version='1.0'?><a/>", errors.UnsupportedFormat, "holds data but no sentences"),
        ("a.rtf", rb"{\rtf1", errors.EmptyFile, "no text"),
        ("a.bin", bytes(range(256)), errors.UnsupportedFormat, "not a format that is known"),
        ("a.docx", b"PK\x03\x04 broken", errors.DamagedFile, "table of contents"),
    ],
)  # fmt: skip
def test_what_is_refused_says_what_it_is(keep, name, data, error, message) -> None:
    with pytest.raises(error, match=message) as caught:
        Reading(keep(name, data))
    assert str(caught.value).startswith(name)


def test_content_decides_and_not_the_name(keep) -> None:
    assert media.sniff(keep("report.txt", make_pdf(text_sheet("x")))) == PDF
    assert media.sniff(keep("junk.bin", b"junk before\n" + make_pdf(text_sheet("x")))) == PDF
    assert media.sniff(keep("page.pdf", b"  <!-- c --><!DOCTYPE html><p>x")) == HTML
    assert media.sniff(keep("notes.md", b"MZ is how this plain text starts")) == MARKDOWN
    assert media.sniff(keep("noname", b"BMI is plain text too")) == TEXT
    assert media.sniff(keep("noname", b"<!DOCTYPE article><article/>")) == XML
    assert media.sniff(keep("label.txt", b"<?xml version='1.0'?><document/>")) == XML


def test_recognising_html_is_quick_on_any_bytes(keep) -> None:
    path = keep("slow.txt", b"<!---->" * 1200 + b" plain")
    assert media.sniff(path) == TEXT
