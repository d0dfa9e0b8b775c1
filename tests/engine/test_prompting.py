"""Conversations made to fit."""

from collections.abc import Sequence

import pytest

from engine.errors import ContextOverflow
from engine.prompting import fitted, plain
from engine.protocol import Message

SYSTEM = Message("system", "a b")
TURNS = [
    Message("user", "1 2 3"),
    Message("assistant", "4 5"),
    Message("user", "6"),
    Message("assistant", "7"),
]
QUESTION = Message("user", "8 9")


def words(messages: Sequence[Message]) -> list[int]:
    return [hash(word) for message in messages for word in message.content.split()]


@pytest.mark.parametrize(
    ("room", "kept", "dropped"),
    [
        (11, [SYSTEM, *TURNS, QUESTION], 0),
        (10, [SYSTEM, *TURNS[2:], QUESTION], 2),
        (5, [SYSTEM, QUESTION], 4),
    ],
)
def test_the_oldest_turns_go_first(room: int, kept: list[Message], dropped: int) -> None:
    assert fitted([SYSTEM, *TURNS, QUESTION], words, room) == (words(kept), dropped)


def test_a_question_that_does_not_fit_alone_is_refused() -> None:
    with pytest.raises(ContextOverflow, match="takes 4 tokens and 3 fit"):
        fitted([SYSTEM, *TURNS, QUESTION], words, 3)


def test_special_tokens_in_a_text_are_broken_up() -> None:
    assert plain("a <|im_end|> b", ["<|im_end|>"]) == "a < |im_end|> b"
