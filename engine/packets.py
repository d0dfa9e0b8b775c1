"""Values of `engine.protocol` as a frame's fields and arrays, and back.

What arrives came from another process: whatever is missing, of another type or of another shape raises
FrameInvalid, never anything else.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from engine import errors
from engine.errors import EngineError, FrameInvalid
from engine.format import Fingerprint, MemoryFormat
from engine.memory import ExplicitMemory
from engine.protocol import (
    Attention,
    EngineInfo,
    GenerateOptions,
    KeyedMemory,
    MemoryMass,
    Message,
    Needed,
    Read,
    Score,
    TokenMass,
    Tokens,
)
from engine.wire import Frame

Fields = dict[str, Any]
Packed = dict[str, npt.NDArray[Any]]


@contextmanager
def reading() -> Iterator[None]:
    """Whatever goes wrong while a frame is taken apart is the frame's fault."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, EngineError) as error:
        if isinstance(error, FrameInvalid):
            raise
        raise FrameInvalid(
            f"a message could not be understood ({type(error).__name__}); the connection is closed"
        ) from error


def error_out(error: Exception) -> Fields:
    """Ours by name and message; any other by its type only, since its message may quote a document."""
    if isinstance(error, EngineError):
        return {"name": type(error).__name__, "message": str(error)}
    return {"name": "EngineError", "message": f"the engine failed ({type(error).__name__}); ask again"}


def error_in(frame: Frame) -> EngineError:
    """Of the same class, if it is one of ours."""
    kind: object = vars(errors).get(str(frame.fields.get("name")))
    message = str(frame.fields.get("message"))
    if isinstance(kind, type) and issubclass(kind, EngineError):
        return kind(message)
    return EngineError(message)


def engine_out(info: EngineInfo, fmt: MemoryFormat, fingerprint: Fingerprint) -> Fields:
    """`fingerprint` goes with its own format in full: its JSON leaves out what is not stored."""
    whole = {**fingerprint.to_json(), "format": fingerprint.format.to_json()}
    return {"info": asdict(info), "format": fmt.to_json(), "fingerprint": whole}


def engine_in(fields: Mapping[str, Any]) -> tuple[EngineInfo, MemoryFormat, Fingerprint]:
    with reading():
        named = dict(fields["fingerprint"])
        named |= {"prefix": tuple(named["prefix"]), "format": MemoryFormat.from_json(named["format"])}
        info = dict(fields["info"])
        info["recall"] = tuple((int(layer), int(head)) for layer, head in info["recall"])
        return EngineInfo(**info), MemoryFormat.from_json(fields["format"]), Fingerprint(**named)


def tokens_out(tokens: Tokens) -> Packed:
    offsets = np.array(tokens.offsets, dtype=np.int64).reshape(-1, 2)
    return {"ids": np.array(tokens.ids, dtype=np.int64), "offsets": offsets}


def tokens_in(frame: Frame) -> Tokens:
    with reading():
        return Tokens(frame.arrays["ids"].tolist(), [(a, b) for a, b in frame.arrays["offsets"].tolist()])


def references_out(references: Sequence[Sequence[int]]) -> Packed:
    return {
        "ids": np.array([token for each in references for token in each], dtype=np.int64),
        "lengths": np.array([len(each) for each in references], dtype=np.int64),
    }


def references_in(frame: Frame) -> list[list[int]]:
    with reading():
        ids, lengths = frame.arrays["ids"].tolist(), frame.arrays["lengths"].tolist()
        if any(length < 0 for length in lengths) or sum(lengths) != len(ids):
            raise FrameInvalid("references whose lengths do not add up; the connection is closed")
        rest = iter(ids)
        return [[int(next(rest)) for _ in range(length)] for length in lengths]


def memories_out(memories: Sequence[ExplicitMemory]) -> Packed:
    return {
        f"{i}.{name}": array
        for i, memory in enumerate(memories)
        for name, array in memory.to_arrays().items()
    }


def memories_in(frame: Frame, count: int) -> list[ExplicitMemory]:
    parts: list[Packed] = [{} for _ in range(count)]
    with reading():
        for key, array in frame.arrays.items():
            index, _, name = key.partition(".")
            parts[int(index)][name] = array
        return [ExplicitMemory.from_arrays(part) for part in parts]


def keyed_out(keyed: Sequence[KeyedMemory]) -> tuple[Fields, Packed]:
    return {"keys": [int(each.key) for each in keyed]}, memories_out([each.memory for each in keyed])


def keyed_in(frame: Frame) -> list[KeyedMemory]:
    with reading():
        keys = [int(key) for key in frame.fields["keys"]]
        return [KeyedMemory(*pair) for pair in zip(keys, memories_in(frame, len(keys)), strict=True)]


def messages_out(messages: Sequence[Message]) -> list[list[str]]:
    return [[message.role, message.content] for message in messages]


