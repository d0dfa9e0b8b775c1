"""Office, mail and data files as text, headings and sections, through the reading process."""

import zipfile
from email.message import EmailMessage
from io import BytesIO

import pytest

from ingest import errors, media
from ingest.document import CSV, DOC, EML, EPUB, ODP, ODS, ODT, PPTX, RTF, TSV, XLSX
from ingest.readers import eml
from ingest.readers.flow import SECTION_CHARACTERS
from tests.ingest import make_office as make
from tests.ingest.conftest import Reading
from tests.ingest.make_pdf import make_pdf, text_sheet

IN_TABLE = b"\x16\x24\x01"
ENDS_ROW = IN_TABLE + b"\x17\x24\x01"
ENDS_HEADER = ENDS_ROW + b"\x04\x34\x01"


def test_rtf(keep) -> None:
    reading = Reading(keep("a.rtf", make.RTF))
    assert (reading.info.media_type, reading.info.title) == (RTF, "The Lease")
    assert reading.info.metadata["author"] == "A. Clerk"
    assert reading.text == (
        "Terms\n\nThe rent is € 5; ≥10 да ≥.\n\nA link and a note[1].\n\nDue | Amount\n\n"
        "Due: May; Amount: 5 six\n\nSigned.\n[1] Due monthly."
    )
    assert reading.headings == [(1, "Terms")]


def test_rtf_lists_and_characters_beyond_sixteen_bits(keep) -> None:
    body = rb"{\rtf1{\pntext 1.\tab}First\par{\listtext (a)\tab}Second\par\u-10179?\u-8704?\par}"
    reading = Reading(keep("l.rtf", body))
    assert (reading.text, reading.warnings) == ("1. First\n(a) Second\n\n😀", [])
    (warning,) = Reading(keep("cut.rtf", body[:-10])).warnings
    assert (warning.page, warning.message[:19]) == (1, "the file ends early")


def test_odt(keep) -> None:
    body = (
        '<text:h text:outline-level="1">Lease</text:h><text:tracked-changes><text:p>gone</text:p>'
        "</text:tracked-changes><text:p>The  tenant<text:tab/>pays <text:span>monthly</text:span>."
        '<text:note text:note-class="footnote"><text:note-citation>1</text:note-citation><text:note-body>'
        "<text:p>On the first.</text:p></text:note-body></text:note></text:p>"
        "<text:list><text:list-item><text:p>cash</text:p></text:list-item></text:list>"
        "<table:table><table:table-header-rows><table:table-row><table:table-cell><text:p>Due</text:p>"
        "</table:table-cell><table:table-cell><text:p>Amount</text:p></table:table-cell></table:table-row>"
        "</table:table-header-rows><table:table-row><table:table-cell><text:p>May</text:p></table:table-cell>"
        "<table:table-cell><text:p>5</text:p></table:table-cell></table:table-row></table:table>"
    )
    meta = (
        f'<office:document-meta {make.ODF_SPACES} xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<office:meta><dc:title>A Lease</dc:title></office:meta></office:document-meta>"
    )
    reading = Reading(keep("a.odt", make.odf("text", body, meta)))
    assert (reading.info.media_type, reading.info.title) == (ODT, "A Lease")
    assert reading.text == (
        "Lease\n\nThe tenant\tpays monthly.[1]\n• cash\n\nDue | Amount\n\nDue: May; Amount: 5\n"
        "[1] On the first."
    )


def test_ods_and_odp(keep) -> None:
    cell = "<table:table-cell{}><text:p>{}</text:p></table:table-cell>"
    rows = "".join(
        f"<table:table-row>{''.join(cell.format('', text) for text in row)}"
        '<table:table-cell table:number-columns-repeated="16000"/></table:table-row>'
        for row in (("Drug", "Dose"), ("Humira", "40"))
    )
    empty = '<table:table-row table:number-rows-repeated="1048000"><table:table-cell/></table:table-row>'
    sheet = f'<table:table table:name="Doses">{rows}{empty}</table:table>'
    reading = Reading(keep("a.ods", make.odf("spreadsheet", sheet)))
    assert reading.info.media_type == ODS
    assert reading.text == "Doses\n\nDrug | Dose\n\nDrug: Humira; Dose: 40"
    page = (
        '<draw:page><draw:frame presentation:class="title"><draw:text-box><text:p>Results</text:p>'
        "</draw:text-box></draw:frame><draw:frame><draw:text-box><text:p>All well.</text:p></draw:text-box>"
        "</draw:frame><presentation:notes><draw:frame><draw:text-box><text:p>Smile.</text:p></draw:text-box>"
        "</draw:frame></presentation:notes></draw:page>"
    )
    reading = Reading(keep("a.odp", make.odf("presentation", page)))
    assert reading.info.media_type == ODP
    assert reading.text == "Slide 1: Results\n\nAll well.\n\nNotes\n\nSmile."


