"""Holds a Python process to this machine: connecting elsewhere, or asking for another's address, fails.

Python imports this by its name when it starts, in every process that inherits the tests' PYTHONPATH (the
server, its workers, the command line). An attempt also leaves a line in the file that `LOG` names, for it may
be caught by whoever made it. Only the standard library is imported here, and nothing of it that is heavy.
"""

import os
import sys
from typing import Any

LOG = "ATTEST_TEST_CONNECTIONS"
NAMES = ("localhost", "localhost.", "ip6-localhost", "", "testserver")


def _is_here(host: Any) -> bool:
    host = host.decode() if isinstance(host, bytes) else host
    return host is None or host in NAMES or host.startswith("127.") or host in ("::1", "0.0.0.0", "::")


def _is_number(host: Any) -> bool:
    """An address already: no name server is asked for it."""
    host = host.decode() if isinstance(host, bytes) else host
    return host is not None and (":" in host or host.replace(".", "").isdecimal())


def _hold(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if not isinstance(address, tuple) or _is_here(address[0]):
            return
        host = address[0]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
        if _is_here(host) or _is_number(host):
            return
    else:
        return
    if os.environ.get(LOG):
        with open(os.environ[LOG], "a", encoding="utf-8") as log:
            log.write(f"{' '.join(sys.argv)[:200]} tried to reach {host}\n")
    raise AssertionError(f"a test tried to reach {host}")


sys.addaudithook(_hold)
