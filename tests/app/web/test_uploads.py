"""Uploads keep their names, leave no copies behind, and are never addresses."""

import asyncio
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
from gradio.exceptions import Error
from hypothesis import given
from hypothesis import strategies as st

from app.library.file_names import LONGEST_NAME, safe_name
from app.web.library import Library, LibraryParts
from app.web.ordering import Listing
from app.web.showing import Shown
from app.web.uploads import DroppedFile, keep_names, named_files
from tests.app.web.double import DoubleService


@given(st.text())
def test_any_name_is_a_plain_file_name(name: str) -> None:
    safe = safe_name(name)
    assert safe not in ("", ".", "..")
    assert "/" not in safe
    assert "\\" not in safe
    assert safe.isprintable()
    assert len(safe.encode()) <= LONGEST_NAME


def test_names_are_kept() -> None:
    assert safe_name("folder/§ 12 & Söhne (final).pdf") == "§ 12 & Söhne (final).pdf"
    assert safe_name("C:\\files\\deed.pdf") == "deed.pdf"
    assert safe_name("x" * 300 + ".pdf").endswith("x.pdf")


def test_files_are_handed_over_once_and_removed(tmp_path: Path) -> None:
    (tmp_path / "hash").mkdir()
    stored = tmp_path / "hash" / "12 Shne.pdf"
    stored.write_bytes(b"content")
    file = DroppedFile(str(stored), "§ 12 Söhne.pdf")
    with named_files([file, file, str(tmp_path / "gone.pdf")]) as paths:
        assert [path.name for path in paths] == ["§ 12 Söhne.pdf"]
        assert paths[0].read_bytes() == b"content"
    assert list((tmp_path / "hash").iterdir()) == []
    with named_files([]) as paths:
        assert paths == []


def test_addresses_are_refused() -> None:
    async def move(path: str) -> str:
        return path

    component = SimpleNamespace(async_move_resource_to_block_cache=move)
    keep_names(component)
    with pytest.raises(Error, match="Only files"):
        asyncio.run(component.async_move_resource_to_block_cache("http://127.0.0.1/secret"))
    assert asyncio.run(component.async_move_resource_to_block_cache("/tmp/a.pdf")) == "/tmp/a.pdf"


def test_files_go_where_the_page_stands_before_the_browser_has_chosen(
    service: DoubleService, tmp_path: Path
) -> None:
    parts = LibraryParts(**{each.name: each.name for each in fields(LibraryParts)})  # type: ignore[arg-type]
    library = Library(service, parts)
    for number, chosen in enumerate((None, "Contracts")):
        file = tmp_path / f"{number}.txt"
        file.write_text("text")
        done = library.add_files([str(file)], chosen, Listing(), Shown(collection="Medicines"))
        assert "1 document added" in done["notice"]
    homes = {each.name: each.collection for each in service.library.values()}
    assert (homes["0.txt"], homes["1.txt"]) == ("Medicines", "Contracts")
