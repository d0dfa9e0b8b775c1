"""How the store grows to a million references: search, index, load, start of the page, delete, compaction.

    python -m tests.bench.scale --references 1000000

Prints one JSON object: for each count, the figures of `app.measuring.search` and

    database_bytes, index_bytes   on the disk        fill_seconds    making the references
    load_seconds     from opening the store to the first answer of a search, index read from its file
    rebuild_seconds  the same with the index file gone, where asked for
    serve_seconds    from the start of `attest serve` to the page
    delete_seconds   one document, with its receipt and all clean-up    compact_seconds   VACUUM afterwards
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

from app.measuring.search import COLLECTION, DIMENSION, EMBEDDER, Synthetic, measured
from storage.database import Database
from storage.store import Store


def at_scale(home: Path, references: int, *, rebuild: bool) -> dict[str, object]:
    """Fill `home`, a new folder, and measure."""
    started = time.perf_counter()
    with Store.open(home) as store, closing(Database(home / "attest.db")) as database:
        synthetic = Synthetic(store, database)
        synthetic.grow(references)
        filled = time.perf_counter() - started
        search = store.search(EMBEDDER, DIMENSION)
        figures: dict[str, object] = dict(measured(search, synthetic))
    figures["fill_seconds"] = round(filled, 1)
    figures["database_bytes"] = (home / "attest.db").stat().st_size
    figures["index_bytes"] = sum(path.stat().st_size for path in (home / "vectors").iterdir())
    figures["load_seconds"] = _first_answer(home, synthetic)
    if rebuild:
        for path in (home / "vectors").iterdir():
            path.unlink()
        figures["rebuild_seconds"] = _first_answer(home, synthetic)
    figures["serve_seconds"] = seconds_to_page(home)
    with Store.open(home) as store:
        started = time.perf_counter()
        receipt = store.documents.delete(synthetic.documents[len(synthetic.documents) // 2])
        figures["delete_seconds"] = round(time.perf_counter() - started, 2)
        figures["deleted_references"] = receipt.vectors
    started = time.perf_counter()
    with closing(Database(home / "attest.db")) as database:
        connection = database.engine.raw_connection()
        connection.cursor().execute("VACUUM")
        connection.close()
    figures["compact_seconds"] = round(time.perf_counter() - started, 1)
    return figures


def _first_answer(home: Path, synthetic: Synthetic) -> float:
    started = time.perf_counter()
    with Store.open(home) as store:
        search = store.search(EMBEDDER, DIMENSION)
        search.hybrid(synthetic.questions[0], synthetic.vectors[0], COLLECTION)
        return round(time.perf_counter() - started, 2)


def seconds_to_page(home: Path, limit: float = 120.0) -> float:
    """From the start of `attest serve` on this home to a page with status 200."""
    environment = {**os.environ, "ATTEST_HOME": str(home), "ATTEST_MODEL": "fake"}
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--workers", "0"]
    started = time.perf_counter()
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            address = next(
                line.split()[-1] for line in server.stderr if line.startswith("Attest is ready at ")
            )
            while time.perf_counter() - started < limit:
                try:
                    with urllib.request.urlopen(address) as answer:
                        assert answer.status == 200
                        return round(time.perf_counter() - started, 2)
                except urllib.error.URLError:
                    time.sleep(0.01)
        finally:
            server.terminate()
    raise TimeoutError(f"no page within {limit} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rebuild", action="store_true", help="also time the loss of the index file")
    arguments = parser.parse_args()
    result = {}
    for references in arguments.references:
        with tempfile.TemporaryDirectory() as folder:
            result[str(references)] = at_scale(Path(folder), references, rebuild=arguments.rebuild)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
