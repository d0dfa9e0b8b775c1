"""Answers on the fake engine with the real store: what is read, cited, left out, and when it abstains."""

import json
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from app.answering import asking
from app.answering.abstaining import ABSTENTION
from app.answering.answer import DoneEvent, ReadEvent, TokenEvent
from app.answering.asking import Asker
from app.errors import AttestError, NothingToAsk
from app.service import Service
from engine.fake import FakeEngine, text_of
from engine.protocol import Chunk, KeyedMemory
from tests.app.conftest import LEASE, QUESTION, add, answer


def test_the_stream_is_tokens_reads_and_one_answer(service: Service, filled) -> None:
    events = list(service.ask(QUESTION, "default"))
    assert isinstance(events[-1], DoneEvent)
    done = events[-1].answer
    assert "".join(event.text for event in events if isinstance(event, TokenEvent)).strip() == done.answer
    assert [event.read for event in events if isinstance(event, ReadEvent)] == done.reads
    assert "ninety days notice" in done.answer
    assert done.timings.tokens == done.reads[-1].to_token > 0
    assert 0 <= done.timings.retrieve <= done.timings.first_token
    json.dumps(done.to_json())


def test_citations_come_from_reads_and_agree_with_the_page(service: Service, filled) -> None:
    done = answer(service, "What does clause 7 oblige the contractor to deliver?")
    read = {(each.document_id, each.page, each.start, each.end) for r in done.reads for each in r.memories}
    assert [cited.n for cited in done.citations] == list(range(1, len(done.citations) + 1))
    assert done.citations
    for cited in done.citations:
        assert (cited.document_id, cited.page, cited.start, cited.end) in read
        page = service.page_view(cited.document_id, cited.page)
        assert page.text[cited.start : cited.end] == cited.text
        assert (page.document_name, page.page_label) == (cited.document_name, cited.page_label)
        assert 0 < cited.attention <= 1
        assert cited.needed is None


def test_reads_and_other_are_one_softmax(service: Service, filled) -> None:
    done = answer(service, "What does clause 7 oblige the contractor to deliver?")
    assert len(done.reads) > 1
    for before, after in pairwise(done.reads):
        assert before.to_token == after.from_token
    for read in done.reads:
        assert 0 < len(read.memories) <= 5
        mass = sum(each.attention for each in read.memories)
        assert mass + read.other.question + read.other.answer + read.other.prefix == pytest.approx(
            1, abs=1e-4
        )
        assert [m.attention for m in read.memories] == sorted(
            (m.attention for m in read.memories), reverse=True
        )
        for memory in read.memories:
            page = service.page_view(memory.document_id, memory.page)
            assert page.text[memory.start : memory.end] == memory.text
            assert sum(token.attention for token in memory.tokens) <= memory.attention + 1e-6
            assert all(memory.start <= token.start < token.end <= memory.end for token in memory.tokens)


def test_rectangles_for_pdfs_only(service: Service, filled) -> None:
    pdf = answer(service, "How long is the warranty period of the turbine?").citations[0]
    assert (pdf.document_name, pdf.page) == ("warranty.pdf", 1)
    assert pdf.rects
    for x0, y0, x1, y1 in pdf.rects:
        assert 0 <= x0 < x1 <= 612
        assert 0 <= y0 < y1 <= 792
    assert service.rectangles(pdf.document_id, 1, [(pdf.start, pdf.end)])[0] == pdf.rects
    assert answer(service, QUESTION).citations[0].rects is None
    assert service.page_png(pdf.document_id, 1, 200).startswith(b"\x89PNG")


def test_modes(service: Service, filled) -> None:
    text = answer(service, QUESTION, mode="text")
    assert not any(read.memories for read in text.reads)
    assert text.engine.mode == "text"
    assert text.citations[0].document_name == "lease.md"
    assert all(cited.attention == 0 for cited in text.citations)
    none = answer(service, QUESTION, mode="none")
    assert (none.citations, none.abstained, none.timings.retrieve) == ([], False, 0)


def test_a_follow_up_is_looked_up_with_the_turn_before_it(service: Service, filled) -> None:
    follow_up = "And how often each day?"
    alone = answer(service, follow_up)
    after = answer(service, follow_up, history=[("What is the starting dose of metformin?", "500 mg")])
    assert alone.abstained
    assert not after.abstained
    assert after.citations[0].document_name == "d.md"


