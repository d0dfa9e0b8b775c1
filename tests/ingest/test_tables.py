"""Rows of tables: whichever reference a value ends up in says which column it belongs to."""

import random

import docx
import pytest
from docx.oxml import OxmlElement
from hypothesis import given
from hypothesis import strategies as st

from ingest.chunk import chunk
from ingest.document import Page
from ingest.readers.sheets import column_name
from ingest.readers.tables import Cell, Rows, cells, is_header, table
from tests.ingest.conftest import Reading, character_tokens
from tests.ingest.make_office import excel, odf, slides, word


def written(rows, heads=None) -> list[str]:
    return [block.text for block in table(rows, heads)]


def grid(*rows: str) -> list[list[Cell]]:
    return [cells(row.split("|")) for row in rows]


def test_a_declared_header_labels_every_row() -> None:
    rows = grid("Drug|Dose|Route", "Humira|40 mg|", "||", "Lipitor||oral")
    assert written(rows, 1) == [
        "Drug | Dose | Route",
        "Drug: Humira; Dose: 40 mg",
        "Drug: Lipitor; Route: oral",
    ]


def test_headers_of_two_rows_and_cells_over_several_columns() -> None:
    rows = [
        [Cell(""), Cell("Fees", 2)],
        cells(["Year", "Legal", "Other"]),
        cells(["2025", "5", "6"]),
        [Cell("2026"), Cell("none", 2)],
        [Cell("Later years", 3)],
    ]
    assert written(rows, 2) == [
        "Fees",
        "Year | Legal | Other",
        "Year: 2025; Fees Legal: 5; Fees Other: 6",
        "Year: 2026; Fees Legal, Fees Other: none",
        "Later years",
    ]


def test_cells_over_several_rows_are_said_in_each() -> None:
    rows = Rows()
    rows.add("A", down=2)
    rows.add("x")
    rows.end_row()
    rows.add("y")
    rows.end_row()
    rows.add("B")
    rows.add("z")
    rows.end_row()
    assert [[cell.text for cell in row] for row in rows.rows] == [["A", "x"], ["A", "y"], ["B", "z"]]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (("Due|Amount", "May|€ 5", "June|€ 6"), True),
        (("|2024|2025", "Fees|5|6", "Costs|7|8"), True),
        (("|Tenant|Owner", "Rent|pays|gets", "Roof|uses|mends"), True),
        (("Term|Duty|Note", f"a|{'long text ' * 9}|b", f"c|{'long text ' * 9}|d"), True),
        (("Scoliosis|Otorrhea|Astigmatism", "Bone cyst|Rash|Pain", "Fever|Gout|Mumps"), False),  # a list
        (("Name|Ann", "Town|Ghent", "Role|Tenant"), False),  # names and values
        (("Due|Amount", "May|€ 5"), False),  # one row may as well be a second value
        (("Fees|5|6", "Costs|7|8", "Rest|9|1"), False),
        (("By:|By:|Date", "Ann|Bob|May", "x|y|z"), False),
        (("It is agreed.|So be it|And so on", "a|b|c", "d|e|f"), False),
    ],
)
def test_only_what_looks_like_a_header_is_one(rows, expected: bool) -> None:
    assert is_header(grid(*rows)) is expected


LABELS = ["Drug", "Adverse reactions", "Dose", "Since"]


@given(st.lists(st.lists(st.text("ab .9", max_size=400), min_size=4, max_size=4), min_size=1, max_size=5))
def test_no_row_loses_words_and_every_line_is_labelled(rows: list[list[str]]) -> None:
    rows = [[" ".join(text.split()) for text in row] for row in rows]
    lines = written([cells(LABELS), *map(cells, rows)], 1)[1:]
    for line in lines:
        assert line.split(": ")[0] in LABELS
    wanted = [word for row in rows for text in row for word in text.split()]
    found = " ".join(lines).replace(";", "")
    assert all(found.count(word) >= wanted.count(word) for word in set(wanted))


