"""The llama.cpp backend: a quantised GGUF model that reads explicit memories on an ordinary processor.

Answers share one context (`engine.llama.batching`), hot memories stay in its cache (`residents`), and reads
come from a second pass over the finished answer (`attending`). Memories are canonical: those that torch
wrote from the same file are read here, and the other way round.
"""

import codecs
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import psutil

from engine import heads
from engine.adapter import Adapter
from engine.attend import asked, nothing
from engine.errors import ModelUnsupported
from engine.format import CHUNK_TOKENS, MEMORIES_PER_CHUNK, PREFIX_TEXT, Fingerprint, MemoryFormat
from engine.llama import probe
from engine.llama.answering import Answer, Places
from engine.llama.attending import Attending
from engine.llama.batching import Batcher
from engine.llama.context import Context, Run
from engine.llama.looking import Looking
from engine.llama.model import LlamaModel
from engine.llama.placing import Placing
from engine.llama.residents import Residents
from engine.llama.walk import Segment, ask, prompt_segments
from engine.llama.writing import Writing
from engine.memory import ExplicitMemory
from engine.prompting import fitted, turns, untemplated
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
from engine.sampling import Sampler, log_probabilities
from engine.writer import checked_lengths

PARALLEL = 4  # answers at once
READY = 32  # memories kept in RAM as the cache takes them
CONTEXT_TOKENS = 8192  # of all answers together; longer contexts cost memory that laptops lack

# None where it turns out that it cannot
Writer = Callable[[Sequence[Sequence[int]]], list[ExplicitMemory] | None]


@dataclass(frozen=True)
class Sizes:
    """Answers at once, memories kept ready in RAM, tokens of all answers together, threads (0: choose)."""

    parallel: int = PARALLEL
    ready: int = READY
    context_tokens: int = CONTEXT_TOKENS
    threads: int = 0


