"""What Gradio's events carry: whose tab they are of, and what the browser sent with a click."""

from collections.abc import Mapping
from typing import Any

import gradio as gr


def session_of(request: gr.Request) -> str:
    """Gradio's name for one browser tab."""
    return str(request.session_hash or "")


def data_of(event: gr.EventData) -> Mapping[str, Any]:
    """What the browser sent with a click; empty where it is not an object."""
    data = event._data
    return data if isinstance(data, dict) else {}
