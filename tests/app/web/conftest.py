"""A service without a model, and its conversation."""

from pathlib import Path

import pytest

from app.web.conversation import Turn
from tests.app.web.double import DoubleService, legal_answer


@pytest.fixture
def service(tmp_path: Path) -> DoubleService:
    return DoubleService(tmp_path)


@pytest.fixture
def turn() -> Turn:
    answer = legal_answer()
    return Turn(
        "How can the lease be ended?", "Contracts", "memory", answer=answer, reads=tuple(answer.reads)
    )
