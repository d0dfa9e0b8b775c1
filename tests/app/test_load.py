"""A small crowd on the fake model, through `attest serve`: nobody meets an error, nobody is passed over."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.app.conftest import QUESTION, Library
from tests.bench.load import Crowd, attest_serve


@pytest.mark.usefixtures("fake_model")
def test_a_small_crowd_is_served_in_turn(library: Library, home: Path) -> None:
    shutil.copytree(library.home, home)
    crowd = Crowd("default", [QUESTION], looks=(0.0, 0.2))
    with attest_serve(home) as (address, _):
        asyncio.run(crowd.come(address, readers=4, askers=3, ramp=0, seconds=300, answers=24))
    report = crowd.report()
    assert report["errors"] == {}
    assert {"page", "event", "api", "answer"} <= report["count"].keys()
    assert report["ahead"] <= 2
    assert sum(report["answers"]) >= 24
    assert min(report["answers"]) >= max(report["answers"]) / 2
