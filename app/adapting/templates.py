"""People ask otherwise than data sets do.

CUAD asks "Highlight the parts (if any) of this contract related to ..."; `assets/questions/cuad.toml` has,
for each of its categories, what a lawyer would type. MedQuAD names the disease in each question; who has its
article open asks "What are the symptoms?". Asked that way, another document of the sort may answer as well;
who has several contracts open says which one is meant. And people ask for what has nothing to do with
documents: `assets/questions/plain.toml`.
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
_CONTRACT = re.compile(
    r"(?P<company>[^_]+?)(_\d.*[-_.]| - |_.*_)(?P<agreement>[^-_.\d]*agreement)[\s\d]*", re.IGNORECASE
)
_SLOT = re.compile(r"\{(\w+)\}")
_FIRM = re.compile(r"[ ,.]*(inc|ltd|llc|corp|corporation|plc|n\.?v|l\.?p)\.?$", re.IGNORECASE)


def natural(question: Question, generator: random.Random) -> Question:
    """One of the natural questions of its category for a CUAD template; any other question unchanged."""
    asked = _natural_questions().get(kind(question) or "")
    return replace(question, text=generator.choice(asked)) if asked else question


def unnamed(question: Question) -> Question | None:
    """The question about a disease without its name; None for any other."""
    found = _OF_A_DISEASE.fullmatch(question.text)
    return replace(question, text=f"{found[1]}?") if found else None


def kind(question: Question) -> str | None:
    """What the data ask of many documents alike: a category of CUAD, or the question about a disease without
    its name; None for any other.
    """
    if template := _TEMPLATE.match(question.text):
        return template[1]
    plain = unnamed(question)
    return plain.text if plain else None


def called(title: str) -> str | None:
    """What people call a contract of CUAD, by its file's name; None for any other document.

    LUCIDINC_04_15_2011-EX-10.9-DISTRIBUTOR AGREEMENT is the Lucid distributor agreement.
    """
    found = _CONTRACT.fullmatch(title)
    if not found:
        return None
    company = _FIRM.sub("", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", found["company"])).strip(" .,")
    words = [word.capitalize() if word.isupper() else word for word in company.split()]
    return " ".join([*words, *found["agreement"].strip(" .").lower().split()])


def request(generator: random.Random) -> str:
    """Something that has nothing to do with documents."""
    requests, words = _requests()
    asked = generator.choice(requests)
    return _SLOT.sub(lambda slot: generator.choice(words[slot[1]]), asked)


@cache
def _requests() -> tuple[list[str], dict[str, list[str]]]:
    """Requests with slots, and the words of each slot."""
    file = resources.files("assets") / "questions" / "plain.toml"
    found = tomllib.loads(file.read_text(encoding="utf-8"))
    return found["requests"], found["words"]


@cache
def _natural_questions() -> dict[str, list[str]]:
    """By category."""
    file = resources.files("assets") / "questions" / "cuad.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))
