"""People ask otherwise than data sets do.

CUAD asks "Highlight the parts (if any) of this contract related to ..."; `assets/questions/cuad.toml` has,
for each of its categories, what a lawyer would type. MedQuAD names the disease in each question; who has its
article open asks "What are the symptoms?".
"""

import random
import re
import tomllib
from dataclasses import replace
from functools import cache
from importlib import resources

from app.measuring.questions import Question

_TEMPLATE = re.compile(r'Highlight the parts .* related to "([^"]+)"')
_OF_A_DISEASE = re.compile(
    r"(What are the (symptoms|treatments|complications|genetic changes|causes|stages)|Who is at risk"
    r"|How many people are affected|How to diagnose|How to prevent|What causes) .+",
    re.DOTALL,
)


def natural(question: Question, generator: random.Random) -> Question:
    """One of the natural questions of its category for a CUAD template; any other question unchanged."""
    template = _TEMPLATE.match(question.text)
    asked = _natural_questions().get(template[1]) if template else None
    return replace(question, text=generator.choice(asked)) if asked else question


def unnamed(question: Question) -> Question | None:
    """The question about a disease without its name; None for any other."""
    found = _OF_A_DISEASE.fullmatch(question.text)
    return replace(question, text=f"{found[1]}?") if found else None


@cache
def _natural_questions() -> dict[str, list[str]]:
    """By category."""
    file = resources.files("assets") / "questions" / "cuad.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))
