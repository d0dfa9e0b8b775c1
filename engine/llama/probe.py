"""Proof, at start-up, that this llama.cpp and this model keep keys and values as we write them.

One token alone in its sequence attends to itself only, so its keys before rotation and its values do not
depend on its position. Computed at position 0, where rotation is the identity, and at a later one, it must
give keys that differ by exactly the rotation that `Placing` would apply, in every layer. And a state that was
read must be taken back and read again unchanged. What fails here would otherwise show as a wrong answer.
"""

import numpy as np
import numpy.typing as npt

from engine.errors import BackendUnavailable, EngineError, ModelUnsupported
from engine.llama.context import Context, Run
from engine.llama.layout import State
from engine.llama.model import LlamaModel
from engine.llama.placing import halves

_LATER = 643  # beyond every position of a memory
_TOLERANCE = 0.02  # of the keys' own size; they are kept in half precision, and kernels round


def prove(model: LlamaModel, context: Context) -> npt.NDArray[np.float64]:
    """The model's rotary frequencies (D / 2,). Uses sequences 0 and 1 of an empty cache, and empties it.

    Raises ModelUnsupported if the model's cache has another shape, BackendUnavailable if this release's
    state has another layout.
    """
    if model.refusal is not None:
        raise ModelUnsupported(model.refusal)
    try:
        still, moved = (_alone(context, position) for position in (0, _LATER))
        context.put(1, still)
        again = context.get(1)
    except EngineError as error:
        raise BackendUnavailable(
            f"{model.path.name}: this release of llama.cpp keeps its cache in another way ({error}); install "
            "the release that this version names, or choose --backend torch"
        ) from error
    finally:
        context.clear()
    if not (np.array_equal(again.keys, still.keys) and np.array_equal(again.values, still.values)):
        raise BackendUnavailable(
            f"{model.path.name}: llama.cpp gave back other keys than it was given; choose --backend torch"
        )
    if _explains(model, model.frequencies(), still, moved):
        return model.frequencies()
    factors = model.frequency_factors()  # Llama 3's; finding them takes seconds
    if factors is not None and _explains(model, model.frequencies(factors), still, moved):
        return model.frequencies(factors)
    raise ModelUnsupported(
        f"{model.path.name} cannot read explicit memories: its positions are not plain rotary embeddings of "
        "the whole key; choose another model, or ask in text mode"
    )


def _alone(context: Context, position: int) -> State:
    token = context.model.vocabulary_size // 2
    context.clear()
    context.run([Run(0, position, [token])])
    return context.get(0)


def _explains(model: LlamaModel, frequencies: npt.NDArray[np.float64], still: State, moved: State) -> bool:
    shape = (model.layers, model.kv_heads, model.head_dim)
    before, after = (s.keys[:, 0].astype(np.float64).reshape(shape) for s in (still, moved))
    cos, sin = np.cos(_LATER * frequencies), np.sin(_LATER * frequencies)
    real, imaginary = halves(model.head_dim, interleaved=model.interleaved)
    expected = np.empty_like(before)
    expected[..., real] = before[..., real] * cos - before[..., imaginary] * sin
    expected[..., imaginary] = before[..., imaginary] * cos + before[..., real] * sin
    size = np.abs(before).mean()
    same_keys = np.abs(after - expected).mean() <= _TOLERANCE * size
    values = np.abs(still.values.astype(np.float64))
    same_values = np.abs(moved.values - still.values.astype(np.float64)).mean() <= _TOLERANCE * values.mean()
    return bool(same_keys and same_values)
