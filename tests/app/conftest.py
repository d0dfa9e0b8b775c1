"""A service on the fake model, documents to give it, and the command line in this process and in its own."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app import cli
from app.answering.answer import Answer, DoneEvent
from app.service import Service
from app.settings import Settings
from ingest.pipeline import Pipeline
from tests.ingest.make_pdf import make_pdf, text_sheet

LEASE = (
    "# Lease\n\nThe tenant may terminate the lease with ninety days notice.\n\n"
    "## Rent\n\nThe monthly rent is nine hundred euros and is due on the first working day.\n"
)
DOSE = (
    "# Metformin\n\nThe starting dose of metformin is five hundred milligrams twice daily.\n\n"
    "## Kidneys\n\nStop metformin when the glomerular filtration rate falls below thirty.\n"
)
WARRANTY = make_pdf(
    text_sheet("The warranty period of the turbine is sixty months.", "It starts at acceptance."),
    text_sheet("Liability of the supplier is capped at ten million euros."),
)
# long enough for several references and for answers of more than one stretch of 64 tokens
LONG = "\n\n".join(
    f"Clause {n} obliges the contractor to deliver item {n} to warehouse {n * 7} before the {n}th of May, "
    f"and to insure it against fire, theft and flood for the sum of {n * 1000} euros in every year."
    for n in range(1, 25)
)
QUESTION = "How can the tenant terminate the lease?"


@pytest.fixture
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings name the fake engine, in this process and in those it starts."""
    monkeypatch.setenv("ATTEST_MODEL", "fake")


@pytest.fixture
def keep(tmp_path: Path) -> Callable[[str, bytes | str], Path]:
    """Write a file into the folder `docs`."""

    def write(name: str, content: bytes | str) -> Path:
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def service(request: pytest.FixtureRequest, home: Path) -> Iterator[Service]:
    """A service on an empty store, or on a copy of the library for a test that asks for `filled`."""
    if "filled" in request.fixturenames:
        shutil.copytree(request.getfixturevalue("library").home, home)
    with Service(Settings(home=home, model="fake")) as opened:
        yield opened


@dataclass(frozen=True)
class Library:
    """Four documents, ingested once for the whole run."""

    home: Path
    ids: list[str]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("library")
    files = {
        "lease.md": LEASE.encode(),
        "warranty.pdf": WARRANTY,
        "long.txt": LONG.encode(),
        "d.md": DOSE.encode(),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with Service(Settings(home=folder / "home", model="fake")) as made:
        ids = add(made, *(folder / name for name in files))
        return Library(folder / "home", ids)


@pytest.fixture
def filled(library: Library) -> list[str]:
    """Ids of lease.md, warranty.pdf, long.txt and d.md, which `service` has then."""
    return library.ids


def drain(service: Service, owner: str = "test") -> None:
    """Do all jobs here, with the service's own models."""
    pipeline = Pipeline(service.store, *service.models(), owner)
    while job := service.store.jobs.claim(owner):
        pipeline.run(job)


def add(service: Service, *paths: Path, memories: bool = True, collection: str = "default") -> list[str]:
    """Add files, do their jobs, and return their documents' ids."""
    added = service.add_documents(paths, collection, memories=memories)
    drain(service)
    return [str(each.document_id) for each in added]


def answer(service: Service, question: str, **options: Any) -> Answer:
    """The last event of an answer."""
    event = list(service.ask(question, options.pop("collection", "default"), **options))[-1]
    assert isinstance(event, DoneEvent)
    return event.answer


@dataclass(frozen=True)
class Done:
    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.stdout.splitlines()]


def attest(*arguments: str | Path) -> Done:
    """The command line in this process."""
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def attest_process(*arguments: str | Path) -> Done:
    """The command line in a process of its own, which starts a worker of its own."""
    command = [sys.executable, "-m", "app", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return Done(result.returncode, result.stdout, result.stderr)
