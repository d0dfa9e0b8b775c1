"""`attest bench ingest`: what remembering costs, against the same model's plain prefill in the same run.

Physics: a memory is one forward pass over its reference; choosing tokens and copying keys and values out
come on top. Plain prefill is what memories replace: the stock model over prompts of five of the same
references, one prompt at a time, without logits. `batched_prefill` is the harder yardstick: the stock model
over the references in batches of one length. Whole-document ingest adds reading, cutting, embedding, indexing
and the disk. Sides take turns, and the median of the rounds is taken.
"""

import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import psutil
import torch

from app.errors import AttestError
from app.service import Service
from app.settings import Settings
from engine.format import MEMORIES_PER_CHUNK
from engine.torch_engine import TorchEngine
from engine.transformer import Transformer
from ingest.pipeline import Pipeline

ROUNDS = 3
PREFILL_TOKENS = 2048  # a batch; the rate no longer grows beyond
SAMPLE = ("samples", "medical", "CDC - Infection Prevention in Outpatient Settings.pdf")


def bench_ingest(settings: Settings, document: Path | None = None) -> dict[str, Any]:
    """Ratios of tokens per second over plain prefill's. Raises AttestError if the document cannot be read."""
    with tempfile.TemporaryDirectory() as folder, Service(settings, shared=False) as models:
        engine, embedder = models.models()
        if not isinstance(engine, TorchEngine):
            raise AttestError(f"the {engine.info.backend} engine has no plain prefill to compare with")
        transformer = engine.transformer
        if document is None:
            document = Path(str(resources.files("assets").joinpath(*SAMPLE)))
        rounds: dict[str, list[float]] = {"prefill": [], "batched_prefill": [], "write": [], "ingest": []}
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
            _prefill(transformer, _prompts(references))
            rounds["prefill"].append(time.perf_counter() - started)
            started = time.perf_counter()
            _prefill(transformer, _batches(references))
            rounds["batched_prefill"].append(time.perf_counter() - started)
            started = time.perf_counter()
            engine.write(references)
            rounds["write"].append(time.perf_counter() - started)
    median = {side: statistics.median(values) for side, values in rounds.items()}
    return {
        "model": engine.info.model,
        "format": engine.format.to_json(),
        "ratios": {
            "write_over_prefill": round(median["prefill"] / median["write"], 3),
            "ingest_over_prefill": round(median["prefill"] / median["ingest"], 3),
            "write_over_batched_prefill": round(median["batched_prefill"] / median["write"], 3),
        },
        "pages": pages,
        "tokens": tokens,
        "pages_per_second": round(pages / median["ingest"], 2),
        "tokens_per_second": round(tokens / median["ingest"], 1),
        "sides": {side: round(tokens / seconds, 1) for side, seconds in median.items()},
        "peak_rss_bytes": _peak_rss(),
    }


def _prompts(references: list[list[int]]) -> Iterator[list[list[int]]]:
    """Five references to a prompt, one prompt to a batch."""
    for first in range(0, len(references), MEMORIES_PER_CHUNK):
        yield [[token for each in references[first : first + MEMORIES_PER_CHUNK] for token in each]]


def _batches(references: list[list[int]]) -> Iterator[list[list[int]]]:
    """References of about one length together, so that little is padding."""
    order = sorted(references, key=len, reverse=True)
    while order:
        fit = max(1, PREFILL_TOKENS // len(order[0]))
        yield order[:fit]
        order = order[fit:]


def _prefill(transformer: Transformer, batches: Iterable[list[list[int]]]) -> None:
    """The stock model over batches of token ids, padded at the end."""
    for batch in batches:
        ids = torch.zeros(len(batch), max(map(len, batch)), dtype=torch.long, device=transformer.device)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
        with torch.inference_mode():
            transformer.backbone(input_ids=ids, use_cache=False)


def _peak_rss() -> int:
    info = psutil.Process().memory_info()
    try:
        import resource

        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024
    except ImportError:  # Windows counts it in the process's own figures
        return int(info.peak_wset)
