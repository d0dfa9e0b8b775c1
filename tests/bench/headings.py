"""How well are headings found? Every real document's headings, and the paths of places chosen by hand.

Per document: headings a page, how deep they nest, which share of the references has a heading path. Then for
each chosen passage whether it stands under the headings that a reader would name, and under no wrong one:
`wanted` must occur in the path in this order, each as the beginning of a heading, and end it.

    python -m tests.bench.headings --data ../shared/data [--show NAME]
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from engine.fake import FakeEngine
from ingest.chunk import Reference, chunk
from ingest.document import DocumentInfo, Page
from ingest.errors import UnreadableDocument
from ingest.headings import HeadingPath
from ingest.limits import Limits
from ingest.sandbox import read
from tests.bench.heading_places import PLACES, Place

_PATIENT = Limits(seconds=600)  # on a machine that does other work too


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default="", help="documents whose name begins so")
    parser.add_argument("--show", help="print every heading of the documents whose name begins so")
    arguments = parser.parse_args()
    folder = arguments.data / "documents"
    if arguments.show:
        for path in sorted(folder.glob(f"*/{arguments.show}*")):
            show(path)
        return
    total = with_path = right = places = 0
    for path in sorted(folder.glob(f"*/{arguments.only}*.*")):
        try:
            pages, references = references_of(path)
        except UnreadableDocument as error:
            print(json.dumps({"document": path.name, "unread": type(error).__name__}))
            continue
        headings = [heading for page in pages for heading in page.headings]
        under = sum(bool(reference.heading_path) for reference in references)
        total, with_path = total + len(references), with_path + under
        line = {
            "document": path.name[:60],
            "pages": len(pages),
            "headings": len(headings),
            "headings_per_page": round(len(headings) / len(pages), 1),
            "deepest": max((len(reference.heading_path) for reference in references), default=0),
            "references": len(references),
            "with_path": round(under / max(len(references), 1), 2),
        }
        print(json.dumps(line))
        for place in (place for place in PLACES if path.name.startswith(place.document)):
            found = path_at(pages, place)
            fits = found is not None and is_right(found, place.wanted)
            places, right = places + 1, right + fits
            if not fits:
                print(json.dumps({"place": place.passage, "wanted": place.wanted, "found": found}))
    print(
        json.dumps(
            {
                "references": total,
                "with_path": round(with_path / max(total, 1), 3),
                "places": places,
                "places_right": right,
            }
        )
    )


def references_of(path: Path) -> tuple[list[Page], list[Reference]]:
    """Pages and references of a document, cut with a tokenizer of words."""
    pages = [item for item in read(path, limits=_PATIENT) if isinstance(item, Page)]
    return pages, list(chunk(pages, FakeEngine().tokenize, path.stem))


def path_at(pages: Sequence[Page], place: Place) -> tuple[str, ...] | None:
    """Path of headings above the passage's first occurrence; None if the passage is not there."""
    for page in pages:
        # a page breaks lines where it likes
        text = page.text.replace("\n", " ")
        at = text.find(place.passage)
        if at < 0:
            continue
        path = HeadingPath()
        for before in pages[: page.number]:
            for heading in before.headings:
                if before is not page or heading.start <= at:
                    path.enter(heading)
        return path.titles
    return None


def is_right(found: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether the wanted headings occur in order, and the deepest one is the last wanted."""
    if not wanted or not found:
        return not wanted and not found
    rest = iter(found)
    inside = all(any(heading.startswith(words) for heading in rest) for words in wanted)
    return inside and found[-1].startswith(wanted[-1])


def show(path: Path) -> None:
    """Every heading of a document, indented by its level."""
    for item in read(path):
        if isinstance(item, DocumentInfo):
            print(f"=== {path.name}: {item.title}")
        elif isinstance(item, Page):
            for heading in item.headings:
                print(f"{item.number:4} {'  ' * heading.level}{heading.text}")


if __name__ == "__main__":
    main()
