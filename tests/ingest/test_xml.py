# ruff: noqa: E501 - the documents are easier to read with an element a line
"""XML: labels, articles, regulations and unknown kinds as text and headings; hostile files refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from ingest import errors
from ingest.document import XML
from ingest.headings import HeadingPath
from ingest.readers import xml_tree
from ingest.readers.xml_document import read_xml
from tests.ingest.conftest import Reading

LABEL = """<?xml version="1.0"?><document xmlns="urn:hl7-org:v3">
<code code="34391-3" displayName="HUMAN PRESCRIPTION DRUG LABEL"/>
<title>These highlights do not include all the information needed. See full prescribing information for NOVAX.
<br/>NOVAX (novastatin) tablets</title><effectiveTime value="20240131"/>
<author><assignedEntity><representedOrganization><name>Nova</name></representedOrganization></assignedEntity></author>
<component><structuredBody>
<component><section><code code="48780-1"/><subject><manufacturedProduct><manufacturedProduct>
 <name>Novax</name><formCode displayName="TABLET"/>
 <asEntityWithGeneric><genericMedicine><name>novastatin</name></genericMedicine></asEntityWithGeneric>
 <ingredient classCode="ACTIB"><quantity><numerator value="5" unit="mg"/><denominator value="1" unit="1"/></quantity>
  <ingredientSubstance><name>NOVASTATIN</name></ingredientSubstance></ingredient>
 <ingredient classCode="IACT"><ingredientSubstance><name>TALC</name></ingredientSubstance></ingredient>
 </manufacturedProduct></manufacturedProduct></subject></section></component>
<component><section><code code="34067-9" displayName="INDICATIONS &amp; USAGE SECTION"/><title>Uses</title>
 <text><paragraph>Lowers cholesterol:</paragraph><list><item>in adults</item><item>in children</item></list></text>
 <excerpt><highlight><text><paragraph>A statin (1).</paragraph></text></highlight></excerpt></section></component>
<component><section><code code="34068-7" displayName="DOSAGE &amp; ADMINISTRATION SECTION"/>
 <title>2 DOSAGE AND ADMINISTRATION</title>
 <component><section><title>2.1 Adults</title><text><paragraph>10<sup>-3</sup> g/m<sup>2</sup> daily.</paragraph>
 <table><caption>Table 1. Doses</caption><thead><tr><th>Age</th><th>Dose<footnote>By mouth</footnote></th></tr></thead>
 <tbody><tr><td>&lt; 10</td><td>5 mg</td></tr></tbody></table></text></section></component>
 <component><section><code code="42229-5" displayName="SPL UNCLASSIFIED SECTION"/>
 <text><paragraph><content styleCode="italics">Absorption:</content> Rapid.</paragraph></text></section></component>
 </section></component>
<component><section><code code="34066-1" displayName="BOXED WARNING SECTION"/>
 <text><paragraph>May harm.</paragraph></text></section></component>
