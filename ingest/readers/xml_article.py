"""Journal articles in JATS (and the NLM tag set before it): abstract, sections, floats, then the end matter.

Tables and figures are read where the file has them, under their labels; references come last, one a line.
"""

import re
from collections.abc import Iterator
from typing import Any

from ingest.readers.clean import one_line
from ingest.readers.flow import Block
from ingest.readers.xml_prose import Prose
from ingest.readers.xml_tree import Content

_BLOCK_TAGS = """
    p disp-quote disp-formula disp-formula-group verse-group verse-line speech statement boxed-text sec
    def-list def-item fn-group fn glossary supplementary-material caption attrib table-wrap-foot
    license-p preformat code ack app app-group ref-list notes bio title label
"""
_DROPPED_TAGS = """
    graphic media inline-graphic object-id tex-math alternatives-graphic permissions counts custom-meta-group
    related-article email ext-link-group col colgroup
"""
_CITATIONS = ("mixed-citation", "citation")
_LIST_OF_PARTS = ("nlm-citation", "element-citation")


def read_article(root: Any) -> Content:
    """Content of a JATS `article`."""
    meta = root.find("front/article-meta")
    if meta is None:
        meta = root.find("front-stub")
    title = _text(meta, "title-group/article-title")
    if subtitle := _text(meta, "title-group/subtitle"):
        title = f"{title.rstrip(':')}: {subtitle}"
    authors = list(_authors(meta))
    metadata = {
        "kind": f"journal article (JATS), {root.get('article-type', 'article').replace('-', ' ')}",
        "author": ", ".join(authors),
        "subject": _text(meta, "article-categories/subj-group/subject"),
        "journal": _text(root, "front/journal-meta//journal-title"),
        "date": _date(meta),
        "doi": _text(meta, "article-id[@pub-id-type='doi']"),
    }
    return Content(
        one_line(title) or None,
        {name: one_line(value, 1000) for name, value in metadata.items() if value},
        _article(root, title, authors),
    )


def _article(root: Any, title: str, authors: list[str]) -> Iterator[Block]:
    if title:
        yield Block(title)
    if authors:
        yield Block(", ".join(authors))
    yield from _parts(root, 1)


def _parts(root: Any, level: int) -> Iterator[Block]:
    """Everything below the title of an article, response or sub-article."""
    meta = root.find("front/article-meta")
    if meta is None:
        meta = root.find("front-stub")
    if meta is not None:
        for abstract in [*meta.iterfind("abstract"), *meta.iterfind("trans-abstract")]:
            yield from _abstract(abstract, level)
    for part in (*root.iterfind("body"), *root.iterfind("floats-group"), *root.iterfind("floats-wrap")):
        yield from _Section(level).blocks(part)
    back = root.find("back")
    if back is not None:
        for part in back:
            if part.tag != "ref-list":
                yield from _Section(level).back(part)
    yield from _about(meta, level)
    for listed in back.iterfind(".//ref-list") if back is not None else ():
        yield from _references(listed, level)
    for other in (*root.iterfind("sub-article"), *root.iterfind("response")):
        if name := _text(other, ".//title-group/article-title"):
            yield Block(name, level)
        yield from _parts(other, level + 1 if name else level)


def _abstract(abstract: Any, level: int) -> Iterator[Block]:
    title = _text(abstract, "title")
    sections = abstract.findall("sec")
    # One section that names the whole ("Summary") is the abstract's title
    if not title and len(sections) == 1 and abstract.find("p") is None:
        title = _text(sections[0], "title")
        abstract = sections[0]
    if not title:
        kind = abstract.get("abstract-type", "")
        title = "In brief" if kind in ("toc", "teaser", "precis", "short") else "Abstract"
    yield Block(title, level)
    yield from _Section(level + 1).blocks(abstract, skip_title=True)


