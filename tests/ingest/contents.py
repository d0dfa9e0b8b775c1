"""Everything that a store holds of its documents, without ids and times, to compare two stores by."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from storage.store import Store

_QUERIES = {
    "documents": "SELECT sha256, name, media_type, bytes, title, page_count, status, error, warnings, "
    "reference_count, unreadable_by FROM documents ORDER BY sha256",
    "collections": "SELECT c.name, l.document_id FROM collection_documents l JOIN collections c "
    "ON c.id = l.collection_id ORDER BY 1, 2",
    "pages": "SELECT * FROM pages ORDER BY document_id, number",
    "references": 'SELECT document_id, page, start, "end", heading_path, token_ids, header_tokens, '
    "token_offsets, vector, embedder FROM reference ORDER BY document_id, id",
    "words": "SELECT r.document_id, f.title, f.heading, f.body FROM reference_fts f "
    "LEFT JOIN reference r ON r.id = f.rowid ORDER BY r.document_id, f.rowid",
    "memories": "SELECT m.fingerprint_id, r.document_id, r.page, r.start, m.bytes, m.checksum "
    "FROM memories m LEFT JOIN reference r ON r.id = m.reference_id ORDER BY r.document_id, m.reference_id",
    "banks": "SELECT fingerprint_id, fingerprint FROM banks ORDER BY 1",
    "checkpoints": "SELECT * FROM checkpoints",
    "jobs": "SELECT document_id, kind, status, memories FROM jobs ORDER BY 1, 2, 3",
}


def contents(home: Path) -> dict[str, Any]:
    """Rows by table, and the bytes of every memory in the order of its references."""
    with closing(sqlite3.connect(home / "attest.db")) as raw:
        found: dict[str, Any] = {name: raw.execute(query).fetchall() for name, query in _QUERIES.items()}
    with Store.open(home) as store:
        kept: list[tuple[str, Any]] = []
        for status in store.banks.status():
            bank = store.banks.open(status.fingerprint_id, status.fingerprint)
            for sha256, *_ in found["documents"]:
                ids = store.references.of_document(sha256[:16])
                for memory in bank.read(ids).values():
                    kept.append((sha256, {k: (v.dtype.str, v.tobytes()) for k, v in sorted(memory.items())}))
        found["memory bytes"] = kept
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """In words, where two stores differ; empty if they are equal."""
    said = []
    for name, rows in one.items():
        others = other[name]
        if rows != others:
            first = next((n for n, (a, b) in enumerate(zip(rows, others, strict=False)) if a != b), "the end")
            said.append(f"{name}: {len(rows)} and {len(others)} rows, unequal from {first} on")
    return said


def damaged(home: Path) -> list[Any]:
    """What verifying the banks finds wrong."""
    with Store.open(home) as store:
        return [
            problem for bank in store.banks.status() for problem in store.banks.verify(bank.fingerprint_id)
        ]


def kept_so_far(home: Path) -> int:
    """Pages, references and memories stored: it only grows while documents are ingested."""
    tables = ("pages", "reference", "memories")
    with closing(sqlite3.connect(home / "attest.db", timeout=30)) as raw:
        return sum(raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)


def busy(home: Path) -> bool:
    """Whether jobs are left."""
    with closing(sqlite3.connect(home / "attest.db", timeout=30)) as raw:
        query = "SELECT count(*) FROM jobs WHERE status IN ('queued', 'running')"
        return bool(raw.execute(query).fetchone()[0])
