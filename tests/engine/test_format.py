"""Formats and fingerprints: what two engines must share, and what they may differ in."""

from dataclasses import replace

import pytest

from engine.format import Fingerprint, MemoryFormat

FORMAT = MemoryFormat((0, 1, 2))
FINGERPRINT = Fingerprint("weights", "", "tokenizer", "bfloat16", (1, 2), "{}", FORMAT)


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": "others"},
        {"adapter": "one"},
        {"tokenizer": "another"},
        {"quantisation": "int8"},
        {"prefix": (1,)},
        {"rope": "[]"},
        {"format": replace(FORMAT, layers=(0, 1))},
        {"format": replace(FORMAT, tokens_per_head=8)},
        {"format": replace(FORMAT, selection="attention_value_norm")},
        {"format": replace(FORMAT, codec="int8")},
    ],
    ids=str,
)
def test_whatever_changes_the_stored_numbers_changes_the_fingerprint(changes: dict[str, object]) -> None:
    other = replace(FINGERPRINT, **changes)  # type: ignore[arg-type]
    assert other.id != FINGERPRINT.id
    assert FINGERPRINT.differences(other.to_json()) == list(changes)


@pytest.mark.parametrize("changes", [{"positions": "serial"}, {"temperature": 0.8}], ids=str)
def test_how_memories_are_read_does_not(changes: dict[str, object]) -> None:
    other = replace(FINGERPRINT, format=replace(FORMAT, **changes))  # type: ignore[arg-type]
    assert other.id == FINGERPRINT.id


@pytest.mark.parametrize(
    "fields",
    [{"layers": ()}, {"layers": (2, 1)}, {"layers": (1, 1)}, {"tokens_per_head": 129}, {"temperature": 0.0}],
    ids=str,
)
def test_formats_that_make_no_sense_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        MemoryFormat(**{"layers": (0,), **fields})  # type: ignore[arg-type]
