"""Questions to some documents of a collection: nothing else is searched, and that is kept with the answer."""

import pytest
from fastapi.testclient import TestClient

from app.answering.answer import Mode
from app.errors import NotFound, NothingToAsk
from app.evidence.record import record_of
from app.evidence.verifying import verify
from app.service import Service
from tests.app.api.conftest import client, guarded, ready
from tests.app.conftest import QUESTION, answer, attest

__all__ = ["client", "guarded", "ready"]

pytestmark = pytest.mark.usefixtures("fake_model")
LEASE, WARRANTY, LONG = 0, 1, 2  # of `filled`


@pytest.mark.parametrize("mode", ["memory", "text"])
def test_only_the_chosen_are_read(service: Service, filled: list[str], mode: Mode) -> None:
    assert filled[LEASE] in {each.document_id for each in answer(service, QUESTION, mode=mode).citations}
    chosen = [filled[WARRANTY], filled[LONG]]
    given = answer(service, "Which item goes to which warehouse?", mode=mode, documents=chosen)
    read = {each.document_id for each in given.citations}
    read |= {memory.document_id for stretch in given.reads for memory in stretch.memories}
    assert read
    assert read <= set(chosen)
    assert given.documents == chosen


def test_stretches_of_a_long_answer_stay_within_the_chosen(service: Service, filled: list[str]) -> None:
    question = "Which item goes to which warehouse, clause 3?"
    given = answer(service, question, documents=[filled[LONG]], max_tokens=200)
    assert len(given.reads) > 1
    assert {memory.document_id for stretch in given.reads for memory in stretch.memories} == {filled[LONG]}


def test_what_cannot_be_chosen_is_refused(service: Service, filled: list[str]) -> None:
    service.add_collection("Leases", "legal")
    service.shelves.move([filled[LEASE]], "default", "Leases")
    for wrong in (["nothing"], [filled[WARRANTY], filled[LEASE]]):
        with pytest.raises(NotFound, match=wrong[-1]):
            answer(service, QUESTION, documents=wrong)
    service.store.documents.set_status(filled[WARRANTY], "failed", "damaged")
    with pytest.raises(NothingToAsk, match="none of the chosen"):
        answer(service, QUESTION, documents=[filled[WARRANTY]])


def test_the_choice_is_kept_and_asked_again(service: Service, filled: list[str]) -> None:
    chosen = [filled[LONG], filled[WARRANTY]]
    question = "Which item goes to which warehouse?"
    given = answer(service, question, documents=chosen)
    made = service.conversations.keep(None, question, "default", given, mode="memory", max_tokens=128)
    kept = service.conversations.answer(made.id)
    assert kept.answer == given
    assert verify(service, record_of(kept, [])).ok
    service.delete_document(filled[WARRANTY])
    after = service.conversations.answer(made.id)
    assert after.answer.documents is not None
    assert after.answer.documents[0] == filled[LONG]
    assert after.answer.documents[1].startswith("deleted-")
    verdict = verify(service, record_of(after, []))
    assert not verdict.ok
    assert verdict.same_answer


def test_the_command_line_and_the_api(service: Service, filled: list[str], client: TestClient) -> None:
    chosen = ["--document", filled[LONG], "--document", filled[WARRANTY]]
    printed = attest("ask", "Which item goes to which warehouse?", *chosen, "--no-keep", "--json").json
    assert printed["documents"] == [filled[LONG], filled[WARRANTY]]
    asked = {"question": "Which item goes to which warehouse?", "documents": printed["documents"]}
    given = client.post("/v1/answers", json=asked).json()
    assert given["documents"] == printed["documents"]
    assert given["citations"] == printed["citations"]
    assert client.post("/v1/answers", json={**asked, "documents": ["nothing"]}).status_code == 404
    assert client.post("/v1/answers", json={**asked, "documents": []}).status_code == 422
    listed = client.get("/v1/documents?collection=default&text=lease&order=name").json()
    assert [each["name"] for each in listed["documents"]] == ["lease.md"]
    assert (listed["total"], listed["matching"]) == (4, 1)
    assert attest("ask", QUESTION, "--document", "nothing").status == 1
