"""What an answer needed: the log-probability that it loses without each of the passages that it cites.

Measured by the engine on the answer as it was given, its memories read as they were then. Only the answer is
written again without a memory; the question has read it (`engine.protocol.Engine.needed`). A loss of nothing
does not mean that a passage is wrong: another one may have said the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from app.answering.answer import Answer, Citation, SentenceMark, StretchRead
from engine.protocol import Chunk, Engine, KeyedMemory, MemoriesFor, Message, Tokens


def with_needed(
    engine: Engine, messages: Sequence[Message], memories_for: MemoriesFor, answer: Answer
) -> Answer:
    """The same answer with `needed` of its citations and sentences; as it is if it read nothing."""
    groups = [references_of(cited, answer.reads) for cited in answer.citations]
    if answer.abstained or not answer.answer or not any(groups):
        return answer
    found = engine.needed(messages, answer.answer, memories_for, groups)
    lost = (found.log_probabilities[None] - found.without).astype(np.float64)  # (citations, tokens)
    of_token = sentence_of_token(answer.sentences, engine.tokenize(answer.answer))
    cited = [
        replace(each, needed=float(loss.sum())) for each, loss in zip(answer.citations, lost, strict=True)
    ]
    sentences = [
        replace(
            mark, needed=dict(zip((c.n for c in cited), lost[:, of_token == i].sum(1).tolist(), strict=True))
        )
        for i, mark in enumerate(answer.sentences)
    ]
    return replace(answer, citations=cited, sentences=sentences)


def references_of(cited: Citation, reads: Sequence[StretchRead]) -> frozenset[int]:
    """Ids of the references behind a citation, among those that were read."""
    place = (cited.document_id, cited.page, cited.start, cited.end)
    return frozenset(
        memory.reference_id
        for read in reads
        for memory in read.memories
        if (memory.document_id, memory.page, memory.start, memory.end) == place
    )


def sentence_of_token(sentences: Sequence[SentenceMark], tokens: Tokens) -> npt.NDArray[np.intp]:
    """Number of the sentence that each token ends in; -1 for none."""
    found = [
        next((i for i, mark in enumerate(sentences) if mark.start < max(end, 1) <= mark.end), -1)
        for _, end in tokens.offsets
    ]
    return np.array(found, dtype=np.intp)


def as_read(
    reads: Sequence[StretchRead],
    memories: Callable[[Sequence[int]], list[KeyedMemory]],
    prompt: MemoriesFor | None,
) -> MemoriesFor:
    """What an answer read, again. memories: by reference ids. prompt: for the chunks of a long question; a
    short one has read what the answer's first stretch read.
    """
    stretches = [
        [each.reference_id for each in sorted(read.memories, key=lambda memory: -memory.retrieval_score)]
        for read in reads
    ]
    later = iter(stretches[1:])

    def memories_for(chunk: Chunk) -> Sequence[KeyedMemory]:
        if chunk.part == "prompt":
            return memories(stretches[0]) if prompt is None else prompt(chunk)
        return memories(next(later, stretches[-1]))

    return memories_for
