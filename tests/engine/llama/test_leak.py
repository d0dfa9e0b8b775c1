"""Answers of the real model leave no memory behind in the process."""

from pathlib import Path

import psutil
import pytest

from engine.opening import open_engine
from engine.protocol import GenerateOptions, KeyedMemory, Message
from engine.registry import DEFAULT_MODEL

ANSWERS, SETTLED = 50, 10


@pytest.mark.slow
def test_fifty_answers_grow_the_process_by_less_than_20_mb(model_cache: Path) -> None:
    """Each answer runs past a swap, and reads other memories than the last one did."""
    engine = open_engine(DEFAULT_MODEL, backend="llamacpp", cache=model_cache)
    texts = [f"Invoice {n} of May is paid within {n + 10} days. " * 8 for n in range(20)]
    written = engine.write([engine.tokenize(text).ids[:120] for text in texts])
    memories = [KeyedMemory(n, memory) for n, memory in enumerate(written)]

    def answer(number: int) -> None:
        question = [Message("user", "When is the invoice paid?")]
        groups = [memories[first : first + 5] for first in range(0, len(memories), 5)]
        options = GenerateOptions(80, min_tokens=80)
        list(engine.generate(question, lambda chunk: groups[(number + chunk.index) % 4], options))

    for number in range(SETTLED):
        answer(number)
    process = psutil.Process()
    before = process.memory_info().rss
    for number in range(ANSWERS):
        answer(number)
    assert process.memory_info().rss - before < 20e6
