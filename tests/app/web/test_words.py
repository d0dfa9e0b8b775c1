"""Words out of tokens."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.answering.answer import TokenAttention
from app.web.words import whole_words

TEXT = "The landlord's cellar, and 12.5 mg."


def token(part: str, mass: float = 0.1) -> TokenAttention:
    start = TEXT.index(part)
    return TokenAttention(start, start + len(part), mass, mass / 2)


def test_pieces_of_a_word_are_one_word_with_their_sum() -> None:
    found = whole_words(TEXT, [token(" cel", 0.25), token("lar", 0.5), token(",", 0.125)])
    assert [(TEXT[word.start : word.end], word.attention) for word in found] == [
        ("cellar", 0.75),
        (",", 0.125),
    ]
    assert [TEXT[word.start : word.end] for word in whole_words(TEXT, [token("land"), token("g")])] == [
        "landlord",
        "mg",
    ]


spans = st.tuples(st.integers(0, 40), st.integers(0, 8), st.floats(0, 1))


@given(st.text("ab ,\n", max_size=40), st.lists(spans, max_size=8))
def test_words_are_apart_and_lose_no_attention(text: str, given_spans: list[tuple[int, int, float]]) -> None:
    tokens = [TokenAttention(start, start + length, mass) for start, length, mass in given_spans]
    words = whole_words(text, tokens)
    assert all(one.end <= other.start for one, other in pairwise(words))
    said = [each for each in tokens if text[each.start : each.end].strip()]
    assert abs(sum(word.attention for word in words) - sum(each.attention for each in said)) < 1e-9
