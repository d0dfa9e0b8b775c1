"""A worker killed with SIGKILL again and again: the store ends as if nothing had been."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from storage.store import Store
from tests.ingest.contents import contents, damaged, differences, kept_so_far
from tests.ingest.make_pdf import make_pdf, text_sheet

KILLS, SEED = 3, 5
CLAUSES = "\n\n".join(
    f"# Clause {n}\n\nThe contractor delivers item {n} in the year {2000 + n}." for n in range(90)
)
SHEETS = make_pdf(
    *(text_sheet("ACME SUPPLY AGREEMENT", f"{n}. DELIVERY OF PART", f"Item {n} is due.") for n in range(70))
)


def worker(home: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "ingest.worker", "--home", str(home), "--model", "fake", *arguments]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def filled(home: Path, paths: list[Path]) -> Path:
    with Store.open(home) as store:
        store.collections.add("law", "legal")
        for path in paths:
            store.documents.add(path, "law")
    return home


def test_several_workers_make_the_same_store_as_one(tmp_path: Path, keep: Callable[..., Path]) -> None:
    paths = [keep(f"{n}.md", CLAUSES.replace("item", f"part {n} of item")) for n in range(4)]
    one, three = (filled(tmp_path / name, paths) for name in ("one", "three"))
    assert worker(one, "--until-idle").wait(120) == 0
    workers = [worker(three, "--until-idle") for _ in range(3)]
    assert [each.wait(120) for each in workers] == [0, 0, 0]
    assert differences(contents(one), contents(three)) == []
    with Store.open(three) as store:
        assert not any(job.reasons for job in store.jobs.list())


def test_killed_three_times_the_store_ends_as_if_nothing_had_been(
    tmp_path: Path, keep: Callable[..., Path]
) -> None:
    paths = [keep("clauses.md", CLAUSES), keep("sheets.pdf", SHEETS), keep("note.txt", "A short note.")]
    homes = [filled(tmp_path / name, paths) for name in ("undisturbed", "killed")]
    assert worker(homes[0], "--until-idle").wait(120) == 0
    expected = contents(homes[0])
    whole = kept_so_far(homes[0])

    chance = random.Random(SEED)
    moments = sorted(chance.randrange(1, whole) for _ in range(KILLS))
    for moment in moments:
        process = worker(homes[1])
        while kept_so_far(homes[1]) < moment:
            assert process.poll() is None, f"the worker ended with status {process.returncode}"
            time.sleep(0.002)
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert damaged(homes[1]) == []
    assert worker(homes[1], "--until-idle").wait(120) == 0
    assert differences(expected, contents(homes[1])) == []
    assert damaged(homes[1]) == []
    with Store.open(homes[1]) as store:
        reasons = [reason.message for job in store.jobs.list() for reason in job.reasons]
        assert reasons  # and no lease of a minute was waited for:
        assert all("the worker died (" in reason for reason in reasons)
