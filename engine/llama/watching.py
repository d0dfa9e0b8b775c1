"""Computed tensors of every layer, caught as llama.cpp evaluates its graph."""

import re

import numpy as np
import numpy.typing as npt

from engine.llama.context import Node

_NAME = re.compile(r"(.+)-(\d+)")


class Watch:
    """A watcher for `engine.llama.context.Context`: keeps the last node of each wanted name and layer.

    operations: name without its layer -> the operation to wait for, where several nodes share the name
    (keys before and after rotation, say); None takes the last of them. Nothing is caught until `on` is set,
    so that a context may also compute at full speed.
    """

    def __init__(self, operations: dict[str, str | None]) -> None:
        self._operations = operations
        self.on = False
        self.caught: dict[tuple[str, int], npt.NDArray[np.float32]] = {}

    def __call__(self, name: str, ask: bool, node: Node) -> bool:
        if not self.on or (matched := _NAME.fullmatch(name)) is None:
            return not ask
        base, layer = matched.group(1), int(matched.group(2))
        if base not in self._operations:
            return not ask
        wanted = self._operations[base]
        if wanted is not None and node.operation != wanted:
            return not ask
        if not ask:
            self.caught[base, layer] = node.floats()
        return True

    def take(self) -> dict[tuple[str, int], npt.NDArray[np.float32]]:
        """What was caught since the last time."""
        caught, self.caught = self.caught, {}
        return caught
