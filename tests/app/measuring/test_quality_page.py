"""docs/quality.md is made of saved figures, and of nothing else."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.quality import Saved, page


def row(adapted: bool, reads: str, nll: float, kept: int = 0, variant: str = "") -> dict[str, Any]:
    parts = {"law": round(nll + 0.1, 4), "medicine": round(nll - 0.1, 4), "general": None}
    return {
        **{"adapted": adapted, "reads": reads, "tokens_per_head": kept, "n": 71, "nll": nll},
        **{"variant": variant, **parts},
    }


LADDER = [
    row(False, "none", 5.0),
    row(False, "text", 3.0),
    row(True, "text", 0.8),
    row(True, "memory", 1.6, 16),
    row(True, "memory", 1.0, 32),
    row(True, "memory", 1.25, 32, "serial"),
    row(True, "memory", 1.005, 32, "codec int8"),
]
CEILING = [row(False, "text", 3.0), row(True, "none", 2.9), row(True, "text", 0.5)]


def evaluated(mode: str, f1: float, size: int | None = None) -> dict[str, Any]:
    quality = {
        **{"n": 12, "unanswerable": 3, "exact_match": 0.25, "f1": f1, "abstain_accuracy": None},
        **{"answered": 1.0, "declined": None, "answer_nll": 1.5, "evidence_at_1": 0.5, "evidence_at_5": 0.75},
    }
    shape = {"layers": [0, 1, 2], "tokens_per_head": 32, "selection": "attention", "positions": "parallel"}
    return {
        **{
            "mode": mode,
            **quality,
            "first_token_ms": {"p50": 41.5, "p95": 80.0},
            "clock": f"clock of {mode}",
        },
        **{
            "bytes_per_reference": size,
            "datasets": {"CUAD_v1": {**quality, "f1": f1 / 2}},
            "references": 900,
        },
        "engine": {
            **{"backend": "llamacpp", "model": "small", "adapter": "reader"},
            "format": {**shape, "temperature": 1.0, "codec": "int8"},
        },
    }


EVALUATED = [evaluated("text", 0.44), evaluated("memory", 0.42, 123456)]
STATED = {"n": 9, "answered": 8, "unsupported": 0.125}
ABILITIES = [
    {"tasks": "LegalBench", "model": "base", "passage": "text", "accuracy": 0.5, "chance": 0.4, "n": 30},
    {"tasks": "LegalBench", "model": "adapted", "passage": "text", "accuracy": 0.6, "chance": 0.4, "n": 30},
    {"adapter": "reader", "adapted_minus_base": 10.0, "standard_error": 5.5, "n": 30},
    {"misled_by": "text", "n": 8, "declined": 0.25, "right": 0.125, "misled": 0.5, "own": 0.125},
    {"mode": "memory", **STATED, "answerable": STATED, "unanswerable": {**STATED, "unsupported": None}},
]


def cells(text: str, *first: str) -> list[str]:
    """The row of a table that begins with these cells."""
    start = "| " + " | ".join(first) + " |"
    (found,) = [line for line in text.splitlines() if line.startswith(start)]
    return [each.strip() for each in found.strip("|").split("|")][len(first) :]


def test_each_row_is_compared_with_text() -> None:
    text = page(Saved(ladder=LADDER, batches=7, seed=5))
    assert cells(text, "untuned", "nothing") == ["", "5.000", "6.250", "5.100", "4.900", "-"]
    assert cells(text, "adapted", "memories", "32")[:2] == ["1.000", "1.250"]
    assert cells(text, "nothing")[:3] == ["1.000", "1.000", "1.250"]
    assert cells(text, "serial")[:3] == ["1.250", "1.250", "1.562"]
    assert cells(text, "codec int8")[1] == "1.005"
    assert "71 questions" in text
    assert (
        "    attest adapt evaluate FOLDER --data ../shared/data --batches 7 --seed 5 --ladder --json" in text
    )


def test_the_ceiling_is_the_model_tuned_for_text() -> None:
    text = page(Saved(ladder=LADDER, ceiling=[*CEILING, evaluated("text", 0.5)]))
    assert cells(text, "adapted", "memories", "32")[:3] == ["1.000", "1.250", "2.000"]
    assert cells(text, "tuned for text", "text in the prompt")[1:4] == ["0.500", "0.625", "1.000"]
    assert cells(text, "tuned for text", "text")[1] == "0.500"
    assert "ATTEST_ADAPTER=CEILING attest eval" in text
    with pytest.raises(ValueError, match="other questions"):
        page(Saved(ladder=LADDER, ceiling=[{**CEILING[2], "n": 70}]))


def test_more_questions_have_a_table_of_their_own() -> None:
    def more(*lines: dict[str, Any]) -> list[dict[str, Any]]:
        return [{**line, "n": 632, "nll": line["nll"] * 2} for line in lines]

    text = page(
        Saved(LADDER, ceiling=CEILING, more=more(*LADDER[3:5]), more_ceiling=more(*CEILING), more_batches=64)
    )
    first, second = text.split("## The same, of more questions")
    assert cells(first, "adapted", "memories", "32")[:3] == ["1.000", "1.250", "2.000"]
    assert cells(second, "adapted", "memories", "32")[:3] == ["2.000", "-", "2.000"]
    assert cells(second, "untuned", "text in the prompt")[1] == "6.000"
    assert "632 questions" in second
    options = "--data ../shared/data --batches 64 --seed 1"
    assert f"    attest adapt evaluate FOLDER {options} --reads memory --json\n" in second
    assert f"    attest adapt evaluate CEILING {options} --reads text --json\n" in second
    assert "more questions" not in page(Saved(ladder=LADDER))


def test_answers_are_shown_over_all_and_by_data_set() -> None:
    text = page(Saved(evaluated=EVALUATED, base=[evaluated("text", 0.2)], limit=12))
    assert cells(text, "adapted", "memory") == [
        *("0.250", "0.420", "-", "1.500", "0.500", "0.750", "41.5", "123,456")
    ]
    assert cells(text, "untuned", "text")[1] == "0.200"
    assert cells(text, "CUAD_v1", "adapted", "memory")[:3] == ["12", "0.250", "0.210"]
    assert "* First token, memory: clock of memory." in text
    assert "32 tokens per head in 3 layers" in " ".join(text.split())
    command = "attest eval assets/eval/questions.jsonl --contexts assets/eval/contexts.jsonl --limit 12"
    base, adapted = (
        f"ATTEST_ADAPTER=none {command} --modes text --json",
        f"{command} --modes text,memory --json",
    )
    assert f"    {base}\n    {adapted}\n" in text
    every = [*EVALUATED, evaluated("none", 0.1)]
    assert f"    {command} --json\n" in page(Saved(evaluated=every, limit=12))


def test_the_samples_that_were_learnt_from_are_counted() -> None:
    steps = [[{"samples": 0}, {"samples": 8078}], [{"samples": 7820}], [{"samples": 30}]]
    text = page(Saved(ladder=LADDER, ceiling=CEILING, training=steps, remark="All on one machine."))
    assert "\n\nAll on one machine.\n\n" in text
    said = "from the same, then from 7,820 more, then from 30 more with memories"
    assert said in " ".join(text.split())
    assert "8,078" not in page(Saved(ladder=LADDER, training=steps))


def test_abilities_are_shown_with_their_difference() -> None:
    text = page(Saved(abilities=ABILITIES))
    assert cells(text, "LegalBench", "text", "untuned") == ["0.500", "0.400", "30"]
    assert "untuned +10.00 points of accuracy, standard error 5.50, 30 questions." in " ".join(text.split())
    assert cells(text, "memory") == ["9", "8", "0.125", "0.125", "-"]
    assert cells(text, "text") == ["0.250", "0.125", "0.500", "0.125"]
    for command in (
        "abilities --data ../shared/data --limit 30",
        "hallucination --limit 9",
        "misled --limit 8",
    ):
        assert f"    python -m tests.bench.{command}\n" in text


def test_what_is_not_given_is_left_out() -> None:
    parts = {
        "Known answers": {"ladder": LADDER},
        "One thing changed": {"ladder": LADDER},
        "Questions asked": {"evaluated": EVALUATED},
        "What else the model can do": {"abilities": ABILITIES},
    }
    whole = page(Saved(ladder=LADDER, evaluated=EVALUATED, abilities=ABILITIES))
    for heading, given in parts.items():
        assert f"## {heading}" in whole
        alone = page(Saved(**given))  # type: ignore[arg-type]
        for other, of in parts.items():
            assert (f"## {other}" in alone) == (of is given or of == given), (heading, other)
    assert "SQuAD" not in page(Saved(ladder=LADDER))


def test_the_command_reads_saved_lines(tmp_path: Path) -> None:
    for name, lines in (("ladder", LADDER), ("eval", EVALUATED)):
        (tmp_path / name).write_text("\n".join(map(json.dumps, lines)) + "\n")
    files = ["--ladder", tmp_path / "ladder", "--eval", tmp_path / "eval", "--batches", "3", "--limit", "12"]
    command = [sys.executable, "-m", "tests.bench.quality", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == page(Saved(LADDER, EVALUATED, batches=3, limit=12))
    assert str(tmp_path) not in done.stdout
