"""The reference client of the Model Context Protocol, against `attest mcp` in a process of its own."""

import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import StdioServerParameters
from mcp.client import Client

from app.service import Service
from tests.app.api.conftest import QUESTION
from tests.app.conftest import answer


def talk(home: Path, *calls: tuple[str, dict[str, Any]]) -> tuple[list[str], list[Any]]:
    """The tools' names, and what each call gave."""

    async def run() -> tuple[list[str], list[Any]]:
        process = StdioServerParameters(
            command=sys.executable,
            args=["-m", "app", "mcp"],
            env={"ATTEST_HOME": str(home), "ATTEST_MODEL": "fake", "PYTHONPATH": os.environ["PYTHONPATH"]},
        )
        async with Client(process) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            return tools, [await client.call_tool(name, arguments) for name, arguments in calls]

    return anyio.run(run)


@pytest.mark.usefixtures("fake_model")
def test_the_reference_client_asks_searches_and_reads(
    service: Service, filled: list[str], home: Path
) -> None:
    tools, (collections, asked, found, page, unknown, missing) = talk(
        home,
        ("list_collections", {}),
        ("ask", {"question": QUESTION, "collection": "default"}),
        ("search", {"query": "liability of the supplier", "collection": "default", "count": 2}),
        ("read_page", {"document_id": filled[1], "page": 2}),
        ("ask", {"question": QUESTION, "collection": "nothing"}),
        ("read_page", {"document_id": filled[1], "page": 9}),
    )
    assert tools == ["list_collections", "ask", "search", "read_page"]
    assert collections.structured_content == {
        "result": [{"name": "default", "profile": "general", "documents": 4}]
    }
    expected = answer(service, QUESTION)
    told = asked.structured_content
    assert (told["answer"], told["mode"]) == (expected.answer, "memory")
    assert told["citations"][0]["document_name"] == "lease.md"
    assert [each["text"] for each in told["citations"]] == [each.text for each in expected.citations]
    passages = found.structured_content["result"]
    assert len(passages) == 2
    assert (passages[0]["document_id"], passages[0]["page"]) == (filled[1], 2)
    text = page.structured_content["text"]
    assert text[passages[0]["start"] : passages[0]["end"]] == passages[0]["text"]
    assert page.structured_content["document_name"] == "warranty.pdf"
    assert unknown.is_error
    assert "there is no collection 'nothing'" in unknown.content[0].text
    assert missing.is_error
