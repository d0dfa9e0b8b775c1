"""`attest bench ingest`: what remembering costs, against the same model's plain prefill in the same run.

Physics: a memory is one forward pass over its reference, so writing can at best run at the speed of plain
prefill (the stock model over the same tokens in the same batches, without logits); choosing tokens, copying
keys and values out and putting them on disk come on top. Whole-document ingest adds reading, cutting,
embedding and indexing. Sides take turns, and the median of the rounds is taken.
"""

import statistics
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

import psutil
import torch

from app.service import Service
from app.settings import Settings
from engine.transformer import Transformer
from ingest.pipeline import Pipeline

ROUNDS = 3
PREFILL_TOKENS = 2048  # a batch; the rate no longer grows beyond
SAMPLE = ("samples", "medical", "CDC - Infection Prevention in Outpatient Settings.pdf")


def bench_ingest(settings: Settings, document: Path | None = None) -> dict[str, Any]:
    """Ratios of tokens per second over plain prefill's. Raises AttestError if the document cannot be read."""
    with tempfile.TemporaryDirectory() as folder, Service(settings) as models:
        engine, embedder = models.models()
        if document is None:
            document = Path(str(resources.files("assets").joinpath(*SAMPLE)))
        rounds: dict[str, list[float]] = {"prefill": [], "write": [], "ingest": []}
        pages = tokens = 0
        for number in range(ROUNDS):
            home = Path(folder) / str(number)
            with Service(Settings(home=home, model="fake")) as service:
                service.add_documents([document], "bench", "general")
                pipeline = Pipeline(service.store, engine, embedder, "bench")
                started = time.perf_counter()
                while job := service.store.jobs.claim("bench"):
                    pipeline.run(job)
                rounds["ingest"].append(time.perf_counter() - started)
                row = service.store.documents.list()[0]
                ids = service.store.references.of_document(row.id)
                references = [r.token_ids.tolist() for r in service.store.references.get(ids)]
            pages, tokens = row.page_count or 0, sum(map(len, references))
            started = time.perf_counter()
            _prefill(engine._transformer, references)  # type: ignore[attr-defined]
            rounds["prefill"].append(time.perf_counter() - started)
            started = time.perf_counter()
            for first in range(0, len(references), 64):
                engine.write(references[first : first + 64])
            rounds["write"].append(time.perf_counter() - started)
    median = {side: statistics.median(values) for side, values in rounds.items()}
    return {
        "model": engine.info.model,
        "format": engine.format.to_json(),
        "ratios": {
            "write_over_prefill": round(median["prefill"] / median["write"], 3),
            "ingest_over_prefill": round(median["prefill"] / median["ingest"], 3),
        },
        "pages": pages,
        "tokens": tokens,
        "pages_per_second": round(pages / median["ingest"], 2),
        "tokens_per_second": round(tokens / median["ingest"], 1),
        "sides": {side: round(tokens / seconds, 1) for side, seconds in median.items()},
        "peak_rss_bytes": _peak_rss(),
    }


def _prefill(transformer: Transformer, references: list[list[int]]) -> None:
    """The stock model over the same references, those of one length together so that little is padding."""
    order = sorted(references, key=len, reverse=True)
    while order:
        longest = len(order[0])
        batch, order = order[: PREFILL_TOKENS // longest], order[PREFILL_TOKENS // longest :]
        ids = torch.zeros(len(batch), longest, dtype=torch.long, device=transformer.device)
        for row, reference in enumerate(batch):
            ids[row, : len(reference)] = torch.tensor(reference)
        with torch.inference_mode():
            transformer.backbone(input_ids=ids, use_cache=False)


def _peak_rss() -> int:
    info = psutil.Process().memory_info()
    try:
        import resource

        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024
    except ImportError:  # Windows counts it in the process's own figures
        return int(info.peak_wset)
