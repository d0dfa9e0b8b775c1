"""What becomes of an answer that read the wrong documents."""

from app.answering.abstaining import ABSTENTION
from tests.bench.misled import figures, verdict

READ = ["The lease of Acme Corp ends on 3 May 2019 unless it is renewed in writing."]
QUESTION = "When does the licence of Beta Limited end?"


def test_an_answer_is_misled_by_what_it_states_or_copies_of_what_it_read() -> None:
    for said, expected in (
        (ABSTENTION, "declined"),
        (f"{ABSTENTION} It ends on 3 May 2019.", "declined"),
        ("On 31 December 2024.", "right"),
        ("It ends on 3 May 2019.", "misled"),
        ("Acme", "misled"),
        ("It does, unless it is renewed.", "misled"),
        ("On 7 June 1998.", "own"),
        ("The licence of Beta Limited ends soon.", "own"),
        ("", "own"),
    ):
        assert verdict(said, QUESTION, ["31 December 2024"], READ) == expected, said


def test_shares_are_of_all_answers() -> None:
    counted = figures(["declined", "misled", "misled", "own"])
    assert counted == {"n": 4, "declined": 0.25, "right": 0.0, "misled": 0.5, "own": 0.25}
