"""On whose behalf this process works just now, and the service as that user may see it.

The doors (`app.web.door`, `app.api.access`) say who asks, once for each request; everything behind them uses
a service from `for_whoever_asks`, which looks that up anew at every use. Where nobody was let in, nothing can
be asked: it raises, and never falls back to the whole store.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, Self, TypeVar, cast

from storage.grants import Viewer

_viewer: ContextVar[Viewer] = ContextVar("viewer")


class Seen(Protocol):
    """What can be seen by one user."""

    def as_user(self, viewer: Viewer) -> Self: ...


Face = TypeVar("Face", bound=Seen)


class NobodyAsks(RuntimeError):
    """Something works without having come through a door: a mistake of ours."""


@contextmanager
def acting_for(viewer: Viewer) -> Iterator[None]:
    """Until the block ends, in this task or thread, and in what copies its context."""
    token = _viewer.set(viewer)
    try:
        yield
    finally:
        _viewer.reset(token)


def whoever_asks() -> Viewer:
    """Raises NobodyAsks."""
    try:
        return _viewer.get()
    except LookupError:
        raise NobodyAsks("nobody was let in, so there is nobody to work for") from None


def for_whoever_asks(service: Face) -> Face:
    """`service`, each of whose members is that of `service.as_user` of whoever asks at that moment."""
    return cast(Face, _Acting(service))


class _Acting:
    def __init__(self, service: Seen) -> None:
        self._whole = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole.as_user(whoever_asks()), name)
