"""How fast and how well scanned pages are recognised: `python -m tests.bench.recognition PDF [PAGES]`.

Draws pages of a PDF whose text is known as pictures, recognises them and compares. character_accuracy: share
of characters that align, white space aside, as difflib counts; a page in another reading order scores low.
Prints one JSON line a page. seconds: processor time, without loading the models, on one thread.
"""

import difflib
import json
import sys
import time
from pathlib import Path

from ingest.readers.hyphens import Hyphenation
from ingest.readers.pdf_picture import page_picture
from ingest.readers.pdf_text import open_pdf, page_text
from ingest.readers.recognition import DOTS_PER_INCH, LONGEST_SIDE, recognise
from ingest.readers.scan import read_scan


def main() -> None:
    path, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    pdf = open_pdf(path, None)
    for number in range(1, min(count, len(pdf)) + 1):
        page = pdf[number - 1]
        known = page_text(page, 1_000_000, lambda: Hyphenation([]))
        picture = page_picture(page, LONGEST_SIDE, DOTS_PER_INCH)
        if number == 1:
            recognise(picture[:200, :200], lambda: None)  # loads the models
        started = time.process_time()
        scan = read_scan(picture, (known.width, known.height), lambda: None)
        seconds = time.process_time() - started
        right, read = ("".join(text.split()) for text in (known.text, scan.text if scan else ""))
        blocks = difflib.SequenceMatcher(None, right, read, autojunk=False).get_matching_blocks()
        same = sum(block.size for block in blocks)
        line = {
            "page": number,
            "seconds": round(seconds, 1),
            "characters": len(right),
            "character_accuracy": round(2 * same / max(len(right) + len(read), 1), 4),
            "confidence": round(scan.confidence, 4) if scan else None,
        }
        print(json.dumps(line))


if __name__ == "__main__":
    main()
