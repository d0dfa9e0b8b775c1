"""From logits to the next token: greedy, or drawn from the most probable ones by a seeded generator."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from engine.protocol import GenerateOptions


class Sampler:
    """Picks the tokens of one answer. end_tokens: those that end it."""

    def __init__(self, options: GenerateOptions, end_tokens: Collection[int] = ()) -> None:
        self._options = options
        self._ends = np.asarray(sorted(end_tokens), dtype=np.intp)
        self._generator = np.random.default_rng(options.seed)

    def pick(self, logits: npt.NDArray[np.float32], generated: Sequence[int]) -> int:
        """The next token from logits (vocabulary,); those `generated` already are made less probable."""
        if len(generated) < self._options.min_tokens:
            logits = logits.copy()
            logits[self._ends] = -np.inf
        penalty = self._options.repetition_penalty
        if penalty != 1.0 and generated:
            logits = logits.copy()
            seen = np.unique(np.asarray(generated))
            picked = logits[seen]
            logits[seen] = np.where(picked > 0, picked / penalty, picked * penalty)
        if self._options.temperature <= 0:
            return int(logits.argmax())
        scaled = (logits - logits.max()).astype(np.float64) / self._options.temperature
        probabilities = np.exp(scaled) / np.exp(scaled).sum()
        order = np.argsort(-probabilities, kind="stable")
        # the smallest set that holds top_p of the probability, never empty
        kept = int(np.searchsorted(np.cumsum(probabilities[order]), self._options.top_p)) + 1
        nucleus = order[:kept]
        shares = probabilities[nucleus] / probabilities[nucleus].sum()
        return int(self._generator.choice(nucleus, p=shares))


def log_probabilities(logits: npt.NDArray[np.float32], tokens: Sequence[int]) -> npt.NDArray[np.float32]:
    """Of each token (tokens,), in nats, from logits (tokens, vocabulary)."""
    exact = logits.astype(np.float64)
    exact -= exact.max(axis=1, keepdims=True)
    chosen: npt.NDArray[np.float64] = exact[np.arange(len(tokens)), list(tokens)]
    norms: npt.NDArray[np.float64] = np.log(np.exp(exact).sum(axis=1))
    return np.subtract(chosen, norms, dtype=np.float64).astype(np.float32)
