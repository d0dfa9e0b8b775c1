"""The reference backend: transformers' own models on CPU or CUDA, read and written through our passes."""

import json
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from tokenizers.decoders import DecodeStream

from engine import attend, decode, heads, writer
from engine.adapter import Adapter
from engine.format import Fingerprint, MemoryFormat
from engine.loading import LoadedModel
from engine.memory import ExplicitMemory
from engine.prompting import fitted
from engine.protocol import (
    Attention,
    Chunk,
    EngineInfo,
    GenerateOptions,
    KeyedMemory,
    MemoriesFor,
    Message,
    Needed,
    Read,
    Score,
    Token,
    Tokens,
    Trimmed,
)
from engine.sampling import log_probabilities


class TorchEngine:
    """`Engine` over a loaded model. Calls are serialised: one owner of the model at a time.

    transformer: the prepared model, for benchmarks that compare with the stock one.
    """

    def __init__(self, loaded: LoadedModel, fmt: MemoryFormat | None = None) -> None:
        self._loaded = loaded
        self.transformer = loaded.transformer
        self._format = fmt or default_format(loaded.transformer.layers, loaded.adapter)
        adapter = loaded.adapter
        self._heads = (
            None
            if adapter is None
            else heads.chosen(
                adapter.heads, loaded.weights_hash, adapter.hash, self._format, loaded.transformer.heads
            )
        )
        # Not re-entrant by thread: a stream's steps may be taken by different threads.
        self._lock = threading.Lock()
        self._inside = threading.local()  # set while an answer, which holds the lock, asks for memories

    @property
    def info(self) -> EngineInfo:
        return replace(self._loaded.info, heads=None if self._heads is None else self._heads.id)

    @property
    def format(self) -> MemoryFormat:
        return self._format

    @property
    def fingerprint(self) -> Fingerprint:
        return self._loaded.fingerprint(self._format)

    def tokenize(self, text: str) -> Tokens:
        encoded = self.transformer.tokenizer(
            text,
            add_special_tokens=False,
            split_special_tokens=True,  # a document that spells a special token must not get one
            return_offsets_mapping=True,
        )
        return Tokens(list(encoded.input_ids), [(int(a), int(b)) for a, b in encoded.offset_mapping])

    def write(self, references: Sequence[Sequence[int]]) -> list[ExplicitMemory]:
        with nullcontext() if getattr(self._inside, "answer", False) else self._lock:
            return writer.write(self.transformer, self._format, references)

    def generate(
        self, messages: Sequence[Message], memories_for: MemoriesFor | None, options: GenerateOptions
    ) -> Iterator[Token | Read | Trimmed]:
        tokenizer = self.transformer.tokenizer
        stream = DecodeStream(skip_special_tokens=True)
        prompt, dropped = self._prompt(messages, options.max_tokens, memories_for)
        if dropped:
            yield Trimmed(dropped)
        with self._lock:
            session = self._session(prompt, options.max_tokens, memories_for)
            yield from decode.generate(
                session,
                options,
                self._loaded.end_tokens,
                text_of=lambda token: stream.step(tokenizer.backend_tokenizer, token) or "",
                decode=self._text,
            )

    def score(self, messages: Sequence[Message], answer: str, memories_for: MemoriesFor | None) -> Score:
        tokens = self.tokenize(answer).ids
        logits, reads = self.teacher_forced(messages, tokens, memories_for)
        return Score(log_probabilities(logits, tokens), reads)

    def needed(
        self,
        messages: Sequence[Message],
        answer: str,
        memories_for: MemoriesFor,
        groups: Sequence[Collection[int]],
    ) -> Needed:
        tokens = self.tokenize(answer).ids
        prompt, _ = self._prompt(messages, len(tokens), memories_for)
        with self._lock:
            session = self._session(prompt, len(tokens), memories_for)
            return decode.needed(session, tokens, self._text, groups, len(prompt) - 1)

    def teacher_forced(
        self, messages: Sequence[Message], tokens: Sequence[int], memories_for: MemoriesFor | None
    ) -> tuple[npt.NDArray[np.float32], tuple[Read, ...]]:
        """Logits (tokens, vocabulary) of a known answer, and its reads."""
        prompt, _ = self._prompt(messages, len(tokens), memories_for)
        with self._lock:
            session = self._session(prompt, len(tokens), memories_for)
            return decode.teacher_forced(session, tokens, self._text)

    def attend(self, messages: Sequence[Message], memories: Sequence[ExplicitMemory]) -> Attention:
        session, own = self._question(messages)
        with self._lock:
            return attend.attend(session, own, memories)

    def queries(self, messages: Sequence[Message]) -> npt.NDArray[np.float32]:
        session, own = self._question(messages)
        with self._lock:
            return attend.queries(session, own)

    def _question(self, messages: Sequence[Message]) -> tuple[decode.Session, slice]:
        """A session that sees memories if it is given some, and the question's tokens in its prompt."""
        prompt, _ = self._prompt(messages, 0, attend.nothing)
        own = attend.asked(prompt, messages[-1], self._loaded.prompt_ids)
        return self._session(prompt, 0, attend.nothing), own

    def _prompt(
        self, messages: Sequence[Message], answer_tokens: int, memories_for: MemoriesFor | None
    ) -> tuple[list[int], int]:
        start = 0 if memories_for is None else self.transformer.context_start(self._format)
        room = self.transformer.context_tokens - start - answer_tokens
        return fitted(messages, self._loaded.prompt_ids, room)

    def _session(
        self, prompt: Sequence[int], answer_tokens: int, memories_for: MemoriesFor | None
    ) -> decode.Session:
        asked = None if memories_for is None else self._asking(memories_for)
        weights = None if self._heads is None else self._heads.array()
        return decode.Session(self.transformer, self._format, prompt, answer_tokens, asked, weights)

    def _asking(self, memories_for: MemoriesFor) -> MemoriesFor:
        """`memories_for`, during which `write` is part of the answer that holds the lock."""

        def asked(chunk: Chunk) -> Sequence[KeyedMemory]:
            self._inside.answer = True
            try:
                return memories_for(chunk)
            finally:
                self._inside.answer = False

        return asked

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.transformer.tokenizer.decode(list(ids), skip_special_tokens=True))


def default_format(layers: int, adapter: Adapter | None = None) -> MemoryFormat:
    """The adapter's own; without one, the sparsest format that costs a model which never learned to read
    memories at most 5 % of answer NLL. docs/format.md has the measurement.
    """
    if adapter is not None:
        return adapter.format
    return MemoryFormat(
        layers=tuple(range(layers)),
        tokens_per_head=96,
        selection="attention_value_norm",
        temperature=0.85,
        codec="int8",
    )


def format_of(name: str, layers: int, adapter: Adapter | None = None) -> MemoryFormat:
    """A format by name: "default" (see `default_format`), "paper", or JSON fields that change the default.

    Raises ValueError for anything else.
    """
    if name == "default":
        return default_format(layers, adapter)
    if name == "paper":
        return MemoryFormat.paper(layers)
    try:
        return MemoryFormat.from_json({**default_format(layers, adapter).to_json(), **json.loads(name)})
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"memory format {name!r}: give default, paper or a JSON object such as "
            '{"tokens_per_head": 32, "selection": "attention_value_norm"}'
        ) from error
