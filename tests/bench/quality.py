"""Turns saved measurements into one page, docs/quality.md. No figure of it is typed by hand.

Each input is a file of JSON lines, as a command printed them; without it, its part of the page is left out.

    --ladder     attest adapt evaluate FOLDER --data DATA --ladder --json
    --eval       attest eval QUESTIONS --contexts CONTEXTS --json
    --base-eval  the same with ATTEST_ADAPTER=none
    --ceiling    either or both, one file behind the other, of an adapter trained with `--reads text`
    --more, --more-ceiling
                 as --ladder and --ceiling, of more questions, where not every row was measured with them
    --retrieval  tests.bench.retrieval --recall
    --training   training.jsonl of each step of the training: first the ceiling's, then what the adapted model
                 learnt on top of it
    --remark     a paragraph on how the inputs were made, where that differs between them
    --abilities  tests.bench.abilities, tests.bench.hallucination and tests.bench.misled, one file behind the
                 other

Give `--batches`, `--more-batches`, `--seed` and `--limit` as those commands had them: the page prints the
commands.

    python -m tests.bench.quality --ladder LADDER.jsonl --eval EVAL.jsonl > docs/quality.md
"""

import argparse
import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Line = dict[str, Any]

WIDTH = 118
MODELS = ("untuned", "adapted", "tuned for text")
READS = {
    "none": "nothing",
    "text": "text in the prompt",
    "memory": "memories",
    "wrong": "memories of other documents",
}
DATA = "--data ../shared/data"
SET = "assets/eval/questions.jsonl --contexts assets/eval/contexts.jsonl"


@dataclass(frozen=True)
class Saved:
    """The lines of each input, none where it was not given, and the options of the commands."""

    ladder: Sequence[Line] = ()
    evaluated: Sequence[Line] = ()
    base: Sequence[Line] = ()
    ceiling: Sequence[Line] = ()
    more: Sequence[Line] = ()
    more_ceiling: Sequence[Line] = ()
    retrieval: Sequence[Line] = ()
    abilities: Sequence[Line] = ()
    training: Sequence[Sequence[Line]] = ()
    batches: int = 20
    more_batches: int = 64
    seed: int = 1
    limit: int | None = None
    remark: str = ""


def page(saved: Saved) -> str:
    """The whole page, in markdown."""
    ceiling = """Tuned for text is the same model with an adapter of the same kind that learnt to read
        references in its prompt: a ceiling for what memories can reach."""
    parts = [
        "# How good the answers are",
        prose(
            f"""The untuned model is compared with the adapted one, which has the adapter that reads memories.
            {ceiling if saved.ceiling else ""} A dash stands where there is nothing to measure."""
        ),
        *learnt(saved),
        *([prose(saved.remark)] if saved.remark else []),
        *known_answers(saved),
        *one_change(saved),
        *asked(saved),
        *retrieved(saved),
        *abilities(saved),
        *unsupported(saved),
        *misled(saved),
        *limits(saved),
    ]
    return "\n\n".join(parts) + "\n"


def learnt(saved: Saved) -> Iterator[str]:
    """From how many samples the ceiling and the adapted model learnt."""
    if saved.ceiling and saved.training:
        first, *rest = (f"{step[-1]['samples']:,}" for step in saved.training)
        more = " more, then from ".join(rest)
        then = f", then from {more} more with memories" if rest else ""
        yield prose(f"The ceiling learnt from {first} samples, the adapted model from the same{then}.")


def known_answers(saved: Saved) -> Iterator[str]:
    """NLL of known answers, by what is read."""
    for heading, ladder, ceiling, batches in (
        ("Known answers, by what is read", saved.ladder, saved.ceiling, saved.batches),
        ("The same, of more questions", saved.more, saved.more_ceiling, saved.more_batches),
    ):
        if ladder:
            yield f"## {heading}"
            yield from known(ladder, ceiling, f"{DATA} --batches {batches} --seed {saved.seed}")


