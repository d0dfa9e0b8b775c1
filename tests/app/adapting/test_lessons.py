"""Lessons are made of what the documents say: right references, wrong ones, and the fixed sentence."""

import random
import re
from dataclasses import replace

import pytest

from app.adapting.lessons import Asked, Lessons
from app.adapting.mix import AS_TEXT, EXAM, QUESTIONS, Mix
from app.answering.abstaining import ABSTENTION
from app.measuring.questions import Answered, Context, Question
from engine.adapt.batch import Batch, Sample
from engine.fake import FakeEngine, text_of
from engine.format import MEMORIES_PER_CHUNK, REFERENCE_TOKENS
from engine.protocol import Message

END = -1
NAMES = [f"Tenant {n} of house {n}" for n in range(200)]
ALWAYS = Mix(
    unanswerable=0,
    wrong_only=0,
    fewer=0,
    continued=0,
    reread=0,
    distilled=0,
    plain=0,
    templated=1,
    named=0,
    rivals=0,
)


def contexts() -> dict[str, Context]:
    """Each sentence of each document is told once."""
    found = {}
    for document in range(8):
        lines = [f"Rule {document} {n}: {NAMES[n]} pays {n * 13 + document} euros." for n in range(80)]
        found[f"c{document}"] = Context(f"c{document}", f"Lease {document}", "\n\n".join(lines))
    return found


def asked() -> list[Asked]:
    questions = []
    for context in contexts().values():
        for n in range(0, 80, 3):
            answer = f"{n * 13 + int(context.id[1:])} euros"
            start = context.text.index(f"{NAMES[n]} pays {answer}") + len(f"{NAMES[n]} pays ")
            questions.append(
                Asked(
                    "legal",
                    Question(
                        f"{context.id}-{n}",
                        f"What does {NAMES[n]} pay?",
                        (Answered(answer, start),),
                        context.id,
                    ),
                )
            )
        questions.append(Asked("legal", Question(f"{context.id}-x", "Who is the plumber?", (), context.id)))
    return questions


def prompt_ids(messages: list[Message]) -> list[int]:
    return FakeEngine().tokenize(" ".join(message.content for message in messages)).ids


def lessons(mix: Mix, seed: int = 0, texts: tuple[Context, ...] = ()) -> Lessons:
    return Lessons(FakeEngine().tokenize, prompt_ids, END, asked(), contexts(), texts, seed, mix)  # type: ignore[arg-type]


def said(sample: Sample) -> str:
    return text_of([token for token in sample.answer if token != END]).strip()


def read(batch: Batch, sample: Sample) -> str:
    return " ".join(text_of(batch.references[i]) for i in sample.memories or ())


def test_every_answer_stands_in_what_is_read_for_it() -> None:
    made = lessons(ALWAYS)
    samples = [(batch, sample) for batch in map(made.batch, range(12)) for sample in batch.samples]
    assert len(samples) > 60
    for batch, sample in samples:
        assert f" {said(sample)}" in read(batch, sample)
        assert sample.answer[-1] == END
        assert sample.memories is not None
        assert len(set(sample.memories)) == len(sample.memories) <= MEMORIES_PER_CHUNK
    for batch in {id(batch): batch for batch, _ in samples}.values():
        assert all(1 <= len(reference) <= REFERENCE_TOKENS for reference in batch.references)
        assert len(set(batch.references)) == len(batch.references)


def test_a_step_is_the_same_each_time_and_another_seed_is_another() -> None:
    assert lessons(Mix()).batch(3) == lessons(Mix()).batch(3)
    assert lessons(Mix()).batch(3) != lessons(Mix()).batch(4)
    assert lessons(Mix()).batch(3) != lessons(Mix(), seed=1).batch(3)


def test_wrong_memories_do_not_hold_the_answer_and_it_is_asked_for_all_the_same() -> None:
    made = lessons(Mix(**{**vars(ALWAYS), "wrong_only": 1.0}))
    for batch in map(made.batch, range(6)):
        for sample in batch.samples:
            assert sample.memories
            assert "euros" in said(sample)
            assert f" {said(sample)}" not in read(batch, sample)


def test_what_a_document_does_not_answer_is_answered_by_the_fixed_sentence() -> None:
    made = lessons(Mix(**{**vars(ALWAYS), "unanswerable": 1.0}))
    samples = [sample for batch in map(made.batch, range(20)) for sample in batch.samples]
    declined = [sample for sample in samples if "plumber" in text_of(sample.prompt)]
    assert declined
    assert {said(sample) for sample in declined} == {text_of(FakeEngine().tokenize(ABSTENTION).ids).strip()}
    others = [sample for sample in samples if "plumber" not in text_of(sample.prompt)]
    assert all("euros" in said(sample) for sample in others)