</structuredBody></component></document>"""

ARTICLE = """<!DOCTYPE article PUBLIC "-//NLM//DTD JATS//EN" "http://example.org/jats.dtd">
<article article-type="research-article"><front><journal-meta><journal-title>J Med</journal-title></journal-meta>
<article-meta><article-id pub-id-type="doi">10.1/x</article-id>
<title-group><article-title>Statins in <italic>elderly</italic> patients</article-title></title-group>
<contrib-group><contrib contrib-type="author"><name><surname>Doe</surname><given-names>Ann</given-names></name></contrib>
</contrib-group><pub-date><day>3</day><month>4</month><year>2020</year></pub-date>
<abstract><sec><title>Background</title><p>Why &ndash; because.</p></sec><sec><title>Results</title><p>So.</p></sec></abstract>
<funding-group><funding-statement>Paid by nobody.</funding-statement></funding-group></article-meta></front>
<body><sec><label>1</label><title>Methods</title><p>We asked [<xref>1</xref>].</p><sec><title>Patients</title>
<p>Eighty. <list list-type="order"><list-item><p>old</p></list-item><list-item><p>frail</p></list-item></list></p>
<fig><label>Figure 1</label><caption><title>Flow</title><p>Of patients.</p></caption><graphic/></fig>
<table-wrap><label>Table 1</label><caption><p>Ages</p></caption><table><thead><tr><th>Age</th><th>n</th></tr></thead>
<tbody><tr><td>80+</td><td>7</td></tr></tbody></table><table-wrap-foot><fn><p>n, number</p></fn></table-wrap-foot>
</table-wrap></sec></sec></body>
<back><ack><p>Thanks.</p></ack><ref-list><title>References</title><ref><label>1</label><element-citation>
<person-group><name><surname>Roe</surname><given-names>B</given-names></name><etal/></person-group><year>1999</year>
<article-title>Old work</article-title><source>Lancet</source><volume>1</volume><fpage>2</fpage><lpage>3</lpage>
</element-citation></ref></ref-list></back></article>"""

REGULATION = """<?xml version='1.0'?><regulation xmlns="eregs"><fdsys><title>FAIR DEBT COLLECTION</title></fdsys>
<preamble><agency>Bureau</agency><regLetter>F</regLetter><cfr><title>12</title><section>1006</section></cfr>
<effectiveDate>2011-12-30</effectiveDate></preamble>
<part label="1006"><tableOfContents><tocSecEntry><sectionSubject>§ 1006.1 Purpose.</sectionSubject></tocSecEntry>
</tableOfContents><content><subpart subpartLetter="A" label="1006-Subpart-A"><title>General</title><content>
<section label="1006-1" sectionNum="1"><subject>§ 1006.1 Purpose.</subject>
<paragraph label="1006-1-a" marker="(a)"><title type="keyterm">Authority.</title><content>By the <ref>Act</ref>.</content>
<paragraph label="1006-1-a-1" marker="(1)"><content>States:</content>
<paragraph label="1006-1-a-1-i" marker="(i)"><content>may apply</content></paragraph></paragraph></paragraph>
<paragraph label="1006-1-b" marker="(b)"><content>Fees.<table><header><columnHeaderRow><column>Lots</column>
<column>Fee</column></columnHeaderRow></header><row><cell>200</cell><cell>$800</cell></row></table></content></paragraph>
</section><section><subject>§ 1006.2 [Reserved]</subject><reserved/></section></content></subpart>
<appendix><appendixTitle>Appendix A to Part 1006—Forms</appendixTitle><appendixSection><subject>I. Form</subject>
<paragraph marker=""><content>Sign here.</content></paragraph></appendixSection></appendix></content></part></regulation>"""

ECFR = """<?xml version="1.0"?><DIV5 N="1006" NODE="12:8.0.2.14.3" TYPE="PART">
<HEAD>PART 1006—DEBT COLLECTION (REGULATION F)</HEAD>
<AUTH><HED>Authority:</HED><PSPACE>12 U.S.C. 5512.</PSPACE></AUTH>
<DIV6 N="A" TYPE="SUBPART"><HEAD>Subpart A—General</HEAD>
<DIV8 N="1006.1" TYPE="SECTION"><HEAD>§ 1006.1   Purpose.</HEAD><P>(a) <I>Authority.</I> By the Act.</P>
<P>(1) More.</P><CITA>[85 FR 76887]</CITA></DIV8></DIV6></DIV5>"""

GPO = """<?xml version="1.0"?><CFRDOC><FDSYS><CFRTITLE>12</CFRTITLE><DATE>2012-01-01</DATE></FDSYS><TITLE><CHAPTER><PART>
<EAR>Pt. 1006</EAR><HD SOURCE="HED">PART 1006—DEBT COLLECTION</HD><CONTENTS><SECHD>Sec.</SECHD></CONTENTS>
<SUBPART><HD SOURCE="HED">Subpart A—General</HD><SECTION><SECTNO>§ 1006.1</SECTNO><SUBJECT>Purpose.</SUBJECT>
<P>(a) <E T="03">Authority.</E> By the Act.<PRTPAGE P="2"/> Yes.</P><GPOTABLE><TTITLE>Fees</TTITLE><BOXHD><CHED>Lots</CHED>
<CHED>Fee</CHED></BOXHD><ROW><ENT>200</ENT><ENT>$800</ENT></ROW></GPOTABLE></SECTION></SUBPART></PART></CHAPTER></TITLE>
</CFRDOC>"""


def paths(reading: Reading) -> Iterator[tuple[str, ...]]:
    """The path of headings that each heading stands at the end of."""
    path = HeadingPath()
    for page in reading.pages:
        for heading in page.headings:
            path.enter(heading)
            yield path.titles


def test_a_drug_label(keep) -> None:
    reading = Reading(keep("label.xml", LABEL))
    assert (reading.info.media_type, reading.info.title) == (XML, "Novax (novastatin)")
    assert reading.info.metadata["author"] == "Nova"
    assert reading.info.metadata["date"] == "2024-01-31"
    assert list(paths(reading)) == [
        ("Highlights of prescribing information",),
        ("Highlights of prescribing information", "Uses (indications and usage)"),
        ("Uses (indications and usage)",),
        ("2 DOSAGE AND ADMINISTRATION",),
        ("2 DOSAGE AND ADMINISTRATION", "2.1 Adults"),
        ("2 DOSAGE AND ADMINISTRATION", "Absorption"),
        ("Boxed warning",),
        ("Product data",),
    ]
    assert "Lowers cholesterol:\n• in adults\n• in children" in reading.text
    assert (
        "10^-3 g/m2 daily.\n\nTable 1. Doses\n\nAge | Dose [1]\n\nAge: < 10; Dose [1]: 5 mg\n[1] By mouth"
        in reading.text
    )
    assert reading.text.endswith("Active ingredients: NOVASTATIN 5 mg\nInactive ingredients: TALC")
    assert "Absorption: Rapid." in reading.text


def test_an_article(keep) -> None:
    reading = Reading(keep("article.xml", ARTICLE))
    assert reading.info.title == "Statins in elderly patients"
    assert reading.info.metadata == {
        "kind": "journal article (JATS), research article",
        "author": "Ann Doe",
        "journal": "J Med",
        "date": "2020-04-03",
        "doi": "10.1/x",
    }
    assert list(paths(reading)) == [
        ("Abstract",),
        ("Abstract", "Background"),
        ("Abstract", "Results"),
        ("1 Methods",),
        ("1 Methods", "Patients"),
        ("Acknowledgements",),
        ("About the article",),
        ("References",),
    ]
    assert "Why – because." in reading.text
    assert "Eighty.\n1. old\n2. frail" in reading.text
    assert (
        "Figure 1. Flow. Of patients.\n\nTable 1. Ages.\n\nAge | n\n\nAge: 80+; n: 7\nn, number"
        in reading.text
    )
    assert reading.text.endswith("1. Roe B, et al. Old work. Lancet. 1999. 1:2–3.")
    assert not reading.warnings


def test_a_regulation(keep) -> None:
    reading = Reading(keep("regulation.xml", REGULATION))
    assert reading.info.title == "12 CFR Part 1006 (Regulation F), Fair Debt Collection"
    assert list(paths(reading)) == [
        ("Subpart A—General",),
        ("Subpart A—General", "§ 1006.1 Purpose."),
        ("Subpart A—General", "§ 1006.1 Purpose.", "§ 1006.1(a) Authority"),
        ("Subpart A—General", "§ 1006.2 [Reserved]"),
        ("Appendix A to Part 1006—Forms",),
        ("Appendix A to Part 1006—Forms", "I. Form"),
    ]
    assert (
        "(a) Authority. By the Act.\n\n(1) States:\n\n(i) may apply\n\n(b) Fees.\n\nLots | Fee"
        in reading.text
    )
    assert reading.text.count("§ 1006.1 Purpose.") == 1


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (ECFR, "12 CFR PART 1006—DEBT COLLECTION (REGULATION F)"),
        (GPO, "12 CFR PART 1006—DEBT COLLECTION"),
    ],
)
def test_bulk_regulations(keep, text: str, title: str) -> None:
    reading = Reading(keep("bulk.xml", text))
    assert reading.info.title == title
    assert list(paths(reading)) == [
        ("Subpart A—General",),
        ("Subpart A—General", "§ 1006.1 Purpose."),
        ("Subpart A—General", "§ 1006.1 Purpose.", "§ 1006.1(a) Authority"),
    ]
    assert "(a) Authority. By the Act." in reading.text
    found = (
        "Authority: 12 U.S.C. 5512." in reading.text
        or "Fees\n\nLots | Fee\n\nLots: 200; Fee: $800" in reading.text
    )
    assert found
    assert "Sec." not in reading.text


def test_an_unknown_kind_is_read_with_a_warning(keep) -> None:
    text = """<minutes><title>Board meeting</title><item><heading>Budget</heading>
    <p>The board <b>agreed</b> to spend ten thousand euros on a roof.</p></item></minutes>"""
    reading = Reading(keep("minutes.xml", text))
    assert reading.info.title == "Board meeting"
    assert list(paths(reading)) == [("Board meeting",), ("Board meeting", "Budget")]
    assert "The board agreed to spend" in reading.text
    assert [(w.page, "<minutes>" in w.message) for w in reading.warnings] == [(None, True)]


@pytest.mark.parametrize(
    "text", ["<?xml version='1.0'?><a/>", "<rows><row><id>7</id><name>Ann Doe</name></row></rows>"]
)
def test_data_without_sentences_is_refused(keep, text: str) -> None:
    with pytest.raises(errors.UnsupportedFormat, match="holds data but no sentences"):
        Reading(keep("data.xml", text))


BOMB = (
    "<!DOCTYPE a [<!ENTITY l0 'lol'>"
    + "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 12))
    + "]><a><p>Sentences of more than eight words are here to be read &l11;</p></a>"
)
QUADRATIC = f"<!DOCTYPE a [<!ENTITY l '{'x' * 990}'>]><a>{'&l;' * 2000}</a>"
MARKUP = "<!DOCTYPE a [<!ENTITY l '<b>bold</b>'>]><a>&l;</a>"


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (BOMB, errors.UnsupportedFormat, "entities"),
        (QUADRATIC, errors.UnsupportedFormat, "entities"),
        (MARKUP, errors.UnsupportedFormat, "entities that hold markup"),
        ("<a>" * 300 + "x" + "</a>" * 300, errors.TooLarge, "nested more than 256 deep"),
        (f"<a>{'x' * 11_000_000}</a>", errors.TooLarge, "10 million characters"),
        ("<a><b>secret words</a>", errors.DamagedFile, "damaged at line 1; get a fresh copy"),
        ("<a>secret words", errors.DamagedFile, "damaged at line 1; get a fresh copy"),
    ],
    ids=["bomb", "quadratic", "markup", "deep", "long", "mismatch", "cut"],
)
def test_hostile_files_are_refused(keep, text: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        Reading(keep("hostile.xml", text))
    assert "secret" not in str(caught.value)


def test_a_file_that_is_too_large_is_not_opened(keep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_tree, "_MAX_BYTES", 10)
    with pytest.raises(errors.TooLarge, match="split the file"):
        xml_tree.parse(keep("large.xml", LABEL))


@pytest.mark.parametrize("how", ["<!ENTITY s SYSTEM '{}'>", "<!ENTITY % p SYSTEM '{}'> %p; <!ENTITY t 'x'>"])
def test_other_files_are_never_read(keep, how: str) -> None:
    secret = keep("secret.txt", "<!ENTITY s 'the secret'>")
    reference = "&s;" if "%" not in how else ""
    text = (
        f"<!DOCTYPE a [{how.format(secret.as_uri())}]>"
        f"<a><p>These are more than eight words of a sentence {reference} here.</p></a>"
    )
    reading = Reading(keep("outside.xml", text))
    assert "secret" not in reading.text
    said = [w.message for w in reading.warnings if w.page is not None]
    assert said == (
        ["1 entities are defined elsewhere, in other files, which are never fetched; their text is missing"]
        if reference
        else []
    )


def test_plain_entities_of_the_file_itself_are_read(keep) -> None:
    text = (
        "<!DOCTYPE a [<!ENTITY co 'Acme &#38;#38; Sons'>]>"
        "<a><p>The seller, <b>&co;</b>, sells all of the goods to &co; itself.</p></a>"
    )
    reading = Reading(keep("own.xml", text))
    assert reading.text == "The seller, Acme & Sons, sells all of the goods to Acme & Sons itself."


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]), max_size=40)
trees = st.recursive(
    st.tuples(words, words), lambda inner: st.tuples(words, words, st.lists(inner, max_size=4)), max_leaves=12
)
roots = st.sampled_from(
    [
        (
            "{urn:hl7-org:v3}document",
            ["component", "section", "structuredBody", "title", "text", "table", "tr"],
        ),
        (
            "article",
            ["front", "body", "sec", "title", "p", "fig", "caption", "list", "list-item", "table", "sup"],
        ),
        (
            "{eregs}regulation",
            ["part", "content", "section", "paragraph", "subject", "title", "table", "row"],
        ),
        ("CFRDOC", ["PART", "HD", "SECTION", "SECTNO", "P", "E", "GPOTABLE", "ROW", "ENT", "AUTH", "HED"]),
        ("anything", ["a", "title", "p"]),
    ]
)


@given(root=roots, tree=trees, data=st.data())
def test_any_tree_is_read_or_refused(tmp_path_factory, root, tree, data) -> None:
    name, tags = root
    namespace = name[: name.index("}") + 1] if "}" in name else ""

    def build(parent: etree._Element, node: tuple) -> None:
        element = etree.SubElement(parent, namespace + data.draw(st.sampled_from(tags)))
        element.text, element.tail = node[0], node[1]
        for inner in node[2] if len(node) == 3 else ():
            build(element, inner)

    top = etree.Element(name)
    if name == "article":
        etree.SubElement(top, "body")
    build(top, tree)
    path = tmp_path_factory.mktemp("tree") / "tree.xml"
    path.write_bytes(etree.tostring(top))
    try:
        items = list(read_xml(path))
    except errors.UnreadableDocument:
        return
    for page in items[1:]:
        for heading in getattr(page, "headings", ()):
            assert 0 <= heading.start < len(page.text)
            assert heading.text == " ".join(heading.text.split()) != ""
            assert 1 <= heading.level <= 9


def test_every_real_document(shared_data: Path) -> None:
    for path in sorted((shared_data / "documents").glob("*/*.xml")):
        items = list(read_xml(path))
        assert items[0].title
        assert len(items[0].title) < 150
        headings = [heading for page in items[1:] for heading in page.headings]
        synopsis = path.name == "plos_journal.pmed.0020402.xml"  # has no sections
        assert len(headings) > 1 or synopsis
        assert sum(len(page.text) for page in items[1:]) > 2000