def known(ladder: Sequence[Line], ceiling: Sequence[Line], options: str) -> Iterator[str]:
    """One set of questions. options: of the commands. Raises ValueError if the two were asked others."""
    rows = [row for row in ladder if not row.get("variant")]
    measured = having(ceiling, "nll")
    tuned = [row for row in measured if row["adapted"] and row["reads"] in ("none", "text")]
    if {row["n"] for row in (*rows, *tuned)} != {rows[0]["n"]}:
        raise ValueError("the ceiling was asked other questions than the ladder; evaluate both alike")
    also = "; “over the ceiling” to the model that is tuned for text" if tuned else ""
    yield prose(
        f"""{rows[0]["n"]} questions about documents that training never saw, of law, medicine and general
        knowledge. Each has five references to read, those that hold the answer among them. NLL is the mean
        negative log-likelihood per token of the right answer, in nats; lower is better. “Over text” is the
        ratio to the adapted model reading the same references as text in its prompt{also}."""
    )
    reads = {row["reads"] for row in rows}
    command = f"attest adapt evaluate FOLDER {options}"
    command += f" --reads {reads.pop()}" if len(reads) == 1 else ""
    command += " --ladder" if len(rows) < len(ladder) else ""
    commands = [f"{command} --json"]
    if tuned:
        commands.append(f"attest adapt evaluate CEILING {options} --reads text --json")
    yield block(commands)
    untuned = {row["reads"] for row in rows if not row["adapted"]}
    rows[:0] = [row for row in measured if not row["adapted"] and row["reads"] not in untuned]
    tops = {"over text": only(rows, adapted=True, reads="text")}
    if tuned:
        tops["over the ceiling"] = only(tuned, reads="text")
    listed = [(MODELS[row["adapted"]], row) for row in rows] + [(MODELS[2], row) for row in tuned]
    yield table(
        ["model", "reads", "tokens per head", "answer NLL", *tops, "law", "medicine", "general"],
        [
            [
                *(model, READS[row["reads"]], row["tokens_per_head"] or "", cell(row["nll"])),
                *(ratio(row, top) for top in tops.values()),
                *fields(row),
            ]
            for model, row in listed
        ],
    )


def one_change(saved: Saved) -> Iterator[str]:
    """The ladder: the adapter's own format with one thing changed at a time."""
    plain = [row for row in saved.ladder if not row.get("variant")]
    rungs = [row for row in saved.ladder if row.get("variant")]
    if not rungs:
        return
    text = only(plain, adapted=True, reads="text")
    own = only(plain, adapted=True, reads="memory", tokens_per_head=rungs[0]["tokens_per_head"])
    yield "## One thing changed at a time"
    yield prose(
        """The adapted model, the same questions, memories of its own format but for what a row names: the
        layers that have memories; where memories lie (serial: one behind the other); how many are read, the
        right ones always among them; their order; the rule by which tokens are chosen; how numbers are
        stored. “Over its own” is the ratio to the format without a change. The first command above prints
        these rows too."""
    )
    listed = [("nothing", own)] if own else []
    listed += [(row["variant"], row) for row in rungs]
    yield table(
        ["changed", "answer NLL", "over its own", "over text", "law", "medicine", "general"],
        [[name, cell(row["nll"]), ratio(row, own), ratio(row, text), *fields(row)] for name, row in listed],
    )


def asked(saved: Saved) -> Iterator[str]:
    """Answers of the whole product."""
    of = (saved.base, saved.evaluated, saved.ceiling)
    listed = [(model, each) for model, lines in zip(MODELS, of, strict=True) for each in having(lines, "f1")]
    if not listed:
        return
    first = listed[0][1]
    yield "## Questions asked of the product"
    yield prose(
        f"""{first["n"]} questions, {first["unanswerable"]} of which the documents do not answer, asked one at
        a time over {first["references"]} references; what is read is what retrieval finds. Answers are
        greedy. Exact match and F1 are SQuAD's, over answerable questions. “Abstention” is the mean of the
        share of unanswerable questions declined and of answerable ones answered. “Evidence” says how often
        the reference that was read most (in mode text the first retrieved), or any of those read, overlaps
        the right place."""
    )
    command = f"attest eval {SET}" + ("" if saved.limit is None else f" --limit {saved.limit}")
    before = {MODELS[0]: "ATTEST_ADAPTER=none ", MODELS[1]: "", MODELS[2]: "ATTEST_ADAPTER=CEILING "}
    modes = {model: [each["mode"] for of, each in listed if of == model] for model, _ in listed}
    yield block(
        before[model] + command + (f" --modes {','.join(asked)}" if len(asked) < 3 else "") + " --json"
        for model, asked in modes.items()
    )
    yield table(
        [
            *("model", "mode", "exact match", "F1", "abstention", "answer NLL", "evidence at 1", "at 5"),
            *("first token, ms (p50)", "bytes per reference"),
        ],
        [
            [
                *(model, each["mode"], *judged(each), cell(each["answer_nll"]), *evidence(each)),
                *(cell(each["first_token_ms"]["p50"], 1), cell(each["bytes_per_reference"], 0)),
            ]
            for model, each in listed
        ],
    )
    clocks = {each["mode"]: each["clock"] for _, each in listed}
    yield items(f"First token, {mode}: {clock}." for mode, clock in clocks.items())
    for model, each in listed:
        if each["mode"] == "memory":
            yield prose(answered_by(model, each["engine"]))
    yield "### By data set"
    yield table(
        [
            *("data set", "model", "mode", "questions", "exact match", "F1", "abstention", "declined"),
            *("evidence at 1", "at 5"),
        ],
        [
            [name, model, each["mode"], part["n"], *judged(part), cell(part["declined"]), *evidence(part)]
            for name in sorted({name for _, each in listed for name in each["datasets"]})
            for model, each in listed
            if (part := each["datasets"].get(name)) is not None
        ],
    )


