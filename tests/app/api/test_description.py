"""The API keeps what its description promises, whatever is sent; /docs and docs/api.md show it."""

import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.types import ASGIApp

from app.api.reference import described, reference
from app.service import Service
from app.web.security import page_policy
from tests.app.api.conftest import served
from tests.conftest import ROOT

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def call_with_everything(address: str, cases: int, known: list[str]) -> Counter[int]:
    """Send at least `cases` requests as the description allows them; how often each status came.

    known: ids of documents, which made-up ones would never hit.
    """
    chance, statuses = random.Random(11), Counter[int]()
    schema = schemathesis.openapi.from_dict(dict(described()))
    operations = [found.ok() for found in schema.get_all_operations()]
    share = -(-cases // len(operations))
    with requests.Session() as session:
        for operation in operations:
            sent = 0

            def send(case: Any) -> None:
                nonlocal sent
                sent += 1
                if "document_id" in case.path_parameters and chance.random() < 0.5:
                    case.path_parameters["document_id"] = chance.choice(known)
                response = case.call(base_url=f"{address}/v1", session=session)
                case.validate_response(response, checks=CHECKS)
                statuses[response.status_code] += 1

            while sent < share:  # an operation without parameters has one case only
                quietly = settings(
                    max_examples=share - sent,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )
                seed(sent)(quietly(given(case=operation.as_strategy())(send)))()
    return statuses


def test_nothing_that_the_description_allows_is_a_fault(guarded: ASGIApp, filled: list[str]) -> None:
    with served(guarded) as address:
        statuses = call_with_everything(address, 150, filled)
    assert statuses.total() >= 150
    assert statuses[200] > 10


@pytest.mark.slow
def test_nothing_in_two_thousand_cases_is_a_fault(guarded: ASGIApp, filled: list[str]) -> None:
    with served(guarded) as address:
        statuses = call_with_everything(address, 2000, filled)
    print(dict(sorted(statuses.items())))
    assert statuses.total() >= 2000
    assert {200, 202, 404, 422} <= set(statuses)


def test_the_docs_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs")
    loaded = re.findall(r'(?:src|href|url)["\']?\s*[=:]\s*["\']([^"\']+)["\']', page.text)
    assert set(loaded) == {
        "/docs/files/swagger-ui-bundle.js",
        "/docs/files/swagger-ui.css",
        "/favicon.ico",
        "/openapi.json",
    }
    assert "http" not in page_policy("")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert all("nonce=" in tag for tag in re.findall(r"<script[^>]*>", page.text))
    script = client.get("/docs/files/swagger-ui-bundle.js")
    assert (script.status_code, len(script.content) > 1_000_000) == (200, True)
    assert client.get("/docs/files/swagger-ui.css").headers["content-type"].startswith("text/css")
    assert client.get("/openapi.json").json()["servers"] == [{"url": "/v1"}]
    assert client.get("/docs/files/../main.py").status_code == 404


def test_the_page_of_the_api_is_current() -> None:
    current = reference(described())
    command = "`python -m app.api.reference > docs/api.md` writes it anew"
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == current, command


def test_the_description_needs_no_key_and_names_nobodys_documents(
    client: TestClient, ready: Service, tmp_path: Path
) -> None:
    ready.add_collection("Secret matter", "legal")
    assert "Secret" not in client.get("/openapi.json").text
