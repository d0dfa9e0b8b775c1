"""Drug labels in HL7's Structured Product Labeling: highlights, sections, then what the product is made of.

A section is named by its printed title; where the title says less than the section's LOINC code ("Uses"), by
both; where it has none, by its code, or by the words that its first paragraph sets apart.
"""

import re
from collections.abc import Iterator
from typing import Any

from ingest.readers.clean import one_line
from ingest.readers.flow import Block
from ingest.readers.xml_prose import Prose
from ingest.readers.xml_tree import Content

_PROSE = Prose(
    blocks=frozenset({"paragraph", "text", "caption", "renderMultiMedia", "highlight"}),
    dropped=frozenset({"observationMedia", "footnoteRef", "col", "colgroup"}),
    inserts=frozenset({"footnote"}),
)
# https://www.fda.gov/industry/structured-product-labeling-resources: section headings (LOINC)
_CODES = {
    "34066-1": "Boxed warning",
    "34067-9": "Indications and usage",
    "34068-7": "Dosage and administration",
    "34069-5": "How supplied",
    "34070-3": "Contraindications",
    "34071-1": "Warnings",
    "34073-7": "Drug interactions",
    "34076-0": "Information for patients",
    "34084-4": "Adverse reactions",
    "34088-5": "Overdosage",
    "34089-3": "Description",
    "34090-1": "Clinical pharmacology",
    "34092-7": "Clinical studies",
    "42230-3": "Patient information",
    "42231-1": "Medication guide",
    "42232-9": "Precautions",
    "43678-2": "Dosage forms and strengths",
    "43680-8": "Nonclinical toxicology",
    "43683-2": "Recent major changes",
    "43684-0": "Use in specific populations",
    "43685-7": "Warnings and precautions",
    "51945-4": "Package label",
}
_UNNAMED = frozenset({"42229-5", "48780-1"})  # unclassified; product data, which has a place of its own
_HIGHLIGHTS = "Highlights of prescribing information"
_PRODUCT = "Product data"
_LONGEST_RUN_IN = 80
_NOISE = re.compile(r"\b(?:SPL|OTC)\b(?: -)?|\bSECTION\b", re.I)
_BOILERPLATE = re.compile(r"These highlights do not include.*?for [^.]*\.\s*", re.I)


def read_label(root: Any) -> Content:
    """Content of an SPL `document`."""
    products = [_Product(element) for element in _products(root)]
    names = list(dict.fromkeys(product.name for product in products if product.name and not product.is_part))
    heading = _BOILERPLATE.sub("", _title(root))
    title = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "") or heading
    organization = root.find("author/assignedEntity/representedOrganization/name")
    kind = root.find("code")
    metadata = {
        "kind": "drug label (SPL)",
        "subject": kind.get("displayName", "").capitalize() if kind is not None else "",
        "author": _PROSE.text(organization) if organization is not None else "",
        "date": _date(root),
        "id": root.find("setId").get("root", "") if root.find("setId") is not None else "",
    }
    return Content(
        one_line(title) or None,
        {name: one_line(value, 1000) for name, value in metadata.items() if value},
        _blocks(root, heading, products),
    )


def _blocks(root: Any, heading: str, products: list["_Product"]) -> Iterator[Block]:
    if heading:
        yield Block(heading)
    body = root.find("component/structuredBody")
    sections = list(body.iterfind("component/section")) if body is not None else []
    excerpts = [
        (section, text) for section in sections for text in section.iterfind("excerpt/highlight/text")
    ]
    if excerpts:
        yield Block(_HIGHLIGHTS, 1)
    for section, text in excerpts:
        yield from _heading(section, 2)
        yield from _PROSE.paragraphs(text)
    for section in sections:
        yield from _section(section, 1)
    if products:
        yield Block(_PRODUCT, 1)
    for product in dict.fromkeys("\n".join(product.lines()) for product in products):
        if product:
            yield Block(product)


def _section(section: Any, level: int) -> Iterator[Block]:
    if section.find("text") is None and section.find("component/section") is None:
        return  # an excerpt, or product data
    named = list(_heading(section, level))
    yield from named
    for text in section.iterfind("text"):
        paragraphs = _PROSE.paragraphs(text)
        if not named and (words := _set_apart(text)):
            first = next(paragraphs, None)
            if first is not None:
                named = [Block(first.text, level, opens=words)]
                yield named[0] if first.text.startswith(words) else first
        yield from paragraphs
    for inner in section.iterfind("component/section"):
        yield from _section(inner, level + 1 if named else level)


