"""How long a page of the document list takes with thousands of documents: `python -m tests.bench.lists`.

Prints one JSON object: milliseconds (p50, p95) by the clock and of the processor that a page of fifty takes,
with its sums and as HTML, in several orders and with words, of a collection that holds half of the documents.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from app.library.views import DocumentListing, document_view
from app.web.documents import documents_html
from storage.listing import ALL
from storage.records import Wanted
from storage.store import Store
from tests.storage.test_listing import fill

DOCUMENTS = 10_000  # half of them in the collection
TIMES = 30


def milliseconds(do: Callable[[], object]) -> dict[str, float]:
    do()
    taken = []
    for _ in range(TIMES):
        clock, busy = time.perf_counter(), time.process_time()
        do()
        taken.append((1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - busy)))
    p50, p95 = np.percentile(np.array(taken), (50, 95), axis=0).round(1).tolist()
    return {"p50": p50[0], "p95": p95[0], "processor_p50": p50[1], "processor_p95": p95[1]}


def main() -> None:
    with tempfile.TemporaryDirectory() as home, Store.open(Path(home)) as store:
        store.collections.add("law", "legal")
        fill(store, DOCUMENTS)
        asked = {
            "newest": (ALL, 0),
            "newest, last page": (ALL, DOCUMENTS),
            "name": (Wanted(order="name"), 0),
            "size": (Wanted(order="size"), 2000),
            "state": (Wanted(order="state"), 2000),
            "words": (Wanted("agreement 001", order="name"), 0),
            "failed": (Wanted(standing="failed"), 0),
        }

        def page(wanted: Wanted, first: int) -> str:
            found = store.listing.page("law", first, 50, wanted)
            rows = store.documents.of_ids(found.ids)
            views = [document_view(rows[key], "law") for key in found.ids]
            sums = (found.total, found.askable, found.busy, found.matching, found.failed, found.references)
            return documents_html(DocumentListing(views, found.first, *sums), wanted=wanted)

        figures = {name: milliseconds(lambda each=each: page(*each)) for name, each in asked.items()}
        total = store.listing.page("law", 0, 1).total
    json.dump({"documents": total, "page_ms": figures}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