class LlamaEngine:
    """`Engine` over a GGUF model. Safe to share between threads.

    weights_hash: of the file without the adapter, which is in the model already (engine.llama.merging).
    writer: writes memories from the same weights faster than llama.cpp does (the torch reference); without
    one llama.cpp writes them. name: what the model is called. Raises BackendUnavailable; a model that
    cannot read memories loads, and refuses them when they are used (`info.refusal` says why).
    """

    def __init__(
        self,
        model: LlamaModel,
        fmt: MemoryFormat,
        weights_hash: str,
        *,
        adapter: Adapter | None = None,
        name: str | None = None,
        writer: Writer | None = None,
        sizes: Sizes | None = None,
    ) -> None:
        sizes = sizes or Sizes()
        self._model, self._format, self._weights_hash, self._writer = model, fmt, weights_hash, writer
        self._adapter, self._name = adapter, name or model.path.stem
        threads = sizes.threads or _cores()
        self._parallel, self._threads = sizes.parallel, threads
        self._context_tokens = min(model.context_tokens, sizes.context_tokens)
        cells = self._context_tokens + 256
        residents = 2 * MEMORIES_PER_CHUNK * sizes.parallel  # while one set goes and the next one comes
        cells += residents * fmt.tokens_per_head
        sequences = 1 + sizes.parallel + residents
        # on a processor flash attention is the slower one when memories are read (docs/log.md)
        self._context = Context(model, cells, sequences, threads=threads, flash=model.offloaded)
        self._batcher = Batcher(self._context)
        self._places = Places(range(1, 1 + sizes.parallel), self._context_tokens)
        self._prefix = ([] if model.bos is None else [model.bos]) + model.tokenize(PREFIX_TEXT, special=False)
        self._refusal = self._refused()
        self._placing: Placing | None = None
        prefix_state = None
        if self._refusal is None:
            try:
                frequencies = probe.prove(model, self._context)
            except ModelUnsupported as error:
                self._refusal = str(error)
            else:
                self._placing = Placing(
                    fmt,
                    len(self._prefix),
                    model.layers,
                    model.kv_heads,
                    frequencies,
                    interleaved=model.interleaved,
                )
                self._context.run([Run(0, 0, self._prefix)])
                prefix_state = self._placing.prefix_state(self._context.get(0))
                self._context.put(0, prefix_state)
                own = range(1 + sizes.parallel, sequences)
                self._residents = Residents(self._placing, self._context.layout, own, sizes.ready)
        self._heads = (
            None
            if adapter is None
            else heads.chosen(adapter.heads, weights_hash, adapter.hash, fmt, model.heads)
        )
        weights = None if self._heads is None else self._heads.array()
        self._attending = Attending(
            model, self._placing, prefix_state, threads, self._batcher.exclusive, weights
        )
        self._attention_lock = threading.Lock()
        self._prefix_state = prefix_state
        self._looker: Looking | None = None
        self._looking_lock = threading.Lock()
        self._writing: Writing | None = None
        self._write_lock = threading.Lock()
        self._readers = 0  # answers that read memories now

    def close(self) -> None:
        self._context.close()

    def _refused(self) -> str | None:
        if self._model.refusal is not None:
            return self._model.refusal
        if self._format.layers != tuple(range(self._model.layers)):
            return (
                f"llama.cpp masks all layers alike, so it reads formats of all {self._model.layers} layers "
                f"only, not of {len(self._format.layers)}; choose --backend torch for this format"
            )
        return None

    @property
    def info(self) -> EngineInfo:
        where = "the graphics processor" if self._model.offloaded else f"{self._threads} threads"
        return EngineInfo(
            backend="llamacpp",
            model=self._name,
            adapter=None if self._adapter is None else self._adapter.name,
            quantisation=self._model.quantisation,
            device="gpu" if self._model.offloaded else "cpu",
            device_reason=f"llama.cpp reads GGUF files as they are; it runs on {where}",
            layers=self._model.layers,
            context_tokens=self._context_tokens,
            parallel=self._parallel,
            refusal=self._refusal,
            heads=None if self._heads is None else self._heads.id,
            recall=() if self._adapter is None else self._adapter.recall,
        )

    @property
    def format(self) -> MemoryFormat:
        return self._format

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint(
            weights=self._weights_hash,
            adapter="" if self._adapter is None else self._adapter.hash,
            tokenizer=self._weights_hash,  # a GGUF file holds both
            quantisation="gguf",
            prefix=tuple(self._prefix),
            rope=self._model.rope,
            format=self._format,
        )

    @property
    def bytes_moved(self) -> int:
        """Bytes of keys and values put into the cache so far; resident memories move none."""
        return 0 if self._placing is None else self._residents.bytes_moved

    def forget_residents(self) -> None:
        """Give up the memories that lie in the cache, so that the next use moves them again."""
        if self._placing is not None:
            with self._batcher.exclusive() as context:
                self._residents.clear(context)

    def tokenize(self, text: str) -> Tokens:
        ids = self._model.tokenize(text, special=False)
        return Tokens(ids, self._model.offsets(text, ids))

    # -- writing

    def write(self, references: Sequence[Sequence[int]]) -> list[ExplicitMemory]:
        placing = self._readable()
        checked_lengths(references)
        written = None if self._writer is None else self._writer(references)
        if written is not None:
            return written
        with self._write_lock:
            if self._writing is None:
                self._writing = Writing(self._model, placing, self._prefix, self._threads)
            memories = []
            for reference in references:
                with self._batcher.exclusive():
                    memories.append(self._writing.write(self._format, reference))
            return memories

    def _readable(self) -> Placing:
        if self._placing is None:
            raise ModelUnsupported(str(self._refusal))
        return self._placing

    # -- answering

    def generate(
        self, messages: Sequence[Message], memories_for: MemoriesFor | None, options: GenerateOptions
    ) -> Iterator[Token | Read | Trimmed]:
        prompt, dropped = self._prompt(messages, memories_for, options.max_tokens)
        if dropped:
            yield Trimmed(dropped)
        segments = prompt_segments(prompt, memories_for, self._model.text)
        stretches = [segments[-1].memories]
        generated: list[int] = []
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        sampler = Sampler(options, self._model.end_tokens)
        with self._answer(len(prompt) + options.max_tokens, memories_for is not None) as answer:
            logits = answer.feed_prompt(segments, options.stop)
            with self._batcher.decoding():
                while logits is not None and not options.stop.is_set():
                    token = sampler.pick(logits, generated)
                    if token in self._model.end_tokens:
                        break
                    generated.append(token)
                    yield Token(token, decoder.decode(self._model.piece(token)))
                    if len(generated) >= options.max_tokens:
                        break
                    if memories_for is not None and len(generated) % CHUNK_TOKENS == 0:
                        with self._batcher.away():
                            stretches.append(self._ask(memories_for, len(prompt), generated))
                        answer.read(stretches[-1])
                    logits = answer.feed([token])
        if generated and memories_for is not None:
            count = -(-len(generated) // CHUNK_TOKENS)
            yield from self._attend(segments, generated, stretches[:count], plain=False)[1]

    def score(self, messages: Sequence[Message], answer: str, memories_for: MemoriesFor | None) -> Score:
        tokens = self._model.tokenize(answer, special=False)
        logits, reads = self.teacher_forced(messages, tokens, memories_for)
        return Score(log_probabilities(logits, tokens), reads)

    def teacher_forced(
        self, messages: Sequence[Message], tokens: Sequence[int], memories_for: MemoriesFor | None
    ) -> tuple[npt.NDArray[np.float32], tuple[Read, ...]]:
        """Logits (tokens, vocabulary) of a known answer, and its reads."""
        segments, stretches = self._known(messages, tokens, memories_for)
        return self._attend(segments, tokens, stretches, plain=memories_for is None)

    def needed(
        self,
        messages: Sequence[Message],
        answer: str,
        memories_for: MemoriesFor,
        groups: Sequence[Collection[int]],
    ) -> Needed:
        tokens = self._model.tokenize(answer, special=False)
        segments, stretches = self._known(messages, tokens, memories_for)
        with self._attention_lock:
            return self._attending.needed(segments, tokens, stretches, groups)

    def _known(
        self, messages: Sequence[Message], tokens: Sequence[int], memories_for: MemoriesFor | None
    ) -> tuple[list[Segment], list[tuple[KeyedMemory, ...]]]:
        """The prompt's segments, and what each stretch of a known answer reads."""
        prompt, _ = self._prompt(messages, memories_for, len(tokens))
        segments = prompt_segments(prompt, memories_for, self._model.text)
        stretches = [segments[-1].memories]
        for end in range(CHUNK_TOKENS, len(tokens), CHUNK_TOKENS):
            known = tokens[:end]
            stretches.append(() if memories_for is None else self._ask(memories_for, len(prompt), known))
        return segments, stretches

    # -- what a question looks for

    def attend(self, messages: Sequence[Message], memories: Sequence[ExplicitMemory]) -> Attention:
        with self._looking(messages) as (looking, prompt, own):
            return looking.attend(prompt, own, memories)

    def queries(self, messages: Sequence[Message]) -> npt.NDArray[np.float32]:
        with self._looking(messages) as (looking, prompt, own):
            return looking.queries(prompt, own)

    @contextmanager
    def _looking(self, messages: Sequence[Message]) -> Iterator[tuple[Looking, list[int], slice]]:
        """Who looks, the prompt, and the question's tokens in it."""
        placing = self._readable()
        prompt, _ = self._prompt(messages, nothing, 0)
        own = asked(prompt, messages[-1], self.prompt_ids)
        with self._looking_lock:
            if self._looker is None:
                assert self._prefix_state is not None
                self._looker = Looking(
                    self._model, placing, self._prefix_state, self._threads, self._batcher.exclusive
                )
            yield self._looker, prompt, own

    def _prompt(
        self, messages: Sequence[Message], memories_for: MemoriesFor | None, answer_tokens: int
    ) -> tuple[list[int], int]:
        start = 0 if memories_for is None else self._readable().start
        return fitted(messages, self.prompt_ids, self._context_tokens - start - answer_tokens)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation that ends where the answer begins, by the model's chat template."""
        model = self._model
        conversation = turns(messages, model.special_tokens)
        if model.template is None:
            return model.tokenize(untemplated(conversation), special=True, ends=True)
        return model.tokenize(render(model, conversation), special=True)

    def _ask(
        self, memories_for: MemoriesFor, prompt: int, generated: Sequence[int]
    ) -> tuple[KeyedMemory, ...]:
        """Memories for the stretch that follows `generated`, a whole number of chunks."""
        index = -(-prompt // CHUNK_TOKENS) + len(generated) // CHUNK_TOKENS - 1
        text = self._model.text(list(generated[-CHUNK_TOKENS:]))
        return ask(memories_for, Chunk(index, "answer", text))

    def _attend(
        self,
        prompt: Sequence[Segment],
        tokens: Sequence[int],
        stretches: Sequence[tuple[KeyedMemory, ...]],
        *,
        plain: bool,
    ) -> tuple[npt.NDArray[np.float32], tuple[Read, ...]]:
        with self._attention_lock:
            return self._attending.attend(prompt, tokens, stretches, plain=plain)

    @contextmanager
    def _answer(self, tokens: int, reading: bool) -> Iterator[Answer]:
        """A sequence of the shared context with room for `tokens`, given back at the end."""
        with self._places.one(tokens) as sequence:
            with self._batcher.exclusive() as context:
                self._readers += reading
                if self._placing is not None and not self._readers:
                    # nobody reads them, everybody would look at them
                    self._residents.make_room(context, (), 0)
            try:
                if reading:
                    yield Answer(self._batcher, sequence, self._placing, self._residents, self._room)
                else:
                    yield Answer(self._batcher, sequence)
            finally:
                with self._batcher.exclusive() as context:
                    context.remove(sequence)
                    self._readers -= reading

    def _room(self) -> int:
        """Memories that stay in the cache."""
        return MEMORIES_PER_CHUNK * self._readers


def _cores() -> int:
    """Real cores that this process may use: two threads of one core get in each other's way."""
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return min(cores, allowed)


def render(model: LlamaModel, conversation: list[dict[str, str]]) -> str:
    """The conversation by the file's own template, by the renderer that the torch backend uses too."""
    from transformers.utils.chat_template_utils import render_jinja_template

    special = {} if model.bos is None else {"bos_token": model.piece(model.bos, special=True).decode()}
    special["eos_token"] = model.piece(model.eos, special=True).decode()
    rendered, _ = render_jinja_template(
        [conversation], chat_template=model.template, add_generation_prompt=True, **special
    )
    return str(rendered[0])