class _Section:
    """Sections, boxes, figures and tables in order. level: of the headings directly inside."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._prose = Prose(
            blocks=frozenset(_BLOCK_TAGS.split()),
            dropped=frozenset(_DROPPED_TAGS.split()),
            inserts=frozenset({"fn"}),
            own={
                "sec": self._section,
                "boxed-text": self._section,
                "fig": self._float,
                "table-wrap": self._float,
                "supplementary-material": self._float,
                "def-list": self._definitions,
            },
        )

    def blocks(self, element: Any, skip_title: bool = False) -> Iterator[Block]:
        """Blocks of an element's content."""
        for name in ("title", "label") if skip_title else ():
            for found in element.findall(name):
                element.remove(found)
        yield from self._prose.paragraphs(element)

    def back(self, element: Any) -> Iterator[Block]:
        """One part of the end matter under its title, or under what it is."""
        names = {"ack": "Acknowledgements", "glossary": "Glossary", "fn-group": "Notes", "notes": "Notes"}
        if _text(element, "title"):
            yield from self._section(element)
            return
        if name := names.get(element.tag):
            yield Block(name, self._level)
        if element.tag == "fn-group":
            for note in element.iterfind("fn"):
                yield from self.blocks(note)
        else:
            yield from self.blocks(element)

    def _section(self, element: Any) -> Iterator[Block]:
        holder = element
        if element.tag == "boxed-text" and element.find("caption/title") is not None:
            holder = element.find("caption")
        title, label = _text(holder, "title"), _text(element, "label")
        if name := " ".join(part for part in (label, title) if part):
            yield Block(name, self._level)
        inner = _Section(self._level + 1) if name else self
        for found in holder.findall("title"):
            holder.remove(found)
        yield from inner.blocks(element, skip_title=True)

    def _float(self, element: Any) -> Iterator[Block]:
        """A figure, table or supplement: label and caption in one paragraph, then a table's rows."""
        caption = element.find("caption")
        parts = [_text(element, "label")]
        if caption is not None:
            parts += [self._prose.text(part) for part in caption]
        if name := " ".join(_stopped(part) for part in parts if part):
            yield Block(name)
        for table in element.iter("table"):
            yield from self._prose.rows(table)
        for foot in element.iterfind("table-wrap-foot"):
            for note in foot:
                if text := self._prose.text(note):
                    yield Block(text, tight=True)

    def _definitions(self, element: Any) -> Iterator[Block]:
        if title := _text(element, "title"):
            yield Block(title, self._level)
        for item in element.iterfind("def-item"):
            term, meaning = _text(item, "term"), " ".join(_PLAIN.text(part) for part in item.iterfind("def"))
            if term or meaning:
                yield Block(f"{term}: {meaning}", tight=True)


_PLAIN = Prose(blocks=frozenset({"p"}), dropped=frozenset(_DROPPED_TAGS.split()))


def _stopped(part: str) -> str:
    return part if part[-1] in ".:?!" else f"{part}."


def _about(meta: Any, level: int) -> Iterator[Block]:
    """Who paid, and what the authors declare; hidden among the metadata, though journals print it."""
    if meta is None:
        return
    notes = [*meta.iterfind("author-notes/fn"), *meta.iterfind("funding-group/funding-statement")]
    if texts := [text for note in notes if (text := _PLAIN.text(note))]:
        yield Block("About the article", level)
        yield from (Block(text) for text in texts)


def _references(listed: Any, level: int) -> Iterator[Block]:
    yield Block(_text(listed, "title") or "References", level)
    for reference in listed.iterfind("ref"):
        label = _text(reference, "label")
        for citation in reference:
            if citation.tag in _CITATIONS:
                text = _PLAIN.text(citation)
            elif citation.tag in _LIST_OF_PARTS:
                text = _citation(citation)
            else:
                continue
            if text:
                yield Block(f"{label}. {text}" if label else text, tight=True)


def _citation(citation: Any) -> str:
    """A citation that is a list of parts, punctuated."""
    people = [_person(name) for group in citation.iterfind("person-group") for name in group]
    pages = "–".join(text for part in ("fpage", "lpage") if (text := _text(citation, part)))
    parts = [", ".join(person for person in people if person) or _text(citation, "collab")]
    parts += [
        _text(citation, name) for name in ("article-title", "chapter-title", "source", "publisher-name")
    ]
    parts += [_text(citation, "year"), _text(citation, "volume") + (f":{pages}" if pages else "")]
    return " ".join(_stopped(part) for part in parts if part)


def _person(name: Any) -> str:
    if name.tag == "etal":
        return "et al"
    first, last = _text(name, "given-names"), _text(name, "surname")
    return " ".join(part for part in (last, first) if part) or _PLAIN.text(name)


def _authors(meta: Any) -> Iterator[str]:
    for contributor in meta.iterfind("contrib-group/contrib") if meta is not None else ():
        if contributor.get("contrib-type") in (None, "author"):
            name = contributor.find("name")
            found = " ".join((_text(name, "given-names"), _text(name, "surname"))) if name is not None else ""
            if found := found.strip() or _text(contributor, "collab"):
                yield found


def _date(meta: Any) -> str:
    for date in meta.iterfind("pub-date") if meta is not None else ():
        parts = [_text(date, name) for name in ("year", "month", "day")]
        return "-".join(part.zfill(2) for part in parts if re.fullmatch(r"\d+", part))
    return ""


def _text(element: Any, path: str) -> str:
    found = element.find(path) if element is not None else None
    return _PLAIN.text(found) if found is not None else ""