def _heading(section: Any, level: int) -> Iterator[Block]:
    title = section.find("title")
    printed = _PROSE.text(title) if title is not None else ""
    coded = _coded(section.find("code"))
    if not (printed or coded):
        return
    said = coded.lower() in printed.lower() or set(_words(coded)) & set(_words(printed))
    known = not printed or not coded or said or len(printed) > 40
    yield Block(printed or coded, level, opens=None if known else f"{printed} ({coded.lower()})")


def _words(text: str) -> list[str]:
    return [word.lower()[:6] for word in re.findall(r"[^\W\d]{4,}", text)]


def _coded(code: Any) -> str:
    if code is None or code.get("code") in _UNNAMED:
        return ""
    known = _CODES.get(code.get("code", ""))
    if known:
        return known
    name = _NOISE.sub(" ", code.get("displayName", "")).replace("&", "and")
    return " ".join(name.split()).capitalize()


def _set_apart(text: Any) -> str:
    """The words in bold, italics or underlined that a section without a title begins with."""
    first = next(iter(text), None)
    if first is None or first.tag != "paragraph" or (first.text or "").strip():
        return ""
    lead = next(iter(first), None)
    if lead is None or lead.tag != "content" or not lead.get("styleCode"):
        return ""
    words = _PROSE.text(lead)
    if len(words) > _LONGEST_RUN_IN:
        return ""
    return words.rstrip(" :.") if any(character.isalpha() for character in words) else ""


def _title(root: Any) -> str:
    title = root.find("title")
    return _PROSE.text(title) if title is not None else ""


def _date(root: Any) -> str:
    element = root.find("effectiveTime")
    value = element.get("value", "") if element is not None else ""
    return f"{value[:4]}-{value[4:6]}-{value[6:8]}" if re.match(r"\d{8}", value) else value


def _products(root: Any) -> Iterator[Any]:
    for element in root.iter("manufacturedProduct", "manufacturedMedicine", "partProduct", "partMedicine"):
        if element.find("name") is not None:
            yield element


class _Product:
    """One medicine: its name and its ingredients with their strengths."""

    def __init__(self, element: Any) -> None:
        self._element = element
        self.is_part = element.tag.startswith("part")  # of a kit
        own = _PROSE.text(element.find("name"))
        name = element.find("name")
        if (suffix := name.find("suffix")) is not None:
            own = " ".join(((name.text or "").strip(), _PROSE.text(suffix)))
        generic = element.find("asEntityWithGeneric/genericMedicine/name")
        other = _PROSE.text(generic) if generic is not None else ""
        self.name = own if not other or other.lower() in own.lower() else f"{own} ({other})"

    def lines(self) -> Iterator[str]:
        """The product as lines for people."""
        form = self._element.find("formCode")
        yield self.name + (f", {form.get('displayName', '').lower()}" if form is not None else "")
        for label, inactive in (("Active ingredients", False), ("Inactive ingredients", True)):
            if found := "; ".join(self._ingredients(inactive)):
                yield f"{label}: {found}"
        routes = {route.get("displayName", "") for route in self._element.iterfind(".//routeCode")}
        routes |= {
            route.get("displayName", "") for route in self._element.iterfind("../consumedIn//routeCode")
        }
        if named := ", ".join(sorted(routes - {""})):
            yield f"Route: {named.lower()}"

    def _ingredients(self, inactive: bool) -> Iterator[str]:
        for element in [*self._element.iterfind("ingredient"), *self._element.iterfind("activeIngredient")]:
            name = element.find("ingredientSubstance/name")
            if name is None or (element.get("classCode") in ("IACT", "INGR")) is not inactive:
                continue
            numerator, denominator = element.find("quantity/numerator"), element.find("quantity/denominator")
            yield " ".join(part for part in (_PROSE.text(name), _strength(numerator, denominator)) if part)


def _strength(numerator: Any, denominator: Any) -> str:
    if numerator is None:
        return ""
    amount, per = _quantity(numerator), _quantity(denominator) if denominator is not None else ""
    return f"{amount} in {per}" if per and per != "1" else amount


def _quantity(element: Any) -> str:
    unit = element.get("unit", "")
    return str(element.get("value", "")) + (f" {unit}" if unit not in ("", "1") else "")
