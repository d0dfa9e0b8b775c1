"""Does an adapted model still do as it is told? Ordinary prompts, answered by the base and the adapted model.

The prompts of `assets/eval/chat.toml`, without documents and without our instructions, through the backend
that answers by default; greedy, with the product's own penalty on repetition. A JSON line for each, to be
read by people: {"prompt", "base", "adapted"}.

    python -m tests.bench.chat
"""

import argparse
import json
import os
import tempfile
import tomllib
from importlib import resources
from pathlib import Path

from app.answering.asking import REPETITION_PENALTY
from engine.adapter import chosen
from engine.opening import open_engine
from engine.protocol import Engine, GenerateOptions, Message, Token
from engine.registry import DEFAULT_MODEL

MAX_TOKENS = 128


def prompts() -> list[str]:
    file = resources.files("assets") / "eval" / "chat.toml"
    return [str(prompt).strip() for prompt in tomllib.loads(file.read_text(encoding="utf-8"))["prompts"]]


def reply(engine: Engine, prompt: str) -> str:
    events = engine.generate([Message("user", prompt)], None, GenerateOptions(MAX_TOKENS, REPETITION_PENALTY))
    return "".join(event.text for event in events if isinstance(event, Token)).strip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--adapter", default=os.environ.get("ATTEST_ADAPTER", "auto"))
    parser.add_argument("--limit", type=int, help="the first prompts only")
    arguments = parser.parse_args()
    if chosen(arguments.adapter, DEFAULT_MODEL) is None:
        parser.error("there is no adapter to compare the base with; give --adapter FOLDER")
    cache = Path(tempfile.gettempdir()) / "attest-models"
    base, adapted = (
        open_engine(DEFAULT_MODEL, adapter=adapter, cache=cache) for adapter in ("none", arguments.adapter)
    )
    for prompt in prompts()[: arguments.limit]:
        said = {"prompt": prompt, "base": reply(base, prompt), "adapted": reply(adapted, prompt)}
        print(json.dumps(said, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
