"""Whose words an answer has, and which two documents are asked alike."""

from app.measuring.questions import Answered, Context, Question
from engine.fake import FakeEngine
from engine.format import MEMORIES_PER_CHUNK
from tests.bench.mixing import OF_A_KIND, OTHERS, figures, pairs, read_for, taken

NEVADA = "This agreement is governed by the laws of the State of Nevada."
CALIFORNIA = "The laws of the State of California apply, without regard to its conflict rules."
TEMPLATE = 'Highlight the parts (if any) of this contract related to "Governing Law" that should be reviewed.'


def test_an_answer_takes_from_whose_words_it_has_three_in_a_row() -> None:
    for answer, verdict in (
        ("It is governed by the laws of Nevada.", "meant"),
        ("The laws apply, without regard to conflicts.", "other"),
        ("This agreement is governed by the laws of the State of California.", "mixed"),
        ("laws of the State", "neither"),  # both have it
        ("Nevada", "neither"),
        ("", "neither"),
    ):
        assert taken(answer, [NEVADA], [CALIFORNIA]) == verdict, answer
    assert taken("GOVERNED, by the... Laws", [NEVADA], [CALIFORNIA]) == "meant"


def test_shares_are_of_what_is_not_declined() -> None:
    counted = figures(["mixed", "meant", "meant", None, "neither"])
    assert counted == {"n": 5, "declined": 1, "mixed": 0.25, "meant": 0.5, "other": 0.0, "neither": 0.25}
    assert figures([None])["mixed"] is None


def test_pairs_are_two_documents_that_both_answer_and_are_in_one_pair_only() -> None:
    contexts, asked = {}, []
    for n in range(9):
        filler = "\n\n".join(f"Clause {i} of {n}: the parties agree on matter {i}." for i in range(60))
        text = f"{filler}\n\n{NEVADA} It is contract {n}."
        title = "Lease" if n == 8 else f"FIRM{n}INC_01_01_2001-EX-10-SUPPLY AGREEMENT"
        contexts[f"c{n}"] = Context(f"c{n}", title, text)
        answers = () if n == 0 else (Answered(NEVADA, text.index(NEVADA)),)
        asked.append(("legal", Question(f"q{n}", TEMPLATE, answers, f"c{n}", "CUAD_v1")))
    found = list(pairs(asked, contexts, FakeEngine().tokenize, 0))
    assert len(found) == min(OF_A_KIND, 3)  # the first does not answer, the last has no name
    names = [side.named for pair in found for side in (pair.meant, pair.other)]
    assert len(set(names)) == len(names)
    for pair in found:
        assert pair.meant.named.endswith(f"supply agreement: {pair.unnamed}")
        assert all(NEVADA in side.references[0].text for side in (pair.meant, pair.other))
        both, alone = read_for(pair, "named"), read_for(pair, "alone")
        assert len(both) == len(alone) == MEMORIES_PER_CHUNK
        assert both == read_for(pair, "unnamed")
        assert sum(each in pair.other.references for each in both) == OTHERS
        assert not any(each in pair.other.references for each in alone)
