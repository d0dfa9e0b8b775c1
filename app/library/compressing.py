"""`attest memories compress`: banks whose format says "pq" get their codebook, and their memories are coded.

Needs no model: a bank's row says what it is valid for. Another process may read and write the same bank
meanwhile. Interrupted, the same command goes on where it stopped.
"""

from collections.abc import Callable, Iterator
from typing import Any

from app.errors import AttestError
from engine.format import Fingerprint
from ingest.bank import MemoryBank
from storage import files
from storage.records import BankStatus
from storage.store import Store

SETTING = """ATTEST_MEMORY_FORMAT='{"codec": "pq"}'"""


def compress(store: Store, report: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """One object per bank, as docs/interface.md has it. Raises AttestError."""
    banks = [bank for bank in store.banks.status() if _codec(bank) == "pq"]
    if not banks:
        raise AttestError(f"no memories were written in a format to be coded; choose it with {SETTING}")
    for before in banks:

        def said(done: int, total: int, name: str = before.fingerprint_id) -> None:
            report(f"bank {name}: {done} of {total} memories")

        try:
            coded = MemoryBank(store, Fingerprint.from_json(before.fingerprint)).compress(said)
        except ValueError as error:
            raise AttestError(f"bank {before.fingerprint_id} stays in int8: {error}") from None
        after = next(each for each in store.banks.status() if each.fingerprint_id == before.fingerprint_id)
        yield {
            "fingerprint_id": before.fingerprint_id,
            "memories": after.memories,
            "coded": coded,
            "bytes_before": before.bytes,
            "bytes": after.bytes,
            "codebook_bytes": files.size(store.codebooks.path(before.fingerprint_id)),
        }


def _codec(bank: BankStatus) -> str | None:
    codec = bank.fingerprint.get("format", {}).get("codec")
    return codec if isinstance(codec, str) else None
