"""The sheet of settings and health, opened and filled. Methods are Gradio event handlers."""

import time
from collections.abc import Mapping
from typing import Any

import gradio as gr

from app.errors import AttestError
from app.web.documents import notice_html
from app.web.events import data_of
from app.web.health import Said, health_html
from app.web.protocol import Service

LONGEST_PATH = 4096


class Checking:
    """Handlers of one page; shared by all its sessions."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def act(self, event: gr.EventData) -> Any:
        """Open the sheet; before that check all memories, choose a model, or have its memories written."""
        data = data_of(event)
        act = data.get("act")
        if act not in ("health", "audit", "use-model", "write-memories"):
            return gr.skip()
        try:
            said = self._done(act, data)
            health = self._service.health(thorough=act == "audit")
        except AttestError as problem:
            return notice_html(str(problem), problem=True)
        return health_html(health, time.monotonic_ns(), said)

    def _done(self, act: str, data: Mapping[str, Any]) -> Said:
        try:
            if act == "use-model":
                self._service.use_model(str(data.get("value", ""))[:LONGEST_PATH])
                return Said("It is being loaded; the line at the top says when it answers.")
            if act == "write-memories":
                queued = self._service.write_memories()
                whose = "one document" if queued == 1 else f"{queued:,} documents"
                return Said(f"The memories of {whose} are being written; the list shows how far.")
        except AttestError as problem:
            return Said(str(problem), problem=True)
        return Said("")