def test_a_locked_opendocument_file_says_so(keep) -> None:
    manifest = (
        '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        "<manifest:file-entry><manifest:encryption-data/></manifest:file-entry></manifest:manifest>"
    )
    data = make.packed({"mimetype": ODT, "META-INF/manifest.xml": manifest, "content.xml": b"\x01\x02"})
    with pytest.raises(errors.PasswordRequired, match="locked with a password"):
        Reading(keep("a.odt", data))


def test_doc_text_headings_tables_fields_and_notes(keep) -> None:
    data = make.doc(
        [
            ("Terms\r", 1, b""),
            ("See \x13 HYPERLINK \x13 PAGE \x14 9 \x15 y \x14the annex\x15\x1e😀.\x02\r", 0, b""),
            ("Due\x07", 0, IN_TABLE),
            ("Amount\x07", 0, IN_TABLE),
            ("Paid\x07", 0, IN_TABLE),
            ("\x07", 0, ENDS_HEADER),
            ("May\r", 0, IN_TABLE),
            ("June\x07", 0, IN_TABLE),
            ("\x07", 0, IN_TABLE),
            ("no\x07", 0, IN_TABLE),
            ("\x07", 0, ENDS_ROW),
            ("By style\r", 0, b"\x40\x26\x01"),
            ("Signed.\r", 0, b""),
        ],
        notes="\x02 Of 2003.\r",
    )
    reading = Reading(keep("a.doc", data))
    assert reading.info.media_type == DOC
    assert reading.text == (
        "Terms\n\nSee the annex-😀.[1]\n\nDue | Amount | Paid\n\nDue: May June; Paid: no\n\nBy style"
        "\n\nSigned.\n\n[1] Of 2003."
    )
    assert reading.headings == [(1, "Terms"), (2, "By style")]


@pytest.mark.parametrize(
    ("offset", "value", "error"),
    [
        (11, 0x03, errors.PasswordRequired),  # encrypted
        (2, 0x65, errors.UnsupportedFormat),  # Word 95
        (0, 0x00, errors.DamagedFile),
    ],
)
def test_docs_that_cannot_be_read_say_why(keep, offset: int, value: int, error: type) -> None:
    data = bytearray(make.doc([("Terms\r", 1, b"")]))
    data[data.index(b"\xec\xa5\xc1\x00") + offset] = value
    with pytest.raises(error, match=r"^a\.doc: "):
        Reading(keep("a.doc", bytes(data)))


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        ("EncryptedPackage", "locked with a password"),
        ("Workbook", r"old Excel workbook \(\.xls\); save it as \.xlsx"),
        ("PowerPoint Document", "old PowerPoint"),
        ("__properties_version1.0", "Outlook message"),
        ("Contents", "not read"),
    ],
)
def test_other_compound_files_are_named(keep, stream: str, reason: str) -> None:
    with pytest.raises(errors.UnsupportedFormat, match=reason):
        Reading(keep("a.docx", make.compound({stream: b"x"})))


def test_xlsx_sheets_rows_and_values(keep) -> None:
    data = make.excel(
        {
            "Rates": [
                ["Fees of 2026"],
                [],
                ["Service", "Fee", "Since"],
                ["Advice", 12.5, None],
                ["Post", 3, True],
            ],
            "Plain": [[1, 2.0], [3, None]],
            "Empty": [],
        }
    )
    reading = Reading(keep("a.xlsx", data))
    assert reading.info.media_type == XLSX
    assert [page.text for page in reading.pages] == [
        "Rates\n\nFees of 2026\n\nService | Fee | Since\n\nService: Advice; Fee: 12.5\n\n"
        "Service: Post; Fee: 3; Since: TRUE",
        "Plain\n\nA: 1; B: 2\n\nA: 3",
    ]


def test_csv_separator_and_encoding(keep) -> None:
    data = 'Name;Ort;Satz\n"Müller; Sohn";Köln;1,5\nWeiß;;2\n'.encode("cp1252")
    reading = Reading(keep("a.csv", data))
    assert reading.info.media_type == CSV
    assert reading.text == (
        "Name | Ort | Satz\n\nName: Müller; Sohn; Ort: Köln; Satz: 1,5\n\nName: Weiß; Satz: 2"
    )
    reading = Reading(keep("a.tsv", "1\t2\n3\t4\n".encode("utf-16")))
    assert (reading.info.media_type, reading.text) == (TSV, "A: 1; B: 2\n\nA: 3; B: 4")


def test_pptx(keep) -> None:
    reading = Reading(keep("a.pptx", make.slides()))
    assert reading.info.media_type == PPTX
    assert reading.text == (
        "Slide 1: Trial results\n\nBoth arms were well.\n\nArm | Patients\n\nArm: A; Patients: 12\n\n"
        "Arm: B; Patients: 14\n\nNotes\n\nSay who paid."
    )
    assert reading.headings == [(1, "Slide 1: Trial results"), (2, "Notes")]


