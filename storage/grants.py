"""Who may see and change what: the conditions that the store's queries carry.

Every part of a store is made for one `Viewer`, and each of its queries asks it for a condition: so a user's
view of the store (`Store.seen_by`) cannot return what was not granted, whichever face forgot to ask. What is
not seen is not there (NotFound); what is seen and may not be changed raises NotAllowed.

A reader sees a collection, its documents and their jobs; an editor also adds and deletes documents; an owner
also renames and deletes the collection, and says who else may use it (`storage.sharing`). A document is seen
through any collection that holds it. Conversations and answers are seen by the user who asked, as long as
their collection is.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import sqlalchemy as sa

from storage.errors import NotAllowed
from storage.schema import CollectionDocument, Grant

Role = Literal["reader", "editor", "owner"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may
Column = sa.ColumnElement[Any] | sa.orm.InstrumentedAttribute[Any]
# Names of their own, since what asks may read these tables too.
_GRANT = sa.inspect(Grant).local_table.alias("granted").c
_LINK = sa.inspect(CollectionDocument).local_table.alias("holding").c


@dataclass(frozen=True)
class Viewer:
    """user: the id of a user, who sees what was granted. None: whoever may open the home folder itself, and
    so sees everything. name, through: for the audit log, who that is and by what they came.
    """

    user: int | None
    name: str = field(default="", compare=False)
    through: str = field(default="", compare=False)

    def collections(self, column: Column, least: Role = "reader") -> sa.ColumnElement[bool]:
        """Whether the collection with this id is granted."""
        if self.user is None:
            return sa.true()
        return sa.exists().where(_GRANT.collection_id == column, *self._granted(least))

    def documents(self, column: Column, least: Role = "reader") -> sa.ColumnElement[bool]:
        """Whether a collection that holds the document with this id is granted."""
        if self.user is None:
            return sa.true()
        held = (_LINK.document_id == column, _GRANT.collection_id == _LINK.collection_id)
        return sa.exists().where(*held, *self._granted(least))

    def own(self, column: Column) -> sa.ColumnElement[bool]:
        """Whether what has this user's id is the viewer's own."""
        return sa.true() if self.user is None else column == self.user

    def must_be_local(self) -> None:
        """Raises NotAllowed to users: what follows is the worker's or the administrator's."""
        if self.user is not None:
            raise NotAllowed("only the administrator of this machine may do that, with the `attest` command")

    def _granted(self, least: Role) -> tuple[sa.ColumnElement[bool], ...]:
        return _GRANT.user_id == self.user, _GRANT.role.in_(ROLES[ROLES.index(least) :])


LOCAL = Viewer(None, "local", "this machine")  # the command line, and everybody while there are no users
