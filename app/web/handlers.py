"""Makes every handler of the page work for the user whose browser sent the event.

Gradio runs handlers in threads and tasks of its own, later than the request, and a generator's steps in any
of them. So each handler is wrapped once the page is laid out: before every step it says on whose behalf it
works. None can be forgotten, and a handler without a request that came through the door does nothing.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

import gradio as gr

from app.accounts.acting import NobodyAsks, acting_for
from app.web.tabs import Tabs
from storage.grants import Viewer

REQUEST = "attest_request"


def work_for_whoever_asks(page: gr.Blocks, tabs: Tabs) -> None:
    """Wrap all handlers of `page`. tabs: refuses one user the tab of another."""
    for listener in page.fns.values():
        if listener.fn is not None:
            listener.fn = _wrapped(listener.fn, tabs)


def _wrapped(handler: Callable[..., Any], tabs: Tabs) -> Callable[..., Any]:
    def step(request: gr.Request, *values: Any) -> Any:
        with acting_for(_viewer_of(request, tabs)):
            return handler(*values)

    def steps(request: gr.Request, *values: Any) -> Iterator[Any]:
        viewer = _viewer_of(request, tabs)
        running = handler(*values)
        try:
            while True:
                with acting_for(viewer):
                    try:
                        value = next(running)
                    except StopIteration:
                        return
                yield value
        finally:
            with acting_for(viewer):
                running.close()

    wrapper = steps if inspect.isgeneratorfunction(handler) else step
    _take_signature(wrapper, handler)
    return wrapper


def _take_signature(wrapper: Callable[..., Any], handler: Callable[..., Any]) -> None:
    """Gradio decides by names and annotations what to hand in; the request comes first."""
    request = inspect.Parameter(REQUEST, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request)
    parameters = inspect.signature(handler).parameters.values()
    wrapper.__signature__ = inspect.Signature([request, *parameters])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {**get_type_hints(handler), REQUEST: gr.Request}
    wrapper.__name__ = getattr(handler, "__name__", "handler")


def _viewer_of(request: gr.Request, tabs: Tabs) -> Viewer:
    asked = None if request is None else request.request
    viewer = None if asked is None else asked.scope.get("state", {}).get("viewer")
    if not isinstance(viewer, Viewer):
        raise NobodyAsks("an event did not come through the door")
    if not tabs.belongs(str(request.session_hash or ""), viewer):
        raise NobodyAsks("an event names the tab of another user")
    return viewer
