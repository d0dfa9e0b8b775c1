"""What a question looks for is the same in both backends, and what the attention itself computes."""

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

from engine.protocol import KeyedMemory, Message
from tests.engine.llama.conftest import MESSAGES, Pair, memory_format

QUESTION = [MESSAGES[0], Message("user", "What is the state of the band in the town?")]


@pytest.mark.parametrize("positions", ["parallel", "serial"])
def test_attention_on_candidates(
    pair: Pair, references: Callable[..., list[list[int]]], positions: str
) -> None:
    fmt = memory_format(positions=positions)
    torch_engine, llama = pair.torch(fmt), pair.llama(fmt)
    memories = torch_engine.write(references(40, 128, 7, 90, 66, 31, 128, 12))
    expected, found = torch_engine.attend(QUESTION, memories), llama.attend(QUESTION, memories)
    assert found.question.shape == (8, 4, pair.model.heads)
    np.testing.assert_allclose(found.question, expected.question, atol=2e-3)
    np.testing.assert_allclose(found.last, expected.last, atol=2e-3)
    assert expected.question.max() > 0.01


def test_queries(pair: Pair) -> None:
    fmt = memory_format()
    expected, found = pair.torch(fmt).queries(QUESTION), pair.llama(fmt).queries(QUESTION)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=0.02 * float(np.abs(expected).max()))


def test_a_long_prompt_is_read_in_parts(llama_pair: Pair, references: Callable[..., list[list[int]]]) -> None:
    fmt = memory_format()
    torch_engine, llama = llama_pair.torch(fmt), llama_pair.llama(fmt)
    memories = torch_engine.write(references(40, 128))
    long = [*QUESTION[:1], Message("user", "What is the state of the band in the town? " * 60)]
    expected, found = torch_engine.attend(long, memories), llama.attend(long, memories)
    np.testing.assert_allclose(found.question, expected.question, atol=2e-3)


def test_attention_is_that_of_an_answer(llama_pair: Pair, references: Callable[..., list[list[int]]]) -> None:
    """The last token's mass, averaged, is what the first token of an answer reports of the same memories."""
    fmt = memory_format()
    engine = llama_pair.torch(fmt)
    memories = engine.write(references(40, 128, 7))
    keyed = [KeyedMemory(key, memory) for key, memory in enumerate(memories)]
    read = engine.score(QUESTION, "town", lambda chunk: keyed).reads[0]
    found = engine.attend(QUESTION, memories)
    expected = read.per_token[0].memories
    np.testing.assert_allclose(found.last.mean(axis=(1, 2)), expected, atol=1e-5)
