"""Small, good files of each office, mail and data format: by the libraries themselves, or by hand."""

import io
import struct
import zipfile
from email.message import EmailMessage
from typing import Any

import docx
import openpyxl
import pptx

from tests.ingest.make_pdf import make_pdf, text_sheet

ODF_SPACES = " ".join(
    f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{long}:1.0"'
    for short, long in (
        ("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"),
        ("presentation", "presentation"), ("meta", "meta"),
    )
)  # fmt: skip
ODF = "application/vnd.oasis.opendocument."


def packed(entries: dict[str, str | bytes]) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return output.getvalue()


def word(build: Any = lambda document: document.add_paragraph("The tenant pays each month.")) -> bytes:
    document = docx.Document()
    build(document)
    output = io.BytesIO()
    document.save(output)
    return output.getvalue()


def excel(sheets: dict[str, list[list[Any]]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    output = io.BytesIO()
    book.save(output)
    return output.getvalue()


def slides() -> bytes:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Trial results"
    box = slide.shapes.add_textbox(0, 2_000_000, 3_000_000, 500_000)
    box.text_frame.text = "Both arms were well."
    table = slide.shapes.add_table(3, 2, 0, 3_000_000, 3_000_000, 500_000).table
    for at, text in enumerate(("Arm", "Patients", "A", "12", "B", "14")):
        table.cell(at // 2, at % 2).text = text
    slide.notes_slide.notes_text_frame.text = "Say who paid."
    output = io.BytesIO()
    deck.save(output)
    return output.getvalue()


def odf(kind: str, body: str, meta: str = "") -> bytes:
    content = (
        f'<?xml version="1.0"?><office:document-content {ODF_SPACES}><office:body>'
        f"<office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    )
    return packed({"mimetype": ODF + kind, "content.xml": content} | ({"meta.xml": meta} if meta else {}))


def odt() -> bytes:
    return odf(
        "text",
        '<text:h text:outline-level="1">Lease</text:h><text:p>The tenant<text:s text:c="2"/>pays.'
        '<text:note text:note-class="footnote"><text:note-citation>1</text:note-citation><text:note-body>'
        "<text:p>Monthly.</text:p></text:note-body></text:note></text:p>",
    )


def epub() -> bytes:
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OPS/book.opf"/></rootfiles></container>'
    )
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<metadata><dc:title>On Leases</dc:title><dc:creator>A. Clerk</dc:creator></metadata><manifest>"
        '<item id="b" href="two%20b.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="a" href="one.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="c" href="gone.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="a"/><itemref idref="b"/><itemref idref="c"/></spine></package>'
    )
    page = '<?xml version="1.0"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><body>{}</body></html>'
    return packed(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OPS/book.opf": package,
            "OPS/two b.xhtml": page.format("<h1>Second</h1><p>It ends.</p>"),
            "OPS/one.xhtml": page.format("<h1>First</h1><p>It begins.</p>"),
        }
    )


def mail(*attachments: tuple[str, str, bytes], html: str = "") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ann Clerk <ann@example.org>"
    message["To"] = "Bob <bob@example.org>"
    message["Date"] = "Mon, 02 Nov 2026 10:00:00 +0000"
    message["Subject"] = "Notice of the lease, café"
    message["Message-ID"] = "<1@example.org>"
    message.set_content("Dear Bob,\n\nthe notice is attached.\n")
    if html:
        message.add_alternative(html, subtype="html")
    for name, kind, data in attachments:
        maintype, subtype = kind.split("/")
        message.add_attachment(data, maintype=maintype, subtype=subtype, filename=name)
    return message


def eml() -> bytes:
    pdf = make_pdf(text_sheet("Ninety days are required."))
    return bytes(mail(("notice.pdf", "application/pdf", pdf), ("lease.docx", "application/msword", word())))


RTF = (
    rb"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fswiss Arial;}{\f1\fcharset204 Times;}"
    rb"{\f2\fcharset2 Symbol;}}"
    rb"{\stylesheet{\s0 Normal;}{\s1 heading 1;}}{\info{\title The Lease}{\author A. Clerk}}"
    rb"{\header never shown\par}"
    rb"\pard\s1 Terms\par\pard The rent is \'80 5{\deleted  and six}; \u8805?10{\f1  \'e4\'e0} {\f2\'b3}.\par"
    rb"{\field{\*\fldinst HYPERLINK x}{\fldrslt A link}} and a note{\footnote{\chftn} Due monthly.}.\par"
    rb"\trowd\trhdr\cellx1\cellx2\pard\intbl Due\cell Amount\cell\row"
    rb"\trowd\cellx1\cellx2\pard\intbl May\cell 5\par six\cell\row\pard"
    rb"{\pict\bin4 }}{\ } Signed.\par}"
)


def doc(paragraphs: list[tuple[str, int, bytes]], notes: str = "") -> bytes:
    """An old Word document. paragraphs: text with its mark, style, and property changes ([MS-DOC])."""
    text = "".join(one for one, _, _ in paragraphs)
    start = 1024
    encoded = (text + notes).encode("utf-16-le")
    pages_at = -(-(start + len(encoded)) // 512)
    fkp = bytearray(512)
    fkp[511] = len(paragraphs)
    offset, place = start, 510
    for at, (one, style, changes) in enumerate(paragraphs):
        properties = struct.pack("<H", style) + changes
        properties += bytes(len(properties) % 2 == 0)
        place -= 1 + len(properties) + (1 + len(properties)) % 2
        fkp[place : place + 1 + len(properties)] = bytes([(len(properties) + 1) // 2]) + properties
        struct.pack_into("<I", fkp, 4 * at, offset)
        fkp[4 * (len(paragraphs) + 1) + 13 * at] = place // 2
        offset += len(one.encode("utf-16-le"))
    struct.pack_into("<I", fkp, 4 * len(paragraphs), offset)
    body, feet = (len(part.encode("utf-16-le")) // 2 for part in (text, notes))
    pieces = struct.pack("<II", 0, body + feet) + struct.pack("<HIH", 0, start, 0)
    clx = b"\x02" + struct.pack("<I", len(pieces)) + pieces
    papx = struct.pack("<III", start, offset, pages_at)
    main = bytearray(512 * (pages_at + 1))
    struct.pack_into("<HH", main, 0, 0xA5EC, 0xC1)
    struct.pack_into("<H", main, 10, 0x0200)
    struct.pack_into("<H", main, 32, 14)
    struct.pack_into("<H", main, 62, 22)
    struct.pack_into("<6i", main, 64 + 12, body, feet, 0, 0, 0, 0)
    struct.pack_into("<H", main, 152, 93)
    struct.pack_into("<II", main, 154 + 8 * 13, 0, len(papx))
    struct.pack_into("<II", main, 154 + 8 * 33, len(papx), len(clx))
    main[start : start + len(encoded)] = encoded
    main[512 * pages_at :] = fkp
    return compound({"WordDocument": bytes(main), "1Table": papx + clx})


def compound(streams: dict[str, bytes]) -> bytes:
    """A compound file ([MS-CFB]) of streams of at least 4096 bytes each (padded), in one FAT sector."""
    free, end, fat_sector = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
    fat = [fat_sector, end]
    body = b""
    entries = [_entry("Root Entry", 5, end, 0, child=1)]
    for at, (name, data) in enumerate(streams.items(), 1):
        data = data.ljust(4096, b"\0")
        data += bytes(-len(data) % 512)
        first, count = len(fat), len(data) // 512
        fat += [*range(first + 1, first + count), end]
        body += data
        entries.append(_entry(name, 2, first, len(data), right=at + 1 if at < len(streams) else free))
    directory = b"".join(entries).ljust(512, b"\0")
    assert len(fat) <= 128
    assert len(directory) == 512
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack("<HHHHH6xIIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, end, 0, end, 0, 0)
    header += struct.pack("<108I", *([free] * 108))
    table = struct.pack("<128I", *fat, *([free] * (128 - len(fat))))
    return header + table + directory + body


def _entry(
    name: str, kind: int, start: int, size: int, right: int = 0xFFFFFFFF, child: int = 0xFFFFFFFF
) -> bytes:
    encoded = name.encode("utf-16-le") + b"\0\0"
    return (
        encoded.ljust(64, b"\0")
        + struct.pack("<HBBIII", len(encoded), kind, 1, 0xFFFFFFFF, right, child)
        + bytes(36)
        + struct.pack("<IQ", start, size)
    )
