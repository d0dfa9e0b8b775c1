"""A llama.cpp context: one unified key-value cache whose cells belong to numbered sequences.

A thin, checked layer over the C functions: every failure is an exception, and nothing here knows what a
memory or an answer is. Not safe to share between threads.
"""

import ctypes
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import BackendUnavailable, ContextOverflow, MemoryMismatch
from engine.llama import library
from engine.llama.layout import Layout, State
from engine.llama.model import LlamaModel

BATCH_TOKENS = 512  # most tokens of one call


@dataclass(frozen=True)
class Run:
    """Consecutive tokens of one sequence. rows: indices into `tokens` whose logits are wanted."""

    sequence: int
    first: int
    tokens: Sequence[int]
    rows: Sequence[int] = ()


# Sees every node of the graph by name after it is computed, if it asked for the name.
Watcher = Callable[[str, bool, "Node"], bool]


class Node:
    """One computed tensor of the graph."""

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer

    @property
    def operation(self) -> str:
        """Such as ROPE or SOFT_MAX."""
        return str(library.ggml().ggml_op_desc(self._pointer).decode())

    def floats(self) -> npt.NDArray[np.float32]:
        """A flat copy of its float32 numbers; the tensor must be contiguous."""
        ggml = library.ggml()
        if not ggml.ggml_is_contiguous(self._pointer):
            raise BackendUnavailable(
                "a watched tensor of llama.cpp is not contiguous; choose --backend torch"
            )
        numbers = np.empty(ggml.ggml_nbytes(self._pointer) // 4, dtype=np.float32)
        ggml.ggml_backend_tensor_get(self._pointer, numbers.ctypes.data, 0, numbers.nbytes)
        return numbers


class Context:
    """cells: room for keys and values of that many tokens. sequences: how many may be told apart.

    flash: flash attention, faster, and without the softmax as a node of the graph. watcher: called for the
    graph's nodes. Raises BackendUnavailable if there is not enough memory.
    """

    def __init__(
        self,
        model: LlamaModel,
        cells: int,
        sequences: int,
        *,
        threads: int,
        flash: bool = True,
        watcher: Watcher | None = None,
    ) -> None:
        self.model, self.library, self.sequences = model, model.library, sequences
        parameters = self.library.llama_context_default_params()
        self.cells = parameters.n_ctx = -(-cells // 256) * 256
        parameters.n_batch = parameters.n_ubatch = BATCH_TOKENS
        parameters.n_seq_max = sequences
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.flash_attn_type = 1 if flash else 0
        parameters.kv_unified = True
        parameters.offload_kqv = model.offloaded
        parameters.no_perf = True
        self._failure: BaseException | None = None
        if watcher is not None:
            self._callback = self._watch(watcher)  # must outlive the context
            parameters.cb_eval = self._callback
        self.handle = self.library.llama_init_from_model(model.handle, parameters)
        if not self.handle:
            raise BackendUnavailable(
                f"llama.cpp could not make a context of {self.cells} tokens; close other programs, or choose "
                "a smaller model"
            )
        self._memory = self.library.llama_get_memory(self.handle)
        self._batch = self.library.llama_batch_init(BATCH_TOKENS, 0, 1)
        self._finalizer = weakref.finalize(self, _free, self.library, self._batch, self.handle, model)
        self.layout = Layout(self._magic(), not flash, model.layers, model.kv_heads * model.head_dim)

    def close(self) -> None:
        self._finalizer()

    def _magic(self) -> int:
        """The mark at the start of this release's states, of an empty sequence's."""
        return int.from_bytes(self._state(0)[:4], "little")

    def _state(self, sequence: int) -> bytes:
        size = self.library.llama_state_seq_get_size(self.handle, sequence)
        buffer = (ctypes.c_uint8 * size)()
        if self.library.llama_state_seq_get_data(self.handle, buffer, size, sequence) != size:
            raise BackendUnavailable("llama.cpp gave no state of a sequence; choose --backend torch")
        return bytes(buffer)

    # -- sequences

    def clear(self) -> None:
        """Empty the cache; the next cell that is filled is the first."""
        self.library.llama_memory_clear(self._memory, False)

    def remove(self, sequence: int, first: int = -1, end: int = -1) -> None:
        """Take positions [first, end) out of a sequence, all by default; cells of no sequence are free."""
        self.library.llama_memory_seq_rm(self._memory, sequence, first, end)

    def share(self, source: int, target: int) -> None:
        """Let `target` see the cells of `source` too; nothing is copied."""
        self.library.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def put(self, sequence: int, state: State) -> None:
        """Fill new cells; what the sequence held is dropped. Raises MemoryMismatch, ContextOverflow."""
        self.put_bytes(sequence, self.layout.pack(state))

    def put_bytes(self, sequence: int, data: bytes, *, check: bool = False) -> None:
        """`put` of a packed state; `check` it first if it is not our own."""
        if check:
            self.layout.unpack(data)
        buffer = ctypes.cast(ctypes.c_char_p(data), ctypes.POINTER(ctypes.c_uint8))
        if self.library.llama_state_seq_set_data(self.handle, buffer, len(data), sequence) != len(data):
            raise ContextOverflow("llama.cpp has no free cells for a memory; ask again when less is going on")

    def get(self, sequence: int) -> State:
        """The cells of a sequence. Raises MemoryMismatch if this release's layout is another one."""
        return self.layout.unpack(self._state(sequence))

    # -- computing

    def run(self, runs: Sequence[Run]) -> list[npt.NDArray[np.float32]]:
        """Process up to `BATCH_TOKENS` tokens in one call: logits (rows, vocabulary) of each run.

        Raises ContextOverflow if the cache is full.
        """
        batch, wanted, i = self._batch, [], 0
        for run in runs:
            rows = frozenset(run.rows)
            for j, token in enumerate(run.tokens):
                batch.token[i], batch.pos[i] = token, run.first + j
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, run.sequence
                batch.logits[i] = j in rows
                if j in rows:
                    wanted.append(i)
                i += 1
        batch.n_tokens = i
        status = self.library.llama_decode(self.handle, batch)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if status == 1:
            raise ContextOverflow("the model's cache is full; start a new conversation or ask again later")
        if status != 0:
            raise MemoryMismatch(f"llama.cpp refused to compute (status {status}); ask again")
        found = iter(wanted)
        return [self._logits([next(found) for _ in set(run.rows)]) for run in runs]

    def _logits(self, rows: list[int]) -> npt.NDArray[np.float32]:
        size = self.model.vocabulary_size
        logits = np.empty((len(rows), size), dtype=np.float32)
        for i, row in enumerate(rows):
            pointer = self.library.llama_get_logits_ith(self.handle, row)
            logits[i] = np.ctypeslib.as_array(pointer, shape=(size,))
        return logits

    def _watch(self, watcher: Watcher) -> Any:
        ggml = library.ggml()

        def callback(pointer: int, ask: bool, _: int) -> bool:
            try:
                name = ggml.ggml_get_name(pointer).decode("utf-8", "replace")
                return bool(watcher(name, ask, Node(pointer)))
            except BaseException as error:  # noqa: BLE001  C code cannot carry it; `run` raises it again
                self._failure = self._failure or error
                return not ask  # False after a computed node would stop the graph half way

        return self.library.ggml_backend_sched_eval_callback(callback)


def with_room(
    context: Context | None,
    model: LlamaModel,
    cells: int,
    sequences: int,
    *,
    threads: int,
    watcher: Watcher,
) -> Context:
    """`context` if it has room for so many cells, else a new one in its place; its softmax can be watched."""
    if context is not None:
        if context.cells >= cells:
            return context
        context.close()
    room = max(2048, 1 << (cells - 1).bit_length())
    return Context(model, room, sequences, threads=threads, flash=False, watcher=watcher)


def _free(llama: Any, batch: Any, handle: Any, _: LlamaModel) -> None:
    llama.llama_batch_free(batch)
    llama.llama_free(handle)
