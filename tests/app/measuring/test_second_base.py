"""The registers that a second base model learns from: answers stand where they are said to stand."""

import random
from pathlib import Path

from app.adapting.training import read_material
from tests.bench.second_base import FACTS, QUESTIONS, Lists, facts, learn_tokens, names, write_registers


def test_every_answer_stands_in_its_register_and_some_registers_are_held_out(tmp_path: Path) -> None:
    write_registers(tmp_path / "data", 40, seed=1)
    material = read_material(tmp_path / "data")
    assert len(material.contexts) == 40
    assert len(material.asked) == 40 * QUESTIONS
    for each in material.asked:
        (answer,) = each.question.answers
        text = material.contexts[each.question.context_id].text
        assert text[answer.start : answer.end] == answer.text
        holder = next(name for name in sorted(names(), key=len, reverse=True) if name in each.question.text)
        (line,) = [says for says in text.split(". ") if f" {holder}:" in says]
        assert line.rstrip(".").endswith(answer.text)
    held = {key for key, context in material.contexts.items() if context.held_out}
    assert 0 < len(held) < 20


def test_only_answers_are_learnt_and_a_word_is_the_same_token_wherever_it_stands() -> None:
    generator = random.Random(0)
    texts = [" ".join(" ".join(entry) for entry in facts(generator, FACTS)) for _ in range(200)]
    tokenizer = learn_tokens(texts)
    ids, wanted = Lists(tokenizer, 3)(4)[0]
    assert len(ids) == len(wanted)
    learnt = [token for token in wanted if token != -100]
    assert [token for token, taught in zip(ids, wanted, strict=True) if taught != -100] == learnt
    said = tokenizer.decode(ids)
    for answer in tokenizer.decode(learnt).split("</s>")[:-1]:
        assert said.count(answer.strip()) >= 2  # once in the facts, once as the answer
    assert tokenizer("Ardenmill.").input_ids[:-1] == tokenizer("of Ardenmill").input_ids[1:]