def answered_by(model: str, engine: Line) -> str:
    """Which engine read memories, and in which format."""
    fmt = engine["format"]
    return (
        f"Memories of the {model} model: {fmt['tokens_per_head']} tokens per head in {len(fmt['layers'])} "
        f"layers, chosen by {fmt['selection']}, positions {fmt['positions']}, temperature "
        f"{fmt['temperature']}, stored in {fmt['codec']}; {engine['model']}, adapter "
        f"{engine['adapter'] or 'none'}, on {engine['backend']}."
    )


def abilities(saved: Saved) -> Iterator[str]:
    """What the adapter does to the rest of the model."""
    choices, gaps = having(saved.abilities, "accuracy"), having(saved.abilities, "adapted_minus_base")
    if not choices:
        return
    yield "## What else the model can do"
    yield prose(
        """Choices between given answers, by their likelihood. A passage that belongs to the question stands
        in the prompt, or is read as memories where the table says so. “Chance” is what the commonest answer
        would get."""
    )
    passages = list(dict.fromkeys(each["passage"] for each in choices))
    rows = max(each["n"] for each in choices)  # of the largest family, so no other limit was in the way
    command = f"python -m tests.bench.abilities {DATA} --limit {rows}"
    yield block(command + " --memory" * (passage == "memory") for passage in passages)
    yield table(
        ["tasks", "passage", "model", "accuracy", "chance", "questions"],
        [
            [
                *(each["tasks"], each["passage"], MODELS[each["model"] == "adapted"]),
                *(cell(each["accuracy"]), cell(each["chance"]), each["n"]),
            ]
            for each in choices
        ],
    )
    yield items(
        f"Passage as {passage}: adapted against untuned {each['adapted_minus_base']:+.2f} points of "
        f"accuracy, standard error {cell(each['standard_error'], 2)}, {each['n']} questions."
        for passage, each in zip(passages, gaps, strict=True)
    )


def retrieved(saved: Saved) -> Iterator[str]:
    """Recall at five of every way to retrieve."""
    rows = having(saved.retrieval, "recall_at_5")
    if not rows:
        return
    yield "## Which references a question finds"
    yield prose(
        f"""{rows[0]["n"]} questions, open book: one of the five references that a way finds overlaps the
        place of a right answer; ± is the standard error. “Hybrid” fuses the search by meaning and by words by
        reciprocal rank. “Fused” is the search by score, “recalled” what the product does: the model's own
        queries order what the search found. “Read” lets the question read all candidates instead."""
    )
    datasets = sorted({name for row in rows for name in row["datasets"]})
    only_of = f" --datasets {datasets[0]}" if len(datasets) == 1 else ""
    yield block([f"python -m tests.bench.retrieval --recall{only_of}"])
    yield table(
        ["way", "recall at 5", "±", *datasets],
        [
            [
                *(row["way"], cell(row["recall_at_5"]), cell(row["error"])),
                *(cell(row["datasets"].get(name)) for name in datasets),
            ]
            for row in rows
        ],
    )


def unsupported(saved: Saved) -> Iterator[str]:
    """How often an answer states what no reference holds."""
    stated = having(saved.abilities, "unsupported")
    if not stated:
        return
    yield "## What stands in no document"
    yield prose(
        """The share of answers that state a number, a name or a quotation which neither a reference that was
        retrieved or read nor the question holds. In mode none the model has seen no reference."""
    )
    yield block([f"python -m tests.bench.hallucination --limit {stated[0]['n']}"])
    yield table(
        ["mode", "questions", "answered", "share", "of answerable", "of unanswerable"],
        [
            [
                *(each["mode"], each["n"], each["answered"], cell(each["unsupported"])),
                *(cell(each[kind]["unsupported"]) for kind in ("answerable", "unanswerable")),
            ]
            for each in stated
        ],
    )


