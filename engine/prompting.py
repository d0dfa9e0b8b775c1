"""A conversation made fit for a model: special tokens in it broken up, its oldest turns dropped."""

from collections.abc import Callable, Sequence

from engine.errors import ContextOverflow
from engine.protocol import Message


def turns(messages: Sequence[Message], special_tokens: Sequence[str]) -> list[dict[str, str]]:
    """The conversation as chat templates take it."""
    return [{"role": m.role, "content": plain(m.content, special_tokens)} for m in messages]


def untemplated(conversation: Sequence[dict[str, str]]) -> str:
    """The conversation for a model without a chat template."""
    return "\n\n".join(turn["content"] for turn in conversation) + "\n\n"


def plain(text: str, special_tokens: Sequence[str]) -> str:
    """`text` with special tokens that it spells out broken up: a document must not end its own turn."""
    for token in special_tokens:
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def fitted(
    messages: Sequence[Message], ids: Callable[[Sequence[Message]], list[int]], room: int
) -> tuple[list[int], int]:
    """Token ids of the conversation, and how many of its oldest messages were dropped so that it fits.

    System messages and the last message stay. room: tokens that the prompt may take.
    Raises ContextOverflow if the question alone is too long.
    """
    kept, dropped = list(messages), 0
    while True:
        prompt = ids(kept)
        if len(prompt) <= room:
            return prompt, dropped
        oldest = next((i for i, m in enumerate(kept[:-1]) if m.role != "system"), None)
        if oldest is None:
            raise ContextOverflow(
                f"the question takes {len(prompt)} tokens and {max(room, 0)} fit this model beside the "
                "answer: shorten the question, or ask for a shorter answer"
            )
        end = oldest + 1
        while end < len(kept) - 1 and kept[end].role == "assistant":  # an answer goes with its question
            end += 1
        dropped += end - oldest
        del kept[oldest:end]
