"""Files that arrive through the browser, on their way into the store.

Gradio puts uploads into one folder under hashed directories; here each gets back the name it came with,
is handed over, and is deleted. Refuses addresses in place of files: the page fetches nothing.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gradio.exceptions import Error as GradioError

from app.library.file_names import safe_name


class DroppedFile(str):
    """Path of an upload; `original_name` is what the reader's computer called it."""

    original_name: str

    def __new__(cls, path: str, original_name: str) -> "DroppedFile":
        file = super().__new__(cls, path)
        file.original_name = original_name
        return file


def keep_names(component: Any) -> None:
    """Give a `gr.File` or `gr.UploadButton` our manners: keep names, open nothing, download nothing.

    Done on the instance, because a subclass of a component makes Gradio write a stub file beside its source.
    """
    move = component.async_move_resource_to_block_cache

    async def move_file(path: str | Path | None) -> str | None:
        if "://" in str(path):
            raise GradioError("Only files can be added here, not addresses.", print_exception=False)
        moved: str | None = await move(path)
        return moved

    component.async_move_resource_to_block_cache = move_file
    component._process_single_file = _dropped


def _dropped(data: Any) -> DroppedFile:
    return DroppedFile(data.path, safe_name(data.orig_name or Path(data.path).name))


@contextmanager
def named_files(files: Sequence[str]) -> Iterator[list[Path]]:
    """Uploads under their own names, for as long as the block lasts; deleted with their folder after it.

    A file that another request took away in the meantime is left out.
    """
    if not files:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="incoming-", dir=Path(files[0]).parent) as folder:
        named = []
        for index, file in enumerate(dict.fromkeys(files)):
            name = file.original_name if isinstance(file, DroppedFile) else safe_name(Path(file).name)
            place = Path(folder) / str(index) / name
            place.parent.mkdir()
            with suppress(FileNotFoundError):
                os.replace(file, place)
                named.append(place)
        yield named
