"""CUAD asks "Highlight the parts (if any) of this contract related to ..."; people ask otherwise.

`assets/questions/cuad.toml` has, for each of its categories, what a lawyer would type.
"""

import random
import re
import tomllib
from dataclasses import replace
from functools import cache
from importlib import resources

from app.measuring.questions import Question

_TEMPLATE = re.compile(r'Highlight the parts .* related to "([^"]+)"')


def natural(question: Question, generator: random.Random) -> Question:
    """One of the natural questions of its category for a CUAD template; any other question unchanged."""
    template = _TEMPLATE.match(question.text)
    asked = _natural_questions().get(template[1]) if template else None
    return replace(question, text=generator.choice(asked)) if asked else question


@cache
def _natural_questions() -> dict[str, list[str]]:
    """By category."""
    file = resources.files("assets") / "questions" / "cuad.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))
