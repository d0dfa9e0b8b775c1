"""One window per home folder: whoever holds `<home>/window/lock` has it, the others bring it forward.

`<home>/window/address.json` says where the holder's server listens, with the secret of a knock. Only this
user may enter the folder. A holder that was killed leaves the file, but not the lock.
"""

import http.client
import json
import logging
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from app.desktop.door import KNOCK
from app.errors import AttestError, for_people
from storage import files

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 60.0  # a first start imports a lot before its server answers
KNOCK_SECONDS = 5.0


class Instance:
    """The right to be the window of a home. Use as a context manager: its end lets go."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "window"
        self._address = self._folder / "address.json"
        self._lock = FileLock(self._folder / "lock", mode=0o600, thread_local=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock.is_locked:
            self._address.unlink(missing_ok=True)
            self._lock.release()

    def claim(self) -> bool:
        """Become the window; False if there is one, which was then brought forward.

        Raises AttestError if another process holds the place and does not answer.
        """
        limit = time.monotonic() + PATIENCE_SECONDS
        while True:
            if self._take():
                return True
            if self._knock():
                return False
            if time.monotonic() > limit:
                raise AttestError(
                    f"another process holds {self._lock.lock_file} and does not answer; it may be closing a "
                    "window or hang. Try again, and end that process if it stays so"
                )
            time.sleep(LOOK_SECONDS)

    def announce(self, port: int, secret: str) -> None:
        """Say where the server of this window listens."""
        with (
            for_people(),
            files.in_our_words("the window's address"),
            files.partial(self._folder) as (path, file),
        ):
            file.write(json.dumps({"port": port, "secret": secret, "pid": os.getpid()}).encode())
            files.complete(file)
            path.chmod(0o600)
            files.settle(path, self._address)

    def _take(self) -> bool:
        with for_people(), files.in_our_words("the home folder"):
            self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._folder.chmod(0o700)
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                return False
            except NotImplementedError as error:  # filelock's word where a disk has no locks
                log.warning("a second window of this home cannot be noticed (%s)", error)
                return True
        self._address.unlink(missing_ok=True)  # of one that was killed
        return True

    def _knock(self) -> bool:
        """Whether the holder heard it; not yet while it is starting, not any more while it is ending."""
        try:
            address = json.loads(self._address.read_text(encoding="utf-8"))
            headers = {"Authorization": f"Bearer {address['secret']}"}
            connection = http.client.HTTPConnection("127.0.0.1", int(address["port"]), timeout=KNOCK_SECONDS)
        except (OSError, ValueError, LookupError, TypeError):
            return False
        try:
            connection.request("POST", KNOCK, headers=headers)
            return connection.getresponse().status == http.HTTPStatus.NO_CONTENT
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