def test_every_reference_of_a_long_table_names_its_columns(keep) -> None:
    random.seed(7)
    words = ["pain", "fever", "rash", "nausea", "headache", "cough", "fatigue", "dizziness"]
    body = [
        [
            f"Drug {i}",
            ". ".join(" ".join(random.choices(words, k=8)) for _ in range(6)) + ".",
            f"{i} mg",
            "2020",
        ]
        for i in range(30)
    ]
    reading = Reading(keep("long.xlsx", excel({"Labels": [LABELS, *body]})))
    references = 0
    for page in reading.pages:
        for reference in chunk([page], character_tokens, "Labels", limit=128):
            text = page.text[reference.start : reference.end]
            body_lines = [line for line in text.split("\n\n") if line != "Labels" and "Drug | " not in line]
            assert body_lines
            assert all(line.split(": ")[0] in LABELS for line in body_lines)
            references += 1
    assert references > len(body)


def test_all_formats_write_tables_the_same_way(keep) -> None:
    def build(document: docx.document.Document) -> None:
        made = document.add_table(rows=3, cols=2)
        for at, text in enumerate(("Arm", "Patients", "A", "12", "B", "14")):
            made.cell(at // 2, at % 2).text = text
        made.rows[0]._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))

    rows = (("Arm", "Patients"), ("A", "12"), ("B", "14"))
    html = "<html><table>{}</table></html>".format(
        "".join(
            "<tr>" + "".join(f"<{t}>{x}</{t}>" for x in row) + "</tr>"
            for row, t in zip(rows, ("th", "td", "td"), strict=True)
        )
    )
    markdown = "| Arm | Patients |\n|---|---|\n| A | 12 |\n| B | 14 |\n"
    open_document = "<table:table>{}</table:table>".format(
        "".join(
            "<table:table-row>"
            + "".join(f"<table:table-cell><text:p>{x}</text:p></table:table-cell>" for x in row)
            + "</table:table-row>"
            for row in rows
        )
    )
    expected = "Arm | Patients\n\nArm: A; Patients: 12\n\nArm: B; Patients: 14"
    for name, data in (
        ("a.docx", word(build)),
        ("a.html", f"<html><table>{html}</table></html>"),
        ("a.md", markdown),
        ("a.odt", odf("text", open_document)),
        ("a.csv", "Arm,Patients\nA,12\nB,14\n"),
    ):
        assert Reading(keep(name, data)).text == expected, name
    for name, data in (("a.xlsx", excel({"S": [list(row) for row in rows]})), ("a.pptx", slides())):
        assert expected in Reading(keep(name, data)).text, name


def test_docx_merged_cells_stay_in_their_columns(keep) -> None:
    def build(document: docx.document.Document) -> None:
        made = document.add_table(rows=4, cols=3)
        for at, text in enumerate(
            ["Group", "Arm", "Patients", "One", "A", "12", "-", "B", "14", "All", "26", "-"]
        ):
            made.cell(at // 3, at % 3).text = text.strip("-")
        made.cell(1, 0).merge(made.cell(2, 0))
        made.cell(3, 1).merge(made.cell(3, 2))

    assert Reading(keep("m.docx", word(build))).text.split("\n\n") == [
        "Group | Arm | Patients",
        "Group: One; Arm: A; Patients: 12",
        "Group: One; Arm: B; Patients: 14",
        "Group: All; Arm, Patients: 26",
    ]


def test_html_tables_that_only_arrange_the_page_are_no_tables(keep) -> None:
    html = (
        "<html><table><tr><td><p>Left</p></td><td><table><tr><th>Arm</th><th>Patients</th></tr>"
        "<tr><td rowspan=2>A</td><td>12</td></tr><tr><td>13</td></tr></table></td></tr></table>after</html>"
    )
    assert Reading(keep("l.html", html)).text == (
        "Left\n\nArm | Patients\n\nArm: A; Patients: 12\n\nArm: A; Patients: 13\n\nafter"
    )


def test_columns_are_called_as_spreadsheets_call_them() -> None:
    assert [column_name(at) for at in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]


def test_a_page_of_rows_is_cut_between_rows() -> None:
    lines = [f"Drug: D{i}; Dose: {i} mg" for i in range(100)]
    page = Page(1, "1", "\n\n".join(lines))
    for reference in chunk([page], character_tokens, "T", limit=128):
        assert page.text[reference.start : reference.end].split("\n\n")[-1] in lines
