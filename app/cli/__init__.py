"""`attest`: the command line, a thin face of `app.service`.

`--json` prints one object (or lines where said) on stdout and nothing else there; progress and logs go to
stderr. Exit status: 0 done, 1 the request failed, 2 wrong usage, 3 some items failed.
"""

from app.cli import (  # noqa: F401 - each adds its commands to `main`
    adapting,
    asking,
    conversations,
    documents,
    evaluating,
    ingesting,
    machine,
    programs,
    users,
    work,
)
from app.cli.frame import main

__all__ = ["main"]
