"""The sheet of settings and health, opened and filled. Methods are Gradio event handlers."""

import time
from typing import Any

import gradio as gr

from app.errors import AttestError
from app.web.documents import notice_html
from app.web.health import health_html
from app.web.protocol import Service
from app.web.reader import data_of


class Checking:
    """Handlers of one page; shared by all its sessions."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def act(self, event: gr.EventData) -> Any:
        """Open the sheet, or check every memory first."""
        act = data_of(event).get("act")
        if act not in ("health", "audit"):
            return gr.skip()
        try:
            return health_html(self._service.health(thorough=act == "audit"), time.monotonic_ns())
        except AttestError as problem:
            return notice_html(str(problem), problem=True)
