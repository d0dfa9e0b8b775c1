import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.protocol import Tokens
from engine.registry import DEFAULT_MODEL, REGISTERED
from ingest.chunk import Reference, chunk
from ingest.document import Heading, Page
from ingest.errors import ReferenceLimitTooSmall
from ingest.headings import HeadingDetector, HeadingPath
from ingest.sandbox import read
from ingest.sentences import Cut, cuts, is_character_border
from tests.ingest.conftest import character_tokens

WORDS = st.sampled_from(
    ["the", "Party", "v.", "5 mg.", "ends.", "\n", "\n\n", "2.1.", "§", "e\u0301\u0323", "👩‍👩‍👧", "終わり。"]
)
TEXTS = st.one_of(st.text(max_size=400), st.lists(WORDS, max_size=120).map(" ".join))


def page(text: str, number: int = 1) -> Page:
    return Page(number, str(number), text, headings=HeadingDetector().merge(text))


def check(pages: list[Page], references: list[Reference], tokenize, limit: int) -> None:
    for one in pages:
        covered = [False] * len(one.text)
        last = 0
        for ref in (r for r in references if r.page == one.number):
            assert last <= ref.start < ref.end
            last = ref.end
            body = one.text[ref.start : ref.end]
            assert not body[0].isspace()
            assert not body[-1].isspace()
            tokens = tokenize(body)
            assert list(ref.token_ids[ref.header_tokens :]) == tokens.ids
            assert len(ref.token_ids) <= limit
            assert ref.token_offsets.dtype == np.uint32
            assert [
                tuple(row) for row in (ref.token_offsets.astype(int) - ref.start).tolist()
            ] == tokens.offsets
            covered[ref.start : ref.end] = [True] * (ref.end - ref.start)
        assert all(done or one.text[i].isspace() for i, done in enumerate(covered))
    assert [r.page for r in references] == sorted(r.page for r in references)


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, max_size=3), st.text(max_size=30), st.integers(24, 60))
def test_references_reproduce_the_pages(texts: list[str], title: str, limit: int) -> None:
    pages = [page(text, number) for number, text in enumerate(texts, 1)]
    references = list(chunk(pages, character_tokens, title, limit, header_limit=8))
    check(pages, references, character_tokens, limit)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab \u0301\u200d👩🏽🇩🇪각", min_size=1, max_size=300))
def test_characters_are_not_torn(text: str) -> None:
    for ref in chunk([page(text)], character_tokens, "", 40, header_limit=0):
        start = end = ref.end
        while not is_character_border(text, start):
            start -= 1
        while not is_character_border(text, end):
            end += 1
        # Only a character that alone exceeds a reference may be torn.
        assert start == end or len(character_tokens(text[start:end]).ids) > 40


def sentences(text: str) -> list[str]:
    places = [place for place, cut in sorted(cuts(text).items()) if cut >= Cut.SENTENCE]
    return [text[a:b].strip() for a, b in zip([0, *places], [*places, len(text)], strict=True)]


@pytest.mark.parametrize(
    "whole",
    [
        "See Roe v. Wade, No. 70-18, under 42 U.S.C. § 1983 and Fed. R. Civ. P. 12(b)(6).",
        "Dr. J. Smith gave 5 mg. Metformin b.i.d. as needed.",
        "2.1. Definitions apply here.",
        "Acme Inc. Delaware is bound by Sec. 3 hereof.",
        "The value was 3.5 vs. 4.1 (Fig. 2).",
    ],
)
def test_sentences_that_stay_whole(whole: str) -> None:
    assert sentences(whole) == [whole]


@pytest.mark.parametrize(
    "parts",
    [
        ["It ends.", "It starts."],
        ["He said “stop.”", "She left."],
        ["Take 5 mg.", "The patient rests."],
        ["Is it?", "(Yes.)", "Good!"],
        ["これは文です。", "次の文。"],
        ["Terms follow:", "(a) first;", "(b) second."],
    ],
)
def test_sentences_that_are_cut(parts: list[str]) -> None:
    joined = "\n".join(parts) if parts[0].endswith(":") else " ".join(parts)
    assert sentences(joined) == parts


