"""How faithful reads are to what answers needed, over many questions: figures of `attest bench evidence`.

Numbers in, numbers out; no engine. A statistic of which nothing can be said is None.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.measuring.ranks import Figure, auc, mean, spearman, standard_error

NEEDED = 0.5  # nats of a whole answer; less is how much any other memory moves it
SURELY = (1.0, 2.0)  # nats: how the same figure stands where less of what is needed is noise


@dataclass(frozen=True)
class Measured:
    """One planted question: a number for each of its memories, and for each of some subsets of them.

    place: of the memory that holds the answer. weighted, plain: shares of attention. needed: nats of the
    answer's log-probability that are lost without the memory. kept: the memories of each subset.
    log_probabilities: of the answer with each subset, in nats.
    """

    place: int
    weighted: tuple[float, ...]
    plain: tuple[float, ...]
    retrieval: tuple[float, ...]
    needed: tuple[float, ...]
    kept: tuple[tuple[int, ...], ...]
    log_probabilities: tuple[float, ...]


Scores = Callable[[Measured], Sequence[float]]
READS: dict[str, Scores] = {"weighted": lambda each: each.weighted, "mean": lambda each: each.plain}
RANKED: dict[str, Scores] = {
    "read": READS["weighted"],
    "mean_read": READS["mean"],
    "retrieval": lambda each: each.retrieval,
    "needed": lambda each: each.needed,
}


def figures(measured: Sequence[Measured], seed: int) -> dict[str, Figure]:
    """By the names of docs/interface.md."""
    found = {}
    for name, scores in RANKED.items():
        found[f"planted_first_by_{name}"] = _mean(
            [_first(scores(each), each.place) for each in measured], seed
        )
    for name, scores in (*READS.items(), ("retrieval", RANKED["retrieval"])):
        found[f"needed_auc_{name}"] = _auc(measured, scores, NEEDED, seed)
        for nats in SURELY:
            found[f"needed_auc_{name}_{nats:g}_nats"] = _auc(measured, scores, nats, seed)
    for name, scores in READS.items():
        correlations = [spearman(scores(each), each.needed) for each in measured]
        found[f"spearman_{name}"] = _mean(correlations, seed)
    for name, scores in READS.items():
        found[f"lds_{name}"] = _mean([_datamodelling(scores(each), each) for each in measured], seed)
    return found


def _mean(of: Sequence[float | None], seed: int) -> Figure:
    return Figure(mean(of), standard_error(of, mean, seed))


def _first(scores: Sequence[float], place: int) -> bool:
    """Whether the score at `place` is above all others."""
    return all(scores[place] > score for i, score in enumerate(scores) if i != place)


def _auc(measured: Sequence[Measured], scores: Scores, nats: float, seed: int) -> Figure:
    """Over all pairs of a question and a memory; a question's pairs stay together in the bootstrap."""
    pairs = [(scores(each), [loss > nats for loss in each.needed]) for each in measured]

    def statistic(drawn: Sequence[tuple[Sequence[float], list[bool]]]) -> float | None:
        return auc([s for each, _ in drawn for s in each], [n for _, each in drawn for n in each])

    return Figure(statistic(pairs), standard_error(pairs, statistic, seed))


def _datamodelling(scores: Sequence[float], each: Measured) -> float | None:
    return spearman([sum(scores[i] for i in kept) for kept in each.kept], each.log_probabilities)
