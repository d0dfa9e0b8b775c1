"""What every test gets: no network, a home of its own, quiet libraries, and the real data where it lies."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.offline import sitecustomize

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

# The same examples every time, so that a change is refused for what it changed; others are looked for with
# HYPOTHESIS_PROFILE=default.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

ROOT = Path(__file__).resolve().parents[1]


# sockets reach this machine only, here and in the Python processes that tests start
OFFLINE = str(Path(sitecustomize.__file__).parent)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (OFFLINE, os.environ.get("PYTHONPATH"))))


@pytest.fixture(scope="session", autouse=True)
def connections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where attempts to reach another machine leave a line, also those of other processes."""
    log = tmp_path_factory.mktemp("network") / "connections"
    log.touch()
    os.environ[sitecustomize.LOG] = str(log)
    return log


@pytest.fixture(autouse=True)
def _no_network(connections: Path) -> Iterator[None]:
    """A test fails that tried, even where the attempt was caught."""
    yield
    tried = connections.read_text(encoding="utf-8")
    connections.write_text("", encoding="utf-8")
    assert tried == ""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`ATTEST_HOME`, empty."""
    folder = tmp_path / "home"
    monkeypatch.setenv("ATTEST_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the default model is de-quantised, once for the whole run."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real documents and questions; tests that need them are skipped where they are not."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared data is not on this machine")
    return folder
