"""How fast the workers are: tokens per second between beats, by their own count."""

from collections import deque
from collections.abc import Sequence

from storage.records import WorkerRow

PACE_SECONDS = 20.0  # measured over this long


class Pace:
    """Remembers the last samples. Not safe to share between threads."""

    def __init__(self) -> None:
        self._samples: deque[dict[str, tuple[float, int]]] = deque()

    def tokens_per_second(self, workers: Sequence[WorkerRow]) -> float | None:
        """Of all workers together, between the beats of the oldest and the newest sample that know them.

        None before the second beat, or while nothing is done.
        """
        if not workers:
            self._samples.clear()
            return None
        self._samples.append({worker.id: (worker.heartbeat, worker.tokens) for worker in workers})
        while len(self._samples) > 1 and self._span() > PACE_SECONDS:
            self._samples.popleft()
        first, last = self._samples[0], self._samples[-1]
        pace = sum(
            (tokens - first[worker][1]) / (beat - first[worker][0])
            for worker, (beat, tokens) in last.items()
            if worker in first and beat > first[worker][0]
        )
        return pace or None

    def _span(self) -> float:
        """From when the workers were heard of last in the oldest sample to the same in the newest."""
        first, last = (max(beat for beat, _ in self._samples[i].values()) for i in (0, -1))
        return last - first