def test_a_document_goes_on_from_what_came_before() -> None:
    made = lessons(Mix(**{**vars(ALWAYS), "continued": 1.0}))
    batch = made.batch(0)
    going_on = [sample for sample in batch.samples if sample.answer[-1] != END]
    assert going_on
    for sample in going_on:
        assert sample.memories is not None
        assert list(sample.memories) == sorted(sample.memories)
        assert said(sample) not in read(batch, sample)


def test_an_exam_has_the_same_references_as_text_beside_the_question() -> None:
    batch = lessons(EXAM).batch(0)
    for sample in batch.samples:
        assert sample.teacher is not None
        assert sample.distilled == 0
        shown = text_of(sample.teacher)
        assert said(sample) in shown
        for i in sample.memories or ():
            body = text_of(batch.references[i][-10:]).strip()
            assert body in shown


def test_the_same_is_asked_however_many_memories_are_read() -> None:
    five = [sample for step in range(6) for sample in lessons(EXAM).batch(step).samples]
    assert {len(sample.memories or ()) for sample in five} == {5}
    for count in (1, 3, 10):
        made = lessons(replace(EXAM, references=count))
        batches = [(batch, sample) for batch in map(made.batch, range(6)) for sample in batch.samples]
        assert [(each.prompt, each.answer) for _, each in batches] == [
            (each.prompt, each.answer) for each in five
        ]
        for (batch, sample), usual in zip(batches, five, strict=True):
            mine, known = sample.memories or (), usual.memories or ()
            assert len(mine) == len(set(mine)) == min(count, len(batch.references))
            assert f" {said(sample)}" in read(batch, sample)
            fewer, more = sorted((mine, known), key=len)
            assert [i for i in more if i in fewer] == list(fewer)


def test_a_sample_knows_which_documents_it_is_about() -> None:
    samples = lessons(Mix(**{**vars(ALWAYS), "plain": 1.0})).batch(0).samples
    assert {sample.profile for sample in samples if sample.memories is not None} == {"legal"}
    assert {sample.profile for sample in samples if sample.memories is None} == {""}


def test_the_ceiling_reads_the_same_as_text() -> None:
    samples = [sample for step in range(4) for sample in lessons(AS_TEXT).batch(step).samples]
    reading = [sample for sample in samples if sample.teacher is None]
    assert len(reading) > 20
    assert all(sample.memories is None for sample in samples)
    for sample in reading:
        if "euros" in said(sample):
            assert f" {said(sample)}" in text_of(sample.prompt)


def test_what_is_read_again_as_text_is_there_to_read() -> None:
    """Also where the answer has no place of its own, and where wrong memories were read beside it."""
    mix = Mix(**{**vars(ALWAYS), "reread": float(QUESTIONS), "unanswerable": 1.0, "wrong_only": 0.5})
    samples = [sample for step in range(8) for sample in lessons(mix).batch(step).samples]
    reread = [sample for sample in samples if sample.memories is None]
    assert any("plumber" in text_of(sample.prompt) for sample in reread)
    for sample in reread:
        shown = text_of(sample.prompt)
        passages = [line for line in shown.split("Rule ") if "pays" in line]
        assert passages
        assert len(passages) == len(set(passages))
        assert "plumber" in shown or f" {said(sample)}" in shown


def test_diseases_go_unnamed_as_often_as_the_mix_says_and_never_in_an_exam() -> None:
    def named(mix: Mix) -> set[str]:
        of_diseases = [
            replace(each, question=replace(each.question, text="What are the symptoms of Gout ?"))
            for each in asked()
        ]
        made = Lessons(FakeEngine().tokenize, prompt_ids, END, of_diseases, contexts(), (), 0, mix)  # type: ignore[arg-type]
        samples = [sample for batch in map(made.batch, range(8)) for sample in batch.samples]
        return {"Gout" if "Gout" in text_of(sample.prompt) else "unnamed" for sample in samples}

    for mix in (ALWAYS, replace(AS_TEXT, unanswerable=0, plain=0)):
        assert named(replace(mix, unnamed=1.0)) == {"unnamed"}
        assert named(mix) == {"Gout", "unnamed"}
    assert named(EXAM) == {"Gout"}


CONTRACT = (
    'Highlight the parts (if any) of this contract related to "{}" that should be reviewed by a lawyer.'
)


