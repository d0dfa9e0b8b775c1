"""What a question looks for, before it is answered: for choosing which memories it should read.

`attend` reads the prompt once; every token of it sees all the memories side by side. The mass that the
question puts on each of them, by layer and head, says where the model would look (attention re-ranking; of
texts, arXiv 2410.02642). `queries` are the question's own, without any memory: to be held against the
stored keys of any number of memories (internal retrieval; Memory^3, arXiv 2407.01178, remark 2).
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from engine.decode import Session
from engine.format import REFERENCE_TOKENS
from engine.memory import ExplicitMemory
from engine.protocol import Attention, Chunk, KeyedMemory, Message
from engine.reader import ReadPass, Recorder, load


def asked(prompt: Sequence[int], question: Message, ids: Callable[[Sequence[Message]], list[int]]) -> slice:
    """Which tokens of a prompt that ends with `question` are its own: those that an empty one has not."""
    whole, empty = ids([question]), ids([Message(question.role, "")])
    shorter = min(len(whole), len(empty))
    before = next((i for i in range(shorter) if whole[i] != empty[i]), shorter)
    rest = shorter - before
    behind = next((i for i in range(rest) if whole[-1 - i] != empty[-1 - i]), rest)
    return slice(len(prompt) - (len(whole) - before), len(prompt) - behind)


def nothing(_: Chunk) -> tuple[KeyedMemory, ...]:
    """`MemoriesFor` of a prompt that has the prefix before it, as if it would read."""
    return ()


def attend(session: Session, own: slice, memories: Sequence[ExplicitMemory]) -> Attention:
    """own: the question's tokens in the session's prompt."""
    transformer, fmt = session.transformer, session.format
    block = load(transformer, fmt, memories, [0] * len(memories))
    recorder = _ByMemory()
    _read(session, ReadPass(transformer, fmt, _positions(session), block, recorder=recorder))
    mass = torch.stack(recorder.layers).permute(3, 0, 1, 2).cpu().numpy()  # (memories, layers, heads, T)
    return Attention(mass[..., own].mean(axis=-1), mass[..., -1])


def queries(session: Session, own: slice) -> npt.NDArray[np.float32]:
    """(memory layers, query heads, tokens, D), before rotation; the prompt's last token comes last."""
    looking = _Looking(session.transformer, session.format, _positions(session), None)
    _read(session, looking)
    found = torch.stack([looking.found[layer] for layer in session.format.layers])
    rows = [*range(*own.indices(len(session.prompt))), len(session.prompt) - 1]
    return found[:, :, rows].float().cpu().numpy()


def _positions(session: Session) -> torch.Tensor:
    first = session.start
    return torch.arange(first, first + len(session.prompt), device=session.transformer.device)


def _read(session: Session, attest: ReadPass) -> None:
    ids = torch.tensor([session.prompt], device=session.transformer.device)
    session.transformer.hidden(ids, _positions(session), attest, session.cache)


class _ByMemory(Recorder):
    """Mass of every token on every memory, apart for layers and heads."""

    def __init__(self) -> None:
        super().__init__(slice(None))
        self.layers: list[torch.Tensor] = []  # (query heads, T, memories)

    def add(self, weights: torch.Tensor, tokens: torch.Tensor | None, slots: int) -> None:
        assert tokens is not None
        mass = weights[..., : tokens.shape[1]].flatten(0, 1)
        whose = tokens[0] // REFERENCE_TOKENS  # a memory has the same columns in every head
        self.layers.append(mass.new_zeros(*mass.shape[:2], slots).index_add_(2, whose, mass))


class _Looking(ReadPass):
    """Keeps the queries of each layer on their way."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.found: dict[int, torch.Tensor] = {}

    def attend(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        self.found[layer] = queries[0]
        return super().attend(layer, queries, keys, values, scaling)
