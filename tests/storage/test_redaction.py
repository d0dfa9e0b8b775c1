"""What conversations quote of a deleted document is blacked out, and nothing else."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from storage.records import NewAnswer
from storage.redaction import BAR, RUN, Quotes
from storage.store import Store
from tests.storage.conftest import AddDocument
from tests.storage.residue import left_behind

SECRET = "The landlord may, at any time, enter the premises\nto inspect the boiler in the cellar — § 9 stays."
OTHER = "Rent is due on the first working day of every month and is paid in advance by bank transfer."


def test_quotes_are_covered_and_offsets_stay(store: Store, add_document: AddDocument, home: Path) -> None:
    doomed = add_document("Cellar of Mrs Ödipus.txt", [SECRET])
    kept = add_document("rent.txt", [OTHER])
    line = SECRET.replace("\n", " ")
    spoken = f"{OTHER} He wrote: {line[10:75]} and so on. That is all."
    first = len(OTHER) + 1
    second = spoken.index("That is all.")
    body = {
        "sentences": [
            {"start": 0, "end": first},
            {"start": first, "end": second},
            {"start": second, "end": 9999},
        ],
        "marks": [{"quoted": line[:60]}],
    }
    conversation = store.conversations.start("law", f"About “{line}”")
    answer = store.answers.keep(
        conversation.id,
        NewAnswer(
            f"What of   {SECRET}  in Cellar of Mrs Ödipus.txt?", spoken, "memory", 9, body, (doomed, kept)
        ),
    )
    store.answers.rate(answer, 1, f"see {line[:39]}")
    store.documents.delete(doomed)
    row = store.answers.get(answer)
    assert row.text == OTHER + " " + BAR * (second - first) + "That is all."
    assert row.question == f"What of   {BAR * len(SECRET)}  in {BAR * 24}?"
    assert row.note == f"see {line[:39]}"  # shorter than a run
    assert row.body["marks"] == [{"quoted": BAR * 60}]
    assert store.conversations.get(conversation.id).title == f"About “{BAR * len(line)}”"
    assert left_behind(home, [SECRET.encode(), line.encode(), b"Cellar of Mrs"]) == []


def test_conversations_about_other_documents_are_left_alone(store: Store, add_document: AddDocument) -> None:
    doomed = add_document("a.txt", [SECRET])
    conversation = store.conversations.start("law", OTHER)
    answer = store.answers.keep(conversation.id, NewAnswer(OTHER, OTHER, "memory", 9, {}))
    before = store.answers.get(answer)
    store.documents.delete(doomed)
    assert store.answers.get(answer) == before


words = st.text(st.sampled_from("abé— \n"), max_size=120)


@given(words, words, words, st.integers(0, 80))
def test_no_run_of_a_source_survives(before: str, source: str, after: str, cut: int) -> None:
    text = before + source[cut:] + after
    covered = Quotes([text], [source], []).covered(text)
    assert len(covered) == len(text)
    assert not shares_a_run(covered.encode(), source.encode())
    plain = " ".join(text.split(" "))
    if (
        not shares_a_run(plain.encode(), source.encode())
        and "\n" not in text + source
        and "  " not in text + source
    ):
        assert covered == text


def shares_a_run(one: bytes, other: bytes) -> bool:
    runs = {other[at : at + RUN] for at in range(len(other) - RUN + 1)}
    return any(one[at : at + RUN] in runs for at in range(len(one) - RUN + 1))
