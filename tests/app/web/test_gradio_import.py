"""Gradio is imported without reading its components' sources, and with `inspect` as it was."""

import subprocess
import sys

SCRIPT = """
import inspect, pathlib, sys
before, read, reads = inspect.getfile, pathlib.Path.read_text, []
def watched(self, *arguments, **options):
    reads.append(str(self))
    return read(self, *arguments, **options)
pathlib.Path.read_text = watched
{}
assert "gradio.components.chatbot" in sys.modules
assert inspect.getfile is before
print(sum(path.endswith(".py") for path in reads))
"""


def sources_read(statement: str) -> int:
    command = [sys.executable, "-c", SCRIPT.format(statement)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_no_source_is_parsed_while_gradio_is_imported() -> None:
    assert sources_read("from app.web.gradio_import import import_gradio; import_gradio()") == 0
    assert sources_read("import gradio") > 50  # else Gradio does so no longer, and this can go
