"""Imports Gradio without its writing into its own installation.

While it is imported Gradio parses the source of each of its components, to write a stub (.pyi) beside it for
editors: half of the time that the import takes, before the page can be served. It leaves out classes whose
file is not known (`gradio.component_meta.create_or_modify_pyi`), and here none is.
"""

import inspect


def import_gradio() -> None:
    """To be called before anything else imports it, while no other thread asks for a class's file."""
    known = inspect.getfile

    def unknown(_: object) -> str:
        raise OSError("no file is told while Gradio is imported")

    inspect.getfile = unknown  # type: ignore[assignment]
    try:
        import gradio  # noqa: F401
    finally:
        inspect.getfile = known
