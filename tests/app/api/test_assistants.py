"""The reference client of the Model Context Protocol, against `attest mcp` in a process of its own."""

import sys
from typing import Any

import anyio
import pytest
from mcp import StdioServerParameters
from mcp.client import Client

from tests.app.api.conftest import QUESTION

pytestmark = pytest.mark.usefixtures("fake_model")


def talk(home: str, *calls: tuple[str, dict[str, Any]]) -> tuple[list[str], list[Any]]:
    async def run() -> tuple[list[str], list[Any]]:
        process = StdioServerParameters(
            command=sys.executable,
            args=["-m", "app", "mcp"],
            env={"ATTEST_HOME": home, "ATTEST_MODEL": "fake"},
        )
        async with Client(process) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            return tools, [await client.call_tool(name, arguments) for name, arguments in calls]

    return anyio.run(run)


def test_it(service, filled, home) -> None:
    tools, results = talk(
        str(home),
        ("list_collections", {}),
        ("ask", {"question": QUESTION, "collection": "default"}),
        ("search", {"query": "rent", "collection": "default"}),
        ("read_page", {"document_id": filled[1], "page": 2}),
        ("ask", {"question": QUESTION, "collection": "nix"}),
    )
    print(tools)
    for each in results:
        print(each.is_error, each.structured_content, each.content[0].text[:200])
