"""`attest memories verify`, `rebuild` and `compact`, and deletes that leave nothing."""

import io
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import numpy as np
import pytest

from app.service import Service
from app.settings import Settings
from engine import fake
from engine.format import Fingerprint, MemoryFormat
from tests.app.conftest import add, answer, attest, attest_process, drain
from tests.ingest.make_pdf import make_pdf, text_sheet
from tests.storage.residue import left_behind

pytestmark = pytest.mark.usefixtures("fake_model")


def words(seed: int, count: int = 60) -> list[str]:
    random = np.random.default_rng(seed)
    return ["".join(random.choice(list("bcdfghjklmnpqrstvwxz"), 8)) for _ in range(count)]


def sentences(seed: int) -> list[str]:
    made = words(seed)
    return [" ".join(made[first : first + 6]) + "." for first in range(0, len(made), 6)]


def word(lines: list[str]) -> bytes:
    document, file = docx.Document(), io.BytesIO()
    for line in lines:
        document.add_paragraph(line)
    document.save(file)
    return file.getvalue()


def shards(home: Path) -> list[Path]:
    return sorted((home / "bank").rglob("*.safetensors"))


def until(happened: Callable[[], object], worker: subprocess.Popen[bytes]) -> None:
    """Wait; if it does not happen, end the worker too."""
    limit = time.monotonic() + 60
    while not happened():
        if time.monotonic() > limit:
            worker.kill()
            pytest.fail("it did not happen in time")
        time.sleep(0.005)


FORMATS: dict[str, Callable[[list[str]], bytes]] = {
    ".html": lambda lines: "".join(f"<p>{line}</p>" for line in lines).encode(),
    ".docx": word,
    ".pdf": lambda lines: make_pdf(text_sheet(*lines[:5]), text_sheet(*lines[5:])),
    ".md": lambda lines: ("# " + lines[0] + "\n\n" + "\n\n".join(lines[1:])).encode(),
}


def test_nothing_of_deleted_documents_is_left_in_any_file(service: Service, keep, home: Path) -> None:
    """Of four formats, in a bank that they share, while another process has the store open."""
    kept = add(service, keep("kept.txt", "\n\n".join(sentences(99))))
    names = {end: f"{'-'.join(words(n, 3))}{end}" for n, end in enumerate(FORMATS)}
    added = add(
        service, *(keep(names[end], make(sentences(n))) for n, (end, make) in enumerate(FORMATS.items()))
    )
    question = sentences(0)[0]
    assert answer(service, question).citations[0].document_id == added[0]
    service.page_png(added[2], 1, 200)
    service.store.search("fake", 64).close()
    secrets = [name.encode() for name in names.values()]
    for document in added:
        ids = service.store.references.of_document(document)
        secrets += [row.token_ids.astype("<u4").tobytes() for row in service.store.references.get(ids)]
        secrets += [row.text.encode() for row in service.store.references.get(ids)]
    assert all(left_behind(home, [secret]) for secret in secrets)
    with Service(Settings(home=home, model="fake")) as other:
        other.collections()
        done = attest("documents", "delete", *added, "--json")
        assert done.status == 0
        assert [line["document_id"] for line in done.lines] == added
        assert left_behind(home, secrets) == []
        assert {each.document_id for each in answer(other, question).citations} == set(kept)
        other.store.search("fake", 64).close()
    assert left_behind(home, secrets) == []
    for verb in (("show", added[0]), ("text", added[0], "--page", "1")):
        gone = attest("documents", *verb)
        assert (gone.status, gone.stdout) == (1, "")
        assert f"there is no document {added[0]}" in gone.stderr
    assert attest("memories", "verify", "--json").json["ok"]


