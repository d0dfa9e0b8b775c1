"""Each tab of a browser is one user's: what the page remembers of a tab, no other user may use.

Gradio keeps a tab's state under a name that the browser made up, and asks nobody whose it is. The first user
to use a name has it.
"""

import threading
from collections import OrderedDict

from storage.grants import Viewer

MOST = 50_000  # names that are remembered; the longest unused are forgotten first


class Tabs:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._users: OrderedDict[str, int | None] = OrderedDict()
        self._lock = threading.Lock()

    def belongs(self, name: str, viewer: Viewer) -> bool:
        """Whether the tab is this user's, or nobody's yet, and then is theirs."""
        with self._lock:
            known = self._users.setdefault(name, viewer.user)
            self._users.move_to_end(name)
            if len(self._users) > MOST:
                self._users.popitem(last=False)
        return known == viewer.user
