"""`attest eval`: how good the answers are."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import click

from app import settings as settings_of
from app.answering.answer import Mode
from app.cli.frame import as_json, main, show
from engine.opening import BACKENDS, Backend

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
MODES: tuple[Mode, ...] = get_args(Mode)


def _modes(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[Mode, ...]:
    names = [name.strip() for name in value.split(",")]
    if unknown := [name for name in names if name not in MODES]:
        raise click.BadParameter(f"{unknown[0]!r} is no mode; give some of {', '.join(MODES)}")
    return tuple(mode for name in dict.fromkeys(names) for mode in MODES if mode == name)


@main.command("eval")
@click.argument("questions", type=FILE)
@click.option("--contexts", required=True, type=FILE, help="The documents that the questions are about.")
@click.option("--modes", default="none,text,memory", show_default=True, callback=_modes)
@click.option("--limit", type=click.IntRange(min=1), help="Ask a sample of so many questions.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sample.")
@click.option("--backend", type=click.Choice(BACKENDS), help="Default: the setting.")
@as_json
def evaluate(
    questions: Path,
    contexts: Path,
    modes: tuple[Mode, ...],
    limit: int | None,
    seed: int,
    backend: Backend | None,
    as_json: bool,
) -> None:
    """Ask questions with known answers. Open book over all contexts. JSON: one line per mode."""
    from app.measuring.evaluating import evaluate as run
    from app.measuring.evaluating import sample, usable
    from app.measuring.questions import read_contexts, read_questions

    settings = settings_of.load()
    if backend is not None:
        settings = replace(settings, backend=backend)
    documents = read_contexts(contexts)
    given = read_questions(questions)
    judged = usable(given, documents)
    if skipped := len(given) - len(judged):
        _report(f"{skipped} of {len(given)} questions skipped: their answers are no stretch of text")
    for figures in run(settings, sample(judged, limit, seed), documents, modes, _report):
        show(figures, as_json, _lines(figures))


def _report(line: str) -> None:
    click.echo(line, err=True)


def _lines(figures: dict[str, Any]) -> list[str]:
    first = figures["first_token_ms"]
    rows = {
        "exact match": figures["exact_match"],
        "F1": figures["f1"],
        "abstention, balanced accuracy": figures["abstain_accuracy"],
        "NLL of the answer, per token": figures["answer_nll"],
        "evidence at 1": figures["evidence_at_1"],
        "evidence at 5": figures["evidence_at_5"],
        "first token, ms (p50, p95)": None if first["p50"] is None else f"{first['p50']}, {first['p95']}",
        "tokens per second": figures["decode_tokens_per_second"],
        "bytes per reference": figures["bytes_per_reference"],
    }
    asked = f"{figures['n']} questions, {figures['unanswerable']} of them unanswerable"
    return [
        f"{figures['mode']}  ({asked})",
        *(f"  {name:32}{'-' if value is None else value}" for name, value in rows.items()),
    ]
