import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from storage.errors import StoreUnavailable
from storage.store import Store
from tests.storage.conftest import DIMENSION, EMBEDDER, AddDocument, memory, vector_of

LIGHT = """
import sys
from pathlib import Path
from storage.store import Store
with Store.open(Path(sys.argv[1])) as store:
    store.documents.list()
print(sorted({"torch", "faiss", "alembic", "transformers", "safetensors"} & set(sys.modules)))
"""


def test_opening_a_store_loads_nothing_heavy(home: Path) -> None:
    Store.open(home).close()
    result = subprocess.run(
        [sys.executable, "-c", LIGHT, str(home)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_threads_share_a_store(store: Store, add_document: AddDocument) -> None:
    """Searching, reading memories, adding and deleting at once."""
    kept = add_document("kept.txt", [f"agreement {n}" for n in range(20)])
    ids = store.references.of_document(kept)
    bank = store.banks.open("print", {})
    bank.write([(key, memory(key)) for key in ids])
    search = store.search(EMBEDDER, DIMENSION)

    def ask(n: int) -> None:
        found = search.hybrid("agreement", vector_of("agreement 3"), k=40)
        assert set(ids) <= {hit.reference_id for hit in found}
        np.testing.assert_array_equal(bank.read([ids[n]])[ids[n]]["values"], memory(ids[n])["values"])

    def come_and_go(n: int) -> None:
        document_id = add_document(f"{n}.txt", [f"other agreement {n}"])
        bank.write([(key, memory(key)) for key in store.references.of_document(document_id)])
        store.documents.delete(document_id)

    with ThreadPoolExecutor(6) as pool:
        work = [pool.submit(come_and_go if n % 4 == 0 else ask, n) for n in range(20)]
        for future in work:
            future.result(60)
    assert len(search.hybrid("agreement", vector_of("agreement 3"), k=40)) == 20
    assert store.banks.status()[0].memories == 20
    assert store.banks.verify("print") == []


def test_a_home_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreUnavailable, match="home folder"):
        Store.open(tmp_path / "file")
    with pytest.raises(StoreUnavailable, match="home folder"):
        Store.open(tmp_path / "file" / "home")


def test_real_questions_find_their_passages(
    store: Store, add_document: AddDocument, shared_data: Path
) -> None:
    """Words alone find the passage that holds the answer for most of a sample of SQuAD-like questions."""
    import gzip
    import json

    with gzip.open(shared_data / "general_contexts.jsonl.gz", "rt") as file:
        contexts = {
            row["context_id"]: row["text"] for row, _ in zip(map(json.loads, file), range(300), strict=False)
        }
    with gzip.open(shared_data / "general_qa.jsonl.gz", "rt") as file:
        questions = [
            row for row in map(json.loads, file) if row["context_id"] in contexts and row["answers"]
        ][:60]
    passages = [" ".join(text.split()) for text in contexts.values()]
    document_id = add_document("contexts.txt", passages)
    order = dict(zip(contexts, store.references.of_document(document_id), strict=True))
    search = store.search(EMBEDDER, DIMENSION)
    found, nothing = 0, np.zeros(DIMENSION, np.float32)  # the vectors here know no meaning: by words alone
    for row in questions:
        hits = search.hybrid(row["question"], nothing, k=10)
        found += order[row["context_id"]] in {hit.reference_id for hit in hits}
    assert questions
    assert found / len(questions) >= 0.8