def misled(saved: Saved) -> Iterator[str]:
    """What is answered where the right document is not there."""
    rows = having(saved.abilities, "misled_by")
    if not rows:
        return
    yield "## Where only wrong documents are read"
    yield prose(
        f"""{rows[0]["n"]} answerable questions, asked of all documents but the right one. Mode product is
        what the product says; the other modes are the model alone, which has to read the best that the search
        finds, without the product's rule of when to decline. “Right” is an F1 of at least 0.5, “misled” an
        answer that states a name or a number, or has three words in a row, of what was read and not of the
        question; “own” says something else. In mode none nothing is read, and what is misled by the same
        references then is so by chance."""
    )
    yield block([f"python -m tests.bench.misled --limit {rows[0]['n']}"])
    names = ("declined", "right", "misled", "own")
    yield table(["mode", *names], [[row["misled_by"], *(cell(row[name]) for name in names)] for row in rows])


def limits(saved: Saved) -> Iterator[str]:
    """What the figures do not say; nothing about parts that are left out."""
    said = [
        """The questions are a sample, and another sample would move every figure. All models are asked the
        same ones, so differences between models are surer than the figures themselves.""",
        """Held-out documents come from the same data sets as those learnt from. Documents of another kind may
        be read worse.""",
        "One base model, and one training of each adapter: where another seed would land is not told.",
    ]
    if saved.ladder:
        said.append(
            """NLL says how likely the right answer's words are, not what the model would answer; and the
            right references are at hand, so what retrieval misses is not in it."""
        )
    if having((*saved.evaluated, *saved.base, *saved.ceiling), "f1"):
        said += [
            "An answer that is right in other words scores low in exact match and F1.",
            """Times are of the machine on which they were measured, and of the moment; `attest bench speed`
            compares them side by side.""",
        ]
    if having(saved.ceiling, "f1"):
        said.append(
            """The model tuned for text has no heads of its own by which it finds references: it is given what
            the search finds, in the search's order."""
        )
    if having(saved.abilities, "unsupported"):
        said.append("An answer can be wrong in words that all stand in the references; that is not counted.")
    yield "## What the figures do not say"
    yield items(said)


def having(lines: Iterable[Line], key: str) -> list[Line]:
    """Lines of one kind: those that hold `key`."""
    return [line for line in lines if key in line]


def only(rows: Iterable[Line], **wanted: object) -> Line | None:
    """The first row with these values."""
    return next((row for row in rows if all(row[key] == value for key, value in wanted.items())), None)


def ratio(row: Line, to: Line | None) -> str:
    return cell(row["nll"] / to["nll"] if to else None)


def fields(row: Line) -> list[str]:
    return [cell(row.get(name)) for name in ("law", "medicine", "general")]


def judged(figures: Line) -> list[str]:
    return [cell(figures[name]) for name in ("exact_match", "f1", "abstain_accuracy")]


def evidence(figures: Line) -> list[str]:
    return [cell(figures[name]) for name in ("evidence_at_1", "evidence_at_5")]


def cell(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def prose(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def items(texts: Iterable[str]) -> str:
    return "\n".join("* " + prose(text).replace("\n", "\n  ") for text in texts)


def block(commands: Iterable[str]) -> str:
    return "\n".join(f"    {command}" for command in commands)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def read(path: Path | None) -> list[Line]:
    """A file's lines; none for no file."""
    lines = [] if path is None else path.read_text().splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("ladder", "eval", "base-eval", "ceiling", "more", "more-ceiling", "retrieval", "abilities"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--training", type=Path, nargs="*", default=[])
    parser.add_argument("--batches", type=int, default=Saved.batches)
    parser.add_argument("--more-batches", type=int, default=Saved.more_batches)
    parser.add_argument("--seed", type=int, default=Saved.seed)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--remark", default="")
    given = parser.parse_args()
    saved = Saved(
        ladder=read(given.ladder),
        evaluated=read(given.eval),
        base=read(given.base_eval),
        ceiling=read(given.ceiling),
        more=read(given.more),
        more_ceiling=read(given.more_ceiling),
        retrieval=read(given.retrieval),
        abilities=read(given.abilities),
        training=[read(path) for path in given.training],
        batches=given.batches,
        more_batches=given.more_batches,
        seed=given.seed,
        limit=given.limit,
        remark=given.remark,
    )
    print(page(saved), end="")


if __name__ == "__main__":
    main()
