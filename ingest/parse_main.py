"""The reading process: `python -m ingest.parse_main`, started by ingest.sandbox and by nothing else.

Takes one JSON request on standard input, gives up what it does not need (open files, sockets, children,
writing, memory beyond the limit), and only then imports the one parser that the file needs. Answers on
standard output in the language of ingest.border.
"""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ingest import border
from ingest.document import PDF, PICTURES, Page, PageWarning, Start
from ingest.errors import DamagedFile, DiskFailed, EmptyFile, NoText, TooLarge, UnreadableDocument
from ingest.limits import Limits

_OPEN_FILES = 64
_DISK = {errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT}


def main() -> None:
    output = _take_output()
    request = json.load(sys.stdin)
    sys.stdin.close()
    path, limits = Path(request["path"]), Limits(**request["limits"])
    _confine(limits)
    try:
        for header, payload in _answers(path, request, limits, lambda: _go_on(output, limits)):
            border.send(output, header, payload)
        border.send(output, {"kind": "done"})
    except UnreadableDocument as error:
        _report(output, error)
    except MemoryError:
        _report(output, _out_of_memory(path, limits))
    except RecursionError:
        _report(output, DamagedFile(f"{path.name}: nested too deeply to be read; re-save it"))
    except BrokenPipeError:
        return  # the parent has left
    except Exception as error:  # noqa: BLE001 - parsers raise anything; the type says enough, the text may quote the document
        _report(output, _failed(path, error))


def _failed(path: Path, error: Exception) -> UnreadableDocument:
    """Whether the disk failed or the contents did: a document that broke a limit is not the disk's fault."""
    if isinstance(error, OSError) and error.errno in _DISK:
        return DiskFailed(f"{path.name}: the disk could not read this file ({error.strerror}); try again")
    return DamagedFile(
        f"{path.name}: damaged, its parser failed ({type(error).__name__}); re-save or re-export it"
    )


def _drawn(path: Path, request: dict[str, Any]) -> bytes:
    from ingest.media import sniff

    if sniff(path) in PICTURES:
        from ingest.readers.picture import picture_image

        return picture_image(path, request["page"], request["width_px"])
    from ingest.readers.pdf_image import page_image

    return page_image(path, request["page"], request["width_px"], request["password"])


def _answers(
    path: Path, request: dict[str, Any], limits: Limits, step: Callable[[], None]
) -> Iterator[border.Message]:
    if request["task"] == "render":
        yield {"kind": "image"}, _drawn(path, request)
        return
    if request["task"] == "unlock":
        from ingest.readers.pdf_unlock import unlocked

        for block in unlocked(path, request["passwords"]):
            yield {"kind": "block"}, block
        return
    from ingest.media import sniff
    from ingest.readers.dispatch import read_as

    media_type = request["media_type"] or sniff(path)
    start = Start(**request["start"])
    any_text, pages, damaged = start.spoken, start.after, start.damaged
    for item in read_as(path, media_type, request["password"], limits, start, step):
        # what reads a whole file at once reads it again; nothing behind the border needs these pages again
        if (isinstance(item, Page) and item.number <= start.after) or (
            isinstance(item, PageWarning) and item.page is not None and item.page <= start.after
        ):
            continue
        if isinstance(item, Page):
            pages += 1
            if pages > limits.pages:
                raise TooLarge(f"{path.name}: more than the limit of {limits.pages} pages; split the file")
            any_text = any_text or bool(item.text.strip())
            damaged += media_type == PDF and item.width is None
        yield border.pack(item)
    if not any_text:
        raise _no_text(path, media_type, pages, damaged)


def _no_text(path: Path, media_type: str, pages: int, damaged: int) -> UnreadableDocument:
    if damaged and damaged == pages:
        return DamagedFile(
            f"{path.name}: none of its {pages} pages can be read; get a fresh copy of the file"
        )
    if media_type == PDF or media_type in PICTURES:
        return NoText(
            f"{path.name}: no text was found on any of its {pages} pages, by text recognition either; "
            "scan it again with more dots per inch if it has some"
        )
    return EmptyFile(f"{path.name}: there is no text in it")


def _out_of_memory(path: Path, limits: Limits) -> TooLarge:
    return TooLarge(
        f"{path.name}: reading it needs more than {limits.memory_bytes // 2**20} MiB of memory; "
        "split the file"
    )


def _report(output: BinaryIO, error: UnreadableDocument) -> None:
    try:
        border.send(output, {"kind": "error", "error": type(error).__name__, "message": str(error)})
    except BrokenPipeError:
        return  # the parent has left


def _take_output() -> BinaryIO:
    """Our own copy of standard output; what libraries print goes nowhere."""
    output = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return output


def _confine(limits: Limits) -> None:
    if sys.platform != "win32":
        import resource

        for what, most in (
            (resource.RLIMIT_AS, limits.memory_bytes),
            (resource.RLIMIT_CPU, limits.total_seconds),
            (resource.RLIMIT_NOFILE, _OPEN_FILES),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
        ):
            _, hard = resource.getrlimit(what)
            allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
            if what == resource.RLIMIT_AS:
                most = limits.memory_bytes + limits.recognition_bytes  # what `_go_on` may raise it to
                hard = most if hard == resource.RLIM_INFINITY else min(most, hard)
            elif what != resource.RLIMIT_CPU:
                hard = allowed
            # Processor time keeps its hard limit: at the soft one the kernel sends SIGXCPU, which names the
            # reason; at the hard one it would be a bare SIGKILL.
            resource.setrlimit(what, (allowed, hard))
    sys.addaudithook(_refuse)


def _go_on(output: BinaryIO, limits: Limits) -> None:
    """Tell the parent that a page that is recognised goes on, and take the memory and the time for it."""
    if sys.platform != "win32":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = int(used.ru_utime + used.ru_stime) + limits.total_seconds
        for what, wanted in (
            (resource.RLIMIT_AS, limits.memory_bytes + limits.recognition_bytes),
            (resource.RLIMIT_CPU, seconds),
        ):
            _, hard = resource.getrlimit(what)
            resource.setrlimit(what, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    border.send(output, {"kind": "working"})


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """A reader has no business on the network or with other programs, whatever a document asks for."""
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system")):
        raise PermissionError(f"a reading process may not do {event}")


if __name__ == "__main__":
    main()