def test_epub_follows_its_spine_and_names_what_is_missing(keep) -> None:
    reading = Reading(keep("a.epub", make.epub()))
    assert (reading.info.media_type, reading.info.title) == (EPUB, "On Leases")
    assert [page.text for page in reading.pages] == ["First\n\nIt begins.", "Second\n\nIt ends."]
    assert [warning.message for warning in reading.warnings] == [
        "chapter OPS/gone.xhtml is missing or damaged and was left out"
    ]


def test_a_protected_book_says_so(keep) -> None:
    listed = (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" '
        'xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:CipherReference URI="{}"/></encryption>'
    )
    for entry, is_protected in (("OPS/one.xhtml", True), ("OPS/font.otf", False)):
        with zipfile.ZipFile(BytesIO(make.epub())) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        path = keep(
            "a.epub", make.packed({**entries, "META-INF/encryption.xml": listed.format(entry).encode()})
        )
        if is_protected:
            with pytest.raises(errors.UnsupportedFormat, match="copy-protected"):
                Reading(path)
        else:
            assert "It begins." in Reading(path).text


def test_mail_headers_text_and_attachments(keep) -> None:
    pdf = make_pdf(text_sheet("Ninety days are required."), text_sheet("Second page."))
    message = make.mail(
        ("notice.pdf", "application/pdf", pdf),
        ("lease.docx", "application/octet-stream", make.word(lambda d: d.add_heading("Terms", 1))),
        ("sign.bin", "application/octet-stream", bytes(range(256))),
        ("broken.docx", "application/octet-stream", make.word()[:-300]),
        html="<p>Dear Bob</p>",
    )
    reading = Reading(keep("a.eml", bytes(message)))
    assert (reading.info.media_type, reading.info.title) == (EML, "Notice of the lease, café")
    assert [page.text for page in reading.pages] == [
        "From: Ann Clerk <ann@example.org>\nTo: Bob <bob@example.org>\n"
        "Date: Mon, 02 Nov 2026 10:00:00 +0000\nSubject: Notice of the lease, café\n\n"
        "Dear Bob,\n\nthe notice is attached.",
        "notice.pdf\n\nNinety days are required.",
        "Second page.",
        "lease.docx\n\nTerms",
    ]
    assert reading.headings == [(1, "notice.pdf"), (1, "lease.docx"), (2, "Terms")]
    assert all(page.boxes is None for page in reading.pages)
    (unknown, damaged) = reading.warnings
    assert unknown.page is None
    assert "attachment not read: sign.bin: its content is not a format" in unknown.message
    assert damaged.page == 4
    assert "attachment not read: broken.docx" in damaged.message


def test_mail_of_html_alone_and_without_text(keep) -> None:
    message = EmailMessage()
    message["From"], message["Message-ID"] = "a@example.org", "<1@x>"
    message.set_content("<table><tr><td><p>One</p></td></tr><tr><td>Two</td></tr></table>", subtype="html")
    assert Reading(keep("h.eml", bytes(message))).text == "From: a@example.org\n\nOne\nTwo"
    message = make.mail(html="<p>Only here</p>")
    message.get_payload()[0].set_payload("\n")
    assert Reading(keep("e.eml", bytes(message))).text.endswith("Only here")


def test_mails_inside_mails_end_somewhere(keep) -> None:
    message = make.mail()
    for _ in range(eml._DEEPEST + 2):
        outer = make.mail()
        outer.add_attachment(message)
        message = outer
    reading = Reading(keep("deep.eml", bytes(message)))
    assert len(reading.pages) == eml._DEEPEST
    assert reading.headings[0] == (1, "Notice of the lease, café.eml")
    (warning,) = reading.warnings
    assert "nested more than 5 deep" in warning.message


def test_attachments_are_counted(keep) -> None:
    message = make.mail(*((f"{i}.md", "application/octet-stream", b"word") for i in range(103)))
    reading = Reading(keep("many.eml", bytes(message)))
    assert len(reading.pages) == 1 + eml._MOST_ATTACHMENTS
    assert [w.message for w in reading.warnings] == ["only the first 100 attachments were read"]


def test_what_each_file_is_by_its_content(keep) -> None:
    for data, expected in (
        (make.eml(), EML),
        (make.RTF, RTF),
        (make.odt(), ODT),
        (make.epub(), EPUB),
        (make.slides(), PPTX),
        (make.excel({"A": [[1]]}), XLSX),
        (make.doc([("x\r", 0, b"")]), DOC),
    ):
        assert media.sniff(keep("unnamed", data)) == expected


def test_a_plain_memorandum_is_no_mail(keep) -> None:
    assert media.sniff(keep("memo.txt", b"From: Ann\nTo: Bob\nSubject: Rent\n\nIt is due.")) == "text/plain"


def test_a_long_sheet_becomes_sections(keep) -> None:
    rows = [["Service", "Fee"], *([f"Service {i}", i] for i in range(1000))]
    reading = Reading(keep("long.xlsx", make.excel({"Fees": rows})))
    assert all(len(page.text) <= SECTION_CHARACTERS for page in reading.pages)
    assert all(f"Service: Service {i}; Fee: {i}" in reading.text for i in range(1000))
