"""Domain profiles: how the model is told to answer for lawyers, for clinicians, and in general."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from app.errors import AttestError

PROFILES = ("legal", "medical", "general")


@dataclass(frozen=True)
class Profile:
    """system: the instruction in front of every conversation. questions: suggestions for a first one."""

    name: str
    system: str
    questions: tuple[str, ...]


@cache
def profile(name: str) -> Profile:
    """Raises AttestError for a name that is not legal, medical or general."""
    file = resources.files("assets") / "profiles" / f"{name}.toml"
    if not file.is_file():
        raise AttestError(f"there is no profile {name!r}; choose legal, medical or general")
    data = tomllib.loads(file.read_text(encoding="utf-8"))
    return Profile(name, data["system"], tuple(data["questions"]))
