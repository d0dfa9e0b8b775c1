"""The web page and the small HTTP surface beside it: a thin face of the one service of `app`.

Gradio reads its switches when it is first imported, so they are set here, before any module of this
package can import it: no usage statistics, no version check, no server-side rendering process, no table of
run times after every event (Gradio recomputes it each time unless told to wait for many).
"""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_SSR_MODE"] = "False"
os.environ["GRADIO_RUN_HISTORY"] = "False"
os.environ["GRADIO_MCP_SERVER"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000000"
os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "16"
