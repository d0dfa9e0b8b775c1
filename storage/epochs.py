"""Two counters by which other processes notice that what they hold in RAM is out of date.

`index` grows whenever reference ids disappear: vector indexes must drop them. `visible` grows whenever the
set of references that a search may return changes: new references, deletions, a document's status or
its collections. New vectors need no counter: ids only grow, and SQLite commits one writer at a time.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from storage.schema import Meta


@dataclass(frozen=True)
class Epochs:
    index: int
    visible: int


def read(connection: sa.Connection) -> Epochs:
    values = {row.name: row.value for row in connection.execute(sa.select(Meta.name, Meta.value))}
    return Epochs(values["index_epoch"], values["visible_epoch"])


def references_removed(connection: sa.Connection) -> None:
    """Reference ids disappear in this transaction."""
    _bump(connection, "index_epoch", "visible_epoch")


def visibility_changed(connection: sa.Connection) -> None:
    """What a search may return changes in this transaction."""
    _bump(connection, "visible_epoch")


def _bump(connection: sa.Connection, *names: str) -> None:
    connection.execute(sa.update(Meta).where(Meta.name.in_(names)).values(value=Meta.value + 1))
