"""A watched folder: what is new, changed, renamed, removed, unfinished or not meant."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.library import watching
from app.library.folders import is_left_out, look_into
from app.library.ingesting import IngestOptions, Intake, Outcome
from app.library.watching import Event, Removed, watch
from app.service import Service
from tests.app.conftest import DOSE, LEASE, LONG, answer, attest, drain
from tests.app.library.test_ingesting import until

pytestmark = pytest.mark.usefixtures("fake_model")

TENANT = "How can the tenant terminate the lease?"


class Watch:
    """A watched folder, one look at a time."""

    def __init__(
        self, service: Service, folder: Path, *, delete: bool = False, collection: str = "c"
    ) -> None:
        self.service, self.delete = service, delete
        service.have_collection(collection, None)
        self.intake = Intake(service, IngestOptions(collection, wait=False))
        self.folder = watching._Folder(service, folder, collection, self.intake, retry=False)

    def look(self, times: int = 2) -> list[Event]:
        """What the looks find; two settle a file."""
        events: list[Event] = []
        for _ in range(times):
            events += self.folder.arrivals(threading.Event())
            events += self.folder.departures(self.delete)
            drain(self.service)
        return events


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "matter"
    (made / "sub").mkdir(parents=True)
    return made


@pytest.fixture
def watched(service: Service, folder: Path) -> Watch:
    return Watch(service, folder)


def names(events: list[Event]) -> list[tuple[str, str]]:
    return [(Path(event.path).name, event.status) for event in events]


def write(path: Path, text: str) -> Path:
    """A file that differs in its stamp from what was written before, however quick the test is."""
    path.write_text(text)
    write.at += 1_000_000_000  # type: ignore[attr-defined]
    os.utime(path, ns=(write.at, write.at))  # type: ignore[attr-defined]
    return path


write.at = 1_600_000_000_000_000_000  # type: ignore[attr-defined]


def test_a_file_is_read_once_it_is_completely_written(watched: Watch, folder: Path) -> None:
    write(folder / "lease.md", LEASE[:40])
    assert watched.look(1) == []
    write(folder / "lease.md", LEASE[:80])  # still growing
    assert watched.look(1) == []
    write(folder / "lease.md", LEASE)
    assert watched.look(1) == []
    (event,) = watched.look(1)
    assert names([event]) == [("lease.md", "queued")]
    (document,) = watched.service.documents("c")
    assert (document.bytes, document.status, document.version) == (len(LEASE), "ready", 1)
    assert watched.look(3) == []


def test_a_changed_file_becomes_a_version_and_answers_follow(watched: Watch, folder: Path) -> None:
    path = write(folder / "lease.md", LEASE)
    watched.look()
    old = answer(watched.service, TENANT, collection="c").citations[0]
    write(path, LEASE.replace("ninety", "thirty"))
    watched.look()
    new = answer(watched.service, TENANT, collection="c").citations
    assert "thirty" in new[0].text
    assert old.document_id not in {cited.document_id for cited in new}
    view = watched.service.page_view(old.document_id, old.page)  # the old answer's citation still opens
    assert old.text in view.text
    assert view.superseded
    assert not watched.service.page_view(new[0].document_id, 1).superseded
    assert watched.service.document(old.document_id).superseded_by == new[0].document_id


def test_nothing_is_hashed_again_without_need(
    watched: Watch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        write(folder / f"{n}.md", f"{LEASE} {n}")
    assert len(watched.look()) == 4
    again = Watch(watched.service, folder)  # a new start
    monkeypatch.setattr(Intake, "take_in", lambda self, path: pytest.fail(f"{path} was read again"))
    assert again.look(3) == []


def test_what_failed_for_a_passing_reason_is_tried_again_at_the_next_start(
    watched: Watch, folder: Path
) -> None:
    write(folder / "a.md", LEASE)
    write(folder / "blank.md", "  \n")
    watched.look()
    by_name = {view.name: view.document_id for view in watched.service.documents("c")}
    watched.service.store.documents.set_status(by_name["a.md"], "failed", "a.md: the disk failed")
    assert names(Watch(watched.service, folder).look()) == [("a.md", "queued")]  # the blank one stays blank


def test_a_file_that_is_gone_is_told_once_and_its_document_kept(watched: Watch, folder: Path) -> None:
    write(folder / "lease.md", LEASE)
    write(folder / "dose.md", DOSE)
    watched.look()
    (folder / "lease.md").unlink()
    assert watched.look(1) == []  # an editor may be replacing it
    (event,) = watched.look(1)
    assert isinstance(event, Removed)
    assert (event.status, event.receipt) == ("gone", None)
    assert watched.look() == []
    (source,) = watched.service.document(event.document_id).sources
    assert source.gone_at is not None
    assert answer(watched.service, TENANT, collection="c").citations
    assert Watch(watched.service, folder).look() == []
    write(folder / "lease.md", LEASE)
    assert names(watched.look()) == [("lease.md", "duplicate")]
    (source,) = watched.service.document(event.document_id).sources
    assert source.gone_at is None


def test_removed_files_are_deleted_if_that_is_wanted(service: Service, folder: Path) -> None:
    watched = Watch(service, folder, delete=True)
    path = write(folder / "lease.md", LEASE)
    write(folder / "dose.md", DOSE)
    watched.look()
    write(path, LEASE.replace("ninety", "thirty"))
    watched.look()
    path.unlink()
    events = watched.look()
    assert names(events) == [("lease.md", "deleted")] * 2  # both versions
    for event in events:
        assert isinstance(event, Removed)
        assert event.receipt is not None
        assert event.receipt.document_id == event.document_id
    assert [view.name for view in service.documents("c")] == ["dose.md"]


@pytest.mark.parametrize("delete", [False, True])
def test_a_renamed_or_moved_file_is_not_gone(service: Service, folder: Path, delete: bool) -> None:
    watched = Watch(service, folder, delete=delete)
    write(folder / "lease.md", LEASE)
    write(folder / "dose.md", DOSE)
    watched.look()
    (folder / "lease.md").rename(folder / "sub" / "final.md")
    assert names(watched.look(3)) == [("final.md", "duplicate")]
    write(folder / "sub" / "final.md", LEASE.replace("ninety", "thirty"))
    watched.look()
    by_version = {
        view.version: view for view in service.documents("c") if "lease" in view.name or view.version == 2
    }
    assert by_version[1].superseded_by == by_version[2].document_id


@pytest.mark.parametrize("delete", [False, True])
def test_a_drive_that_is_not_connected_removes_nothing(
    service: Service, folder: Path, delete: bool, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watch(service, folder, delete=delete)
    write(folder / "lease.md", LEASE)
    watched.look()
    away = folder.with_name("away")
    folder.rename(away)
    assert watched.look(3) == []
    assert "waited for" in caplog.text
    folder.mkdir()  # an empty mount point
    assert watched.look(3) == []
    assert "empty now" in caplog.text
    assert Watch(service, folder, delete=delete).look(3) == []
    folder.rmdir()
    away.rename(folder)
    assert watched.look(3) == []
    (view,) = service.documents("c")
    assert (view.status, view.sources[0].gone_at) == ("ready", None)


def test_what_lies_in_a_folder_that_cannot_be_read_is_not_gone(
    watched: Watch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "sub" / "lease.md", LEASE)
    write(folder / "subject.md", DOSE)
    watched.look()
    scandir = os.scandir

    def locked(path: Path) -> Iterator[os.DirEntry[str]]:
        if path == folder / "sub":
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    write(folder / "other.md", LONG)
    (folder / "subject.md").unlink()
    assert names(watched.look(3)) == [("other.md", "queued"), ("subject.md", "gone")]


def test_a_file_that_cannot_be_taken_in_is_told_once_and_tried_again(
    watched: Watch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "lease.md", LEASE)
    take_in = Intake.take_in
    error = Outcome(str(folder / "lease.md"), None, "failed", error="no permission")
    monkeypatch.setattr(Intake, "take_in", lambda self, path: error)
    assert watched.look(4) == [error]
    monkeypatch.setattr(Intake, "take_in", take_in)
    monkeypatch.setattr(watching.time, "monotonic", lambda clock=watching.time.monotonic: clock() + 61)
    assert names(watched.look(1)) == [("lease.md", "queued")]


def test_a_document_deleted_from_the_store_stays_deleted_while_watching(watched: Watch, folder: Path) -> None:
    write(folder / "lease.md", LEASE)
    watched.look()
    (view,) = watched.service.documents("c")
    watched.service.delete_document(view.document_id)
    assert watched.look(3) == []


JUNK = [".lease.docx.swp", ".~lock.a.odt#", "a.TMP", "b.part", "c.crdownload", "Thumbs.db", ".DS_Store"]
JUNK += ["desktop.ini", "~$lease.docx", "lease.docx~", "~WRL0001.tmp", "x.lock", "Icon\r"]


@pytest.mark.parametrize("name", [*JUNK, "Icon\r"])
def test_what_programs_leave_lying_about_is_not_meant(name: str) -> None:
    assert is_left_out(name)


@pytest.mark.parametrize(
    "name", ["lease.docx", "temp.pdf", "tmp", "part 1.pdf", "lock.pdf", "a~b.txt", "icon"]
)
def test_ordinary_names_are_meant(name: str) -> None:
    assert not is_left_out(name)


def test_links_in_circles_end_and_links_to_files_are_read(folder: Path) -> None:
    (folder / "sub" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "self").symlink_to("self")
    write(folder / "lease.md", LEASE)
    (folder / "sub" / "link.md").symlink_to(folder / "lease.md")
    (folder / ".git").mkdir()
    write(folder / ".git" / "config.md", "x")
    found = look_into(folder)
    assert [path.relative_to(folder).as_posix() for path in found.files] == [
        "lease.md",
        "self",
        "sub/link.md",
    ]
    assert found.links == [folder / "sub" / "up"]
    assert found.problems == []


def test_only_folders_are_watched(keep) -> None:
    done = attest("ingest", "--watch", keep("a.md", LEASE))
    assert (done.status, "not a folder" in done.stderr) == (1, True)
    assert attest("ingest", "--delete-removed", ".").status == 2


@pytest.fixture
def listening() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_watching_from_the_command_line_ends_with_ctrl_c(service: Service, folder: Path) -> None:
    write(folder / "lease.md", LEASE)
    command = [sys.executable, "-m", "app", "ingest", "--watch", str(folder), "--every", "0.2", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert (first["status"], first["version"], first["replaces"]) == ("ready", 1, None)
        write(folder / "lease.md", DOSE)
        second = json.loads(process.stdout.readline())
        assert (second["status"], second["version"], second["replaces"]) == (
            "ready",
            2,
            first["document_id"],
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stdout.read() == ""
    until(lambda: not service.store.workers.alive())
    assert not any(job.status == "running" for job in service.jobs())


def test_stopping_ends_the_stream(service: Service, folder: Path) -> None:
    write(folder / "lease.md", LEASE)
    stop = threading.Event()
    events = watch(service, [folder], stop, IngestOptions("c", "legal", wait=False), every=0.01)
    assert next(events).status == "queued"
    stop.set()
    assert list(events) == []
    assert service.collections()[0].profile == "legal"
