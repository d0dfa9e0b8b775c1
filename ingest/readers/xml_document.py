"""XML documents: drug labels (SPL), articles (JATS), federal regulations (RegML, GPO, eCFR), else plain text.

Which one a file is, its root element says. One that is none of these is read element by element, with a
warning that its kind is not known; one that holds data but no sentences is refused.
"""

from collections.abc import Callable
from typing import Any

from ingest.document import XML, PageWarning, Read
from ingest.errors import UnsupportedFormat
from ingest.readers.flow import read_flow
from ingest.readers.source import Source
from ingest.readers.xml_article import read_article
from ingest.readers.xml_cfr import read_cfr
from ingest.readers.xml_label import read_label
from ingest.readers.xml_plain import holds_sentences, read_plain
from ingest.readers.xml_regulation import read_regulation
from ingest.readers.xml_tree import Content, Tree, parse

_CFR_TAGS = "CFRDOC CFRGRANULE FEDREG RULE PRORULE NOTICE ECFR DLPSTEXTCLASS"
_CFR_ROOTS = frozenset([*_CFR_TAGS.split(), *(f"DIV{number}" for number in range(1, 10))])


def read_xml(path: Source) -> Read:
    """Yield the information and sections of an XML file.

    Raises TooLarge, DamagedFile or UnsupportedFormat.
    """
    tree = parse(path)
    reader = _reader(tree)
    if reader is read_plain and not holds_sentences(tree.root):
        raise UnsupportedFormat(
            f"{path.name}: this is XML (<{tree.root.tag[:40]}>) that holds data but no sentences; "
            "export it as a document or a table"
        )
    content = reader(tree.root)
    yield from read_flow(
        XML, content.title, content.metadata, content.blocks, all_declared=reader is not read_plain
    )
    if reader is read_plain:
        yield PageWarning(
            None,
            f"this kind of XML (<{tree.root.tag[:40]}>) is not known; its text was read element by element",
        )
    if tree.missing:
        # said of a page, so that the document counts as partly read
        outside = ", in other files, which are never fetched" if tree.outside else ""
        yield PageWarning(1, f"{tree.missing} entities are defined elsewhere{outside}; their text is missing")


def _reader(tree: Tree) -> Callable[[Any], Content]:
    match tree.root.tag, tree.namespace:
        case "document", "urn:hl7-org:v3":
            return read_label
        case "article", "" if tree.root.find("front") is not None or tree.root.find("body") is not None:
            return read_article
        case "regulation" | "notice", "eregs":
            return read_regulation
        case tag, "" if tag in _CFR_ROOTS:
            return read_cfr
    return read_plain