def test_a_document_that_is_being_read_can_be_deleted(
    service: Service, keep, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process deletes it between two stretches, while its reading process is in the next one."""
    text = [f"Page {n} is about {' '.join(words(n, 8))}." for n in range(400)]
    service.add_documents(
        [keep("-".join(words(7, 5)) + ".pdf", make_pdf(*(text_sheet(t) for t in text)))], "default"
    )
    (document,) = service.documents(None)
    keep_stretch, stretches = service.store.checkpoints.keep, []

    def then_delete(*arguments: Any) -> None:
        keep_stretch(*arguments)
        stretches.append(len(arguments[2]))
        if len(stretches) == 2:
            assert attest_process("documents", "delete", document.document_id).status == 0

    monkeypatch.setattr(service.store.checkpoints, "keep", then_delete)
    drain(service)
    assert sum(stretches) < len(text)
    assert left_behind(home, [document.name.encode(), *(line.encode() for line in text)]) == []
    assert service.jobs() == []
    assert attest("memories", "verify").status == 0


def test_verify_says_what_is_damaged(service: Service, filled, home: Path) -> None:
    whole = attest("memories", "verify", "--json")
    assert (whole.status, whole.json["ok"], whole.json["problems"]) == (0, True, [])
    (bank,) = whole.json["banks"]
    assert bank["whole"] == bank["memories"] == whole.json["references"] > 0
    path = shards(home)[0]
    content = bytearray(path.read_bytes())
    content[-100] ^= 0xFF
    path.write_bytes(bytes(content))
    some = attest("memories", "verify", "--json")
    (problem,) = some.json["problems"]
    assert (some.status, problem["message"], problem["shard"]) == (3, "its checksum is wrong", path.name)
    said = attest("memories", "verify")
    assert f"shard {path.name}, reference {problem['reference_id']}: its checksum is wrong" in said.stdout
    for each in shards(home):
        each.unlink()
    assert attest("memories", "verify", "--json").status == 1


def test_damaged_memories_are_written_anew(service: Service, filled, home: Path) -> None:
    path = shards(home)[0]
    path.write_bytes(path.read_bytes()[:1000])
    assert attest("memories", "verify").status == 3
    done = attest_process("memories", "rebuild", "--wait", "--json")
    assert done.status == 0
    assert done.json["discarded"] > 0
    assert (done.json["complete"], done.json["droppable"]) == (True, [])
    assert done.json["memories"] == done.json["references"]
    assert f"{done.json['references']} of {done.json['references']} memories" in done.stderr
    assert attest("memories", "verify").status == 0
    assert {job.status for job in service.jobs()} == {"done"}


def test_a_new_engine_gets_its_own_bank_and_the_old_one_can_be_dropped(
    service: Service, filled, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old,) = (bank.fingerprint_id for bank in service.store.banks.status())
    other = Fingerprint("other", "", "fake", "none", (0,), "{}", MemoryFormat(layers=(0,), codec="fp32"))
    monkeypatch.setattr(fake.FakeEngine, "fingerprint", property(lambda self: other))
    with Service(Settings(home=home, model="fake")) as changed:
        begun = attest("memories", "rebuild", "--json")
        assert begun.status == 0
        assert (begun.json["fingerprint_id"], begun.json["complete"]) == (other.id, False)
        assert (begun.json["memories"], begun.json["queued"]) == (0, len(filled))
        assert "no worker runs" in begun.stderr
        assert {(job.kind, job.status) for job in changed.jobs(limit=len(filled))} == {("memories", "queued")}
        assert attest("memories", "rebuild", "--json").json["queued"] == len(filled)  # and no second job
        assert sum(job.status == "queued" for job in changed.jobs()) == len(filled)
        drain(changed)
        done = attest("memories", "rebuild")
        assert f"bank {old} can be dropped: `attest memories compact --bank {old}`" in done.stdout
        mine = attest("memories", "compact", "--bank", other.id)
        assert (mine.status, mine.stdout) == (1, "")
        assert "belongs to the engine in use" in mine.stderr
        assert attest("memories", "compact", "--bank", "nothing").status == 1
        dropped = attest("memories", "compact", "--bank", old, "--json").json
        assert dropped["bytes_after"] < dropped["bytes_before"]
        assert {bank["fingerprint_id"]: bank["dropped"] for bank in dropped["banks"]} == {
            old: True,
            other.id: False,
        }
        assert not (home / "bank" / old).exists()
        assert attest("memories", "verify").status == 0


def test_compact_says_what_it_gained(service: Service, keep, home: Path) -> None:
    add(service, keep("a.txt", "\n\n".join(line for n in range(30) for line in sentences(n))), memories=False)
    for n in range(0, 30, 3):
        answer(service, sentences(n)[2])  # memories are written one by one, as they are needed
    assert len(shards(home)) > 1
    done = attest("memories", "compact", "--json").json
    (bank,) = done["banks"]
    assert (bank["shards_before"] > bank["shards_after"], bank["shards_after"]) == (True, len(shards(home)))
    assert bank["bytes_after"] == sum(path.stat().st_size for path in shards(home)) < bank["bytes_before"]
    assert f"now {bank['bytes_after']} bytes in 1 shards" in attest("memories", "compact").stdout
    assert attest("memories", "verify").status == 0


def test_a_killed_rebuild_goes_on(service: Service, filled, home: Path) -> None:
    for path in shards(home):
        path.unlink()
    attest("memories", "rebuild")
    command = [sys.executable, "-m", "ingest.worker", "--home", str(home), "--model", "fake"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as worker:
        until(lambda: shards(home), worker)
        worker.kill()
    assert attest("memories", "verify").status == 0
    for job in service.jobs():
        if job.status == "running":
            service.store.jobs.progress(job.id, job.stage, job.done, job.total, lease_seconds=0)
    drain(service)
    done = attest("memories", "rebuild", "--json").json
    assert (done["complete"], done["discarded"]) == (True, 0)