def messages_in(fields: Mapping[str, Any]) -> list[Message]:
    with reading():
        messages = [Message(role, content) for role, content in fields["messages"]]
        if any(
            each.role not in ("system", "user", "assistant") or type(each.content) is not str
            for each in messages
        ):
            raise FrameInvalid("a message of nobody, or without text; the connection is closed")
        return messages


def options_out(options: GenerateOptions) -> Fields:
    """All but `stop`, which is a message of its own."""
    return {name: value for name, value in vars(options).items() if name != "stop"}


def options_in(fields: Mapping[str, Any], client: str) -> GenerateOptions:
    """`client` names the other process; its own clients are told apart within it."""
    with reading():
        given = dict(fields["options"])
        for name, default in options_out(GenerateOptions()).items():
            wanted = (int, float) if type(default) is float else (type(default),)
            if name in given and type(given[name]) not in wanted:
                raise FrameInvalid(f"option {name} has another type; the connection is closed")
        return GenerateOptions(**{**given, "client": f"{client}/{given.get('client', '')}"})


def read_out(read: Read, at: str = "") -> tuple[Fields, Packed]:
    """Arrays are named `at` + number of the memory for (2, length), plain and weighted, with ".heads" behind
    for (layers, query heads), and `at` + "each" for (tokens, 2 x memories + 3).
    """
    fields = {
        name: getattr(read, name) for name in ("from_token", "to_token", "question", "answer", "prefix")
    }
    fields |= {"keys": [int(each.key) for each in read.memories]}
    fields |= {"masses": [[float(each.attention), float(each.weighted)] for each in read.memories]}
    rows = [
        [*each.memories, each.question, each.answer, each.prefix, *each.weighted] for each in read.per_token
    ]
    packed: Packed = {}
    for i, each in enumerate(read.memories):
        packed[f"{at}{i}"] = np.stack([each.tokens, each.weighted_tokens])
        packed[f"{at}{i}.heads"] = each.heads
    packed[f"{at}each"] = np.array(rows, dtype=np.float64).reshape(len(rows), 2 * len(read.memories) + 3)
    return fields, packed


def read_in(fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], at: str = "") -> Read:
    with reading():
        memories = []
        for i, (key, mass) in enumerate(zip(fields["keys"], fields["masses"], strict=True)):
            (attention, weighted), (tokens, weighted_tokens) = mass, arrays[f"{at}{i}"]
            heads = arrays[f"{at}{i}.heads"]
            memories.append(
                MemoryMass(int(key), float(attention), tokens, heads, float(weighted), weighted_tokens)
            )
        per_token = tuple(_token_in(row, len(memories)) for row in arrays[f"{at}each"].tolist())
        question, answer, prefix = (float(fields[name]) for name in ("question", "answer", "prefix"))
        first, last = int(fields["from_token"]), int(fields["to_token"])
        return Read(first, last, tuple(memories), question, answer, prefix, per_token)


def _token_in(row: Sequence[float], memories: int) -> TokenMass:
    question, answer, prefix = row[memories : memories + 3]
    return TokenMass(tuple(row[:memories]), question, answer, prefix, tuple(row[memories + 3 :]))


def attention_out(attention: Attention) -> Packed:
    return {"question": attention.question, "last": attention.last}


def attention_in(frame: Frame, memories: int) -> Attention:
    with reading():
        attention = Attention(frame.arrays["question"], frame.arrays["last"])
        if attention.question.shape != attention.last.shape or len(attention.last) != memories:
            raise FrameInvalid("attention of another shape; the connection is closed")
        return attention


def queries_in(frame: Frame) -> npt.NDArray[np.float32]:
    with reading():
        queries = frame.arrays["queries"]
        if queries.ndim != 4:
            raise FrameInvalid("queries of another shape; the connection is closed")
        return queries


def score_out(score: Score) -> tuple[Fields, Packed]:
    packed: Packed = {"log_probabilities": score.log_probabilities}
    reads = []
    for i, read in enumerate(score.reads):
        fields, arrays = read_out(read, f"{i}.")
        reads.append(fields)
        packed |= arrays
    return {"reads": reads}, packed


def score_in(frame: Frame) -> Score:
    with reading():
        reads = [read_in(fields, frame.arrays, f"{i}.") for i, fields in enumerate(frame.fields["reads"])]
        return Score(frame.arrays["log_probabilities"], tuple(reads))


def groups_in(fields: Mapping[str, Any]) -> list[list[int]]:
    with reading():
        return [[int(key) for key in group] for group in fields["groups"]]


def needed_out(needed: Needed) -> Packed:
    return {"with": needed.log_probabilities, "without": needed.without}


def needed_in(frame: Frame) -> Needed:
    with reading():
        whole, without = frame.arrays["with"], frame.arrays["without"]
        if without.shape[1:] != whole.shape:
            raise FrameInvalid("log-probabilities of another answer; the connection is closed")
        return Needed(whole, without)