def of_contracts(mix: Mix) -> Lessons:
    """Each of eight contracts says where it is governed, every second one also how long it lasts."""
    found, questions = {}, []
    for n in range(8):
        law, term = f"law of Land {n}", f"term of {n + 2} years"
        lines = [f"Clause {i} of {n}: the parties agree on matter {i}." for i in range(30)]
        lines[0] = f"This agreement is governed by the {law}."
        lines[20] = f"It has a {term}." if n % 2 else "Nothing."
        text = "\n\n".join(lines)
        found[f"c{n}"] = Context(f"c{n}", f"FIRM{n}INC_01_01_2001-EX-10-SUPPLY AGREEMENT", text)
        for category, said in (("Governing Law", law), ("Renewal Term", term)):
            answers = (Answered(said, text.index(said)),) if said in text else ()
            asked = Question(f"{n}-{category}", CONTRACT.format(category), answers, f"c{n}", "CUAD_v1")
            questions.append(Asked("legal", asked))
    return Lessons(FakeEngine().tokenize, prompt_ids, END, questions, found, (), 0, mix)  # type: ignore[arg-type]


def beside(batch: Batch, sample: Sample) -> set[str]:
    """The lands whose law governs, in what is read."""
    return set(re.findall(r"law of Land \d", read(batch, sample)))


def test_what_a_rival_says_is_read_beside_what_is_meant() -> None:
    made = of_contracts(replace(ALWAYS, templated=0, rivals=1.0))
    samples = [(batch, sample) for batch in map(made.batch, range(20)) for sample in batch.samples]
    governed = [(batch, sample) for batch, sample in samples if "Land" in said(sample)]
    assert len(governed) > 20
    assert sum(len(beside(*each)) > 1 for each in governed) > len(governed) / 2
    assert all(said(sample) in beside(batch, sample) for batch, sample in governed)


def test_a_contract_is_named_in_the_question_and_in_what_is_read() -> None:
    made = of_contracts(replace(ALWAYS, templated=0, named=1.0))
    samples = [(batch, sample) for batch in map(made.batch, range(10)) for sample in batch.samples]
    assert samples
    for batch, sample in samples:
        named = re.findall(r"In the (Firm\d supply agreement)", text_of(sample.prompt))
        assert len(named) == 1
        if "Land" in said(sample):
            assert f"Firm{said(sample)[-1]}" in named[0]
            assert named[0] in read(batch, sample)


def test_what_is_declined_is_not_answered_by_a_rival_unless_one_is_meant_by_name() -> None:
    for named in (0.0, 1.0):
        made = of_contracts(replace(ALWAYS, templated=0, named=named, rivals=1.0, unanswerable=1.0))
        samples = [(batch, sample) for batch in map(made.batch, range(40)) for sample in batch.samples]
        declined = [each for each in samples if "documents" in said(each[1])]
        assert declined
        answered = [each for each in declined if "years" in read(*each)]
        assert bool(answered) == bool(named)


def test_an_exam_names_no_contract_and_looks_for_no_rival() -> None:
    samples = [sample for step in range(6) for sample in of_contracts(EXAM).batch(step).samples]
    assert samples
    assert not any("Firm" in text_of(sample.prompt) for sample in samples)


def test_plain_samples_follow_the_frozen_model_only() -> None:
    made = lessons(Mix(**{**vars(ALWAYS), "plain": 1.0}))
    plain = [s for step in range(6) for s in made.batch(step).samples if s.memories is None]
    assert plain
    assert all(sample.distilled == 1 and sample.teacher == sample.prompt for sample in plain)
    replies = [sample for sample in plain if not sample.answer]  # which the frozen model gives
    assert len(plain) > len(replies) > 4


def test_questions_without_their_contexts_are_refused() -> None:
    with pytest.raises(ValueError, match="contexts file"):
        Lessons(FakeEngine().tokenize, prompt_ids, END, asked(), {}, (), 0)  # type: ignore[arg-type]


def test_long_answers_end_with_a_sentence() -> None:
    generator = random.Random(1)
    sentences = [" ".join(generator.choices(NAMES, k=3)) + "." for _ in range(12)]
    context = Context("long", "Long", " ".join(sentences))
    question = Asked("medical", Question("q", "What?", (Answered(context.text, 0),), "long"))
    made = Lessons(FakeEngine().tokenize, prompt_ids, END, [question], {"long": context}, (), 0, ALWAYS)  # type: ignore[arg-type]
    (sample, *_) = made.batch(0).samples
    assert sample.answer[-1] == END
    assert said(sample).endswith(".")
    assert len(sample.answer) <= 65