def test_nothing_supported_abstains_with_the_nearest_passages(service: Service, filled) -> None:
    done = answer(service, "zebra xylophone quasar")
    assert (done.answer, done.abstained, done.reads) == (ABSTENTION, True, [])
    assert 0 < len(done.citations) <= 5
    assert all(cited.attention == 0 for cited in done.citations)


def test_a_model_that_declines_cites_nothing(
    service: Service, filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fixed sentence is an abstention, though memories were read for it."""
    said = FakeEngine().tokenize(ABSTENTION).ids
    monkeypatch.setattr("engine.fake._ids_of", lambda keyed: said)
    monkeypatch.setattr(asking, "ABSTENTION", text_of(said).strip())
    done = answer(service, QUESTION)
    assert done.reads
    assert done.abstained
    assert done.citations
    assert all(cited.attention == 0 for cited in done.citations)
    assert done.sentences == []


def test_at_most_max_tokens_and_stop(service: Service, filled) -> None:
    assert answer(service, QUESTION, max_tokens=3).timings.tokens == 3
    stop = threading.Event()
    seen = []
    for event in service.ask(QUESTION, "default", stop=stop):
        seen.append(event)
        stop.set()
    done = seen[-1]
    assert isinstance(done, DoneEvent)
    assert done.answer.timings.tokens == 1
    assert done.answer.citations


def test_stopped_before_the_first_token(service: Service, filled) -> None:
    stop = threading.Event()
    stop.set()
    done = answer(service, QUESTION, stop=stop)
    assert (done.answer, done.citations, done.timings.tokens) == ("", [], 0)


def test_a_stream_may_be_left(service: Service, filled) -> None:
    stream = service.ask(QUESTION, "default")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert answer(service, QUESTION).citations


def test_another_collections_documents_are_never_read(service: Service, filled, keep) -> None:
    add(service, keep("other.md", LEASE.replace("ninety", "thirty")), collection="other")
    for collection, names in (
        ("default", {"lease.md", "long.txt", "warranty.pdf", "d.md"}),
        ("other", {"other.md"}),
    ):
        done = answer(service, QUESTION, collection=collection)
        read = {memory.document_id for each in done.reads for memory in each.memories}
        assert {service.document(each).name for each in read} <= names


def test_a_document_deleted_between_retrieval_and_reading_is_left_out(
    service: Service, filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = Asker._chosen

    def then_delete(*arguments: object) -> object:
        found = choose(*arguments)  # type: ignore[arg-type]
        if any(row.id == filled[0] for row in service.store.documents.list()):
            service.delete_document(filled[0])
        return found

    monkeypatch.setattr(Asker, "_chosen", then_delete)
    done = answer(service, QUESTION)
    read = {memory.document_id for each in done.reads for memory in each.memories}
    assert filled[0] not in read | {cited.document_id for cited in done.citations}
    assert done.answer


def test_a_document_deleted_while_it_is_answered_from(service: Service, filled) -> None:
    stream = service.ask(QUESTION, "default")
    next(stream)
    service.delete_document(filled[0])
    done = list(stream)[-1]
    assert isinstance(done, DoneEvent)
    assert filled[0] not in {cited.document_id for cited in done.answer.citations}


def test_the_only_document_deleted_while_it_is_answered_from(service: Service, keep) -> None:
    (only,) = add(service, keep("lease.md", LEASE))
    stream = service.ask(QUESTION, "default")
    next(stream)
    service.delete_document(only)
    done = list(stream)[-1]
    assert isinstance(done, DoneEvent)
    assert done.answer.citations == []


def test_what_cannot_be_asked(service: Service, keep) -> None:
    with pytest.raises(AttestError, match="the question is empty"):
        next(service.ask(" ", "default"))
    with pytest.raises(AttestError, match="there is no collection 'default'"):
        next(service.ask("x", "default"))
    service.add_collection("default", "general")
    with pytest.raises(NothingToAsk, match="is empty"):
        next(service.ask("x", "default"))
    add(service, keep("empty.txt", b""))
    with pytest.raises(NothingToAsk, match="could be read; see `attest documents list`"):
        next(service.ask("x", "default"))


def test_a_long_question_is_looked_up_piece_by_piece(service: Service, filled) -> None:
    asker = service.asker()
    engine = service.models()[0]
    question = " ".join(["What does the contractor deliver?"] * 20)
    assert len(engine.tokenize(question).ids) > 64
    trace = asking.Trace()
    memories_for = asker._memories_for(question, "default", [], trace)
    dose = memories_for(Chunk(0, "prompt", "the starting dose of metformin is five hundred milligrams"))
    lease = memories_for(Chunk(1, "prompt", QUESTION))
    assert trace.found[dose[0].key].row.document_name == "d.md"
    assert trace.found[lease[0].key].row.document_name == "lease.md"


# -- memories: cold, warm, damaged


def arrays(service: Service, document_id: str) -> list[dict[str, np.ndarray]]:
    engine = service.models()[0]
    bank = service.store.banks.open(engine.fingerprint.id, engine.fingerprint.to_json())
    found = bank.read(service.store.references.of_document(document_id))
    return [{name: np.array(value) for name, value in found[key].items()} for key in sorted(found)]


def same(left: list[dict[str, np.ndarray]], right: list[dict[str, np.ndarray]]) -> bool:
    return len(left) == len(right) and all(
        a.keys() == b.keys()
        and all(np.array_equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)
        for a, b in zip(left, right, strict=True)
    )


def test_a_memory_written_on_first_use_is_the_one_the_worker_writes(service: Service, keep) -> None:
    path = keep("lease.md", LEASE)
    (document_id,) = add(service, path)
    warm, by_worker = answer(service, QUESTION), arrays(service, document_id)
    service.delete_document(document_id)
    assert add(service, path, memories=False) == [document_id]
    assert (service.document(document_id).status, service.document(document_id).memories) == ("ready", 0)
    cold = answer(service, QUESTION)
    assert service.document(document_id).memories == service.document(document_id).references
    assert same(arrays(service, document_id), by_worker)
    again = answer(service, QUESTION)
    for other in (cold, again):
        assert other.answer == warm.answer
        assert [  # ids of references are never used twice
            [(m.start, m.end, m.attention, m.tokens, m.retrieval_score) for m in read.memories]
            for read in other.reads
        ] == [
            [(m.start, m.end, m.attention, m.tokens, m.retrieval_score) for m in read.memories]
            for read in warm.reads
        ]


def test_a_damaged_memory_is_written_again(service: Service, filled, home: Path) -> None:
    before, stored = answer(service, QUESTION), arrays(service, filled[0])
    service.asker().memories.forget()
    service.store.banks.release()
    for shard in (home / "bank").rglob("*.safetensors"):
        content = bytearray(shard.read_bytes())
        content[-200:] = bytes(200)
        shard.write_bytes(content)
    after = answer(service, QUESTION)
    assert (after.answer, after.reads) == (before.answer, before.reads)
    assert same(arrays(service, filled[0]), stored)


def test_a_lost_shard_is_written_again(service: Service, filled, home: Path) -> None:
    before = answer(service, QUESTION)
    service.asker().memories.forget()
    service.store.banks.release()
    for shard in (home / "bank").rglob("*.safetensors"):
        shard.unlink()
    assert answer(service, QUESTION).reads == before.reads


def test_neighbouring_chunks_read_from_ram(service: Service, filled, home: Path) -> None:
    asker = service.asker()
    rows = service.store.references.get(service.store.references.of_document(filled[2]))
    first = asker.memories.get(rows)
    assert [each.key for each in first] == [row.id for row in rows]
    second = asker.memories.get(list(reversed(rows)))
    assert [each.key for each in second] == [row.id for row in reversed(rows)]

    def memory_of(keyed: list[KeyedMemory], key: int) -> object:
        return next(each.memory for each in keyed if each.key == key)

    assert memory_of(first, rows[0].id) is memory_of(second, rows[0].id)
    service.delete_document(filled[2])
    assert asker.memories.get(rows) == []


def test_claims_are_looked_up_in_what_is_cited(service: Service, filled) -> None:
    done = answer(service, "What is the starting dose of metformin?")
    looked_up = {done.answer[each.start : each.end]: each.citations for each in done.claims}
    numbers = {cited.n for cited in done.citations}
    assert looked_up
    assert all(set(found) <= numbers for found in looked_up.values())
    assert any(looked_up.values())
    assert answer(service, QUESTION, mode="none").claims == []
