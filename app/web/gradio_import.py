"""Imports Gradio without its writing into its own installation, and without what the page does not use.

While it is imported Gradio parses the source of each of its components, to write a stub (.pyi) beside it for
editors: half of the time that the import takes, before the page can be served. It leaves out classes whose
file is not known (`gradio.component_meta.create_or_modify_pyi`), and here none is. Its server of the Model
Context Protocol, half a second more, is optional, and the page has none (`app.api.assistants` is ours).
"""

import inspect
import sys


def import_gradio() -> None:
    """To be called before anything else imports it, while no other thread imports or asks for a file."""
    known, protocol = inspect.getfile, sys.modules.get("mcp")

    def unknown(_: object) -> str:
        raise OSError("no file is told while Gradio is imported")

    inspect.getfile = unknown  # type: ignore[assignment]
    if protocol is None:
        sys.modules["mcp"] = None  # type: ignore[assignment]  # says that it cannot be imported
    try:
        import gradio  # noqa: F401
    finally:
        inspect.getfile = known
        if protocol is None:
            del sys.modules["mcp"]