def test_cuts_fall_at_sentences_when_they_can() -> None:
    text = " ".join(f"Sentence number {i} has a few words in it." for i in range(40))
    references = list(chunk([page(text)], character_tokens, "", 64, header_limit=0))
    assert len(references) > 5
    assert all(text[r.end - 1] == "." for r in references)
    sizes = [len(r.token_ids) for r in references]
    assert min(sizes) >= 0.4 * 64, sizes


def test_a_heading_stays_with_what_follows_it() -> None:
    text = (
        ("Some words of an earlier clause. " * 8) + "\n2. TERM OF LEASE\n" + ("The term is five years. " * 8)
    )
    for limit in range(60, 110, 5):
        for ref in chunk([page(text)], character_tokens, "", limit, header_limit=0):
            body = text[ref.start : ref.end]
            assert not body.endswith("2. TERM OF LEASE")
            assert "TERM" not in body or "TERM OF LEASE" in body


def test_heading_path_carries_over_pages_and_heads_the_tokens() -> None:
    pages = [
        Page(1, "1", "ARTICLE I\nfirst words", headings=(Heading(0, 1, "ARTICLE I"),)),
        Page(2, "2", "continued words", headings=()),
        Page(3, "3", "ARTICLE II\nother words", headings=(Heading(0, 1, "ARTICLE II"),)),
    ]
    path = HeadingPath()
    one, two, three = chunk(pages, character_tokens, "Lease", path=path)
    assert [r.heading_path for r in (one, two, three)] == [("ARTICLE I",), ("ARTICLE I",), ("ARTICLE II",)]
    # The body speaks its own heading; the header speaks it where the body does not.
    assert list(one.token_ids[: one.header_tokens]) == character_tokens("Lease\n").ids
    assert list(two.token_ids[: two.header_tokens]) == character_tokens("Lease > ARTICLE I\n").ids
    assert list(three.token_ids[: three.header_tokens]) == character_tokens("Lease\n").ids
    assert path.titles == ("ARTICLE II",)
    resumed = list(chunk(pages[1:2], character_tokens, "Lease", path=HeadingPath([pages[0].headings[0]])))
    assert resumed[0].token_ids == two.token_ids


def test_long_headers_keep_the_title_and_the_deepest_heading() -> None:
    headings = (
        Heading(0, 1, "Part one of a very long agreement"),
        Heading(0, 2, "Deepest heading here of all"),
    )
    (ref,) = chunk(
        [Page(1, "1", "body", headings=headings)], character_tokens, "Master Services Agreement of 2020"
    )
    header = b"".join(i.to_bytes(3, "big").lstrip(b"\0") for i in ref.token_ids[: ref.header_tokens]).decode()
    assert ref.header_tokens <= 24
    assert header.startswith("Master")
    assert "Deepest" in header
    assert "Part one" not in header
    assert header.endswith("\n")


def test_limits_that_leave_no_room() -> None:
    with pytest.raises(ReferenceLimitTooSmall, match="at least 40"):
        list(chunk([page("x")], character_tokens, "", limit=30, header_limit=24))


def test_borders_of_composed_characters() -> None:
    text = "e\u0301🇩🇪🇫🇷👍🏽👩‍💻"
    borders = [i for i in range(len(text) + 1) if is_character_border(text, i)]
    assert borders == [0, 2, 4, 6, 8, 11]
    assert unicodedata.category(text[1]) == "Mn"


@pytest.fixture(scope="module")
def real_tokenize():
    from transformers import AutoTokenizer

    file = REGISTERED[DEFAULT_MODEL].path()
    assert file is not None, "`make install` brings the default model"
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)

    def tokenize(text: str) -> Tokens:
        found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return Tokens(found["input_ids"], [tuple(pair) for pair in found["offset_mapping"]])

    return tokenize


@pytest.mark.slow
def test_real_documents_with_the_real_tokenizer(shared_data: Path, real_tokenize) -> None:
    documents = sorted((shared_data / "documents").glob("*/*.pdf"))[::12]
    for path in documents:
        if "scanned" not in path.name:
            pages = [item for item in read(path) if isinstance(item, Page)]
            references = list(chunk(pages, real_tokenize, path.stem))
            check(pages, references, real_tokenize, 128)
            assert np.median([len(r.token_ids) for r in references]) > 80
