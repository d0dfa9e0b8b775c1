"""`attest adapt`: train an adapter, average some, measure one, weigh its heads, export one."""

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from app import settings as settings_of
from app.cli.frame import as_json, main, show
from app.errors import for_people

if TYPE_CHECKING:
    from engine.adapt.examining import Reads, Row
    from engine.adapt.training import Progress

FOLDER = click.Path(file_okay=False, path_type=Path)
DATA = click.Path(exists=True, file_okay=False, path_type=Path)


@main.group()
def adapt() -> None:
    """Teach a model to read sparse memories better."""


@adapt.command("train")
@click.argument("folder", type=FOLDER)
@click.option(
    "--data",
    type=DATA,
    required=True,
    help="Questions and contexts: legal_qa.jsonl, legal_contexts.jsonl, the same of medical and general.",
)
@click.option("--steps", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--reads",
    type=click.Choice(["memory", "text"]),
    default="memory",
    show_default=True,
    help="text: read the same references in the prompt; the ceiling that memories are compared with.",
)
@click.option(
    "--text-first",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Steps of reading text that go before, into FOLDER/text; memories are learnt from there on.",
)
@click.option(
    "--from",
    "start",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="An adapter to go on from, with other lessons than its own.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    help="The highest. [default: 0.0015; 0.0005 with --from; for memories after --text-first 0.001]",
)
@as_json
def train(
    folder: Path,
    data: Path,
    steps: int,
    seed: int,
    reads: Literal["memory", "text"],
    text_first: int,
    start: Path | None,
    learning_rate: float | None,
    as_json: bool,
) -> None:
    """Train an adapter into FOLDER. Ctrl-C stops after the step; the same command goes on from there."""
    from app.adapting.training import train as run

    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    with for_people():
        card = run(
            settings_of.load(),
            data,
            folder,
            steps=steps,
            seed=seed,
            reads=reads,
            text_first=text_first,
            start=start,
            learning_rate=learning_rate,
            report=_report,
            stop=stop,
        )
    unread = text_first and card["trained"]["reads"] == "text"
    left = "; memories are not begun, the same command goes on" if unread else ""
    show(card, as_json, [f"{folder}: {card['trained']['samples']} samples{left}"])


@adapt.command("average")
@click.argument("out", type=FOLDER)
@click.argument(
    "folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@as_json
def average(out: Path, folders: tuple[Path, ...], as_json: bool) -> None:
    """Write the mean of the adapters of FOLDERS to OUT; each must have gone on from another (`train --from`).

    A training and where it began are often worth less than what lies between.
    """
    from app.adapting.training import average as run

    with for_people():
        card = run(out, folders)
    show(card, as_json, [f"{out}: the mean of {len(folders)} adapters"])


@adapt.command("evaluate")
@click.argument("folder", type=FOLDER)
@click.option(
    "--data", type=DATA, required=True, help="As for `train`; held-out contexts only are asked about."
)
@click.option(
    "--batches", type=click.IntRange(1), default=20, show_default=True, help="About 12 questions each."
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--ladder",
    is_flag=True,
    help="Then the adapter's own format with one thing changed at a time: layers, positions, how many "
    "memories, their order, the rule that chooses tokens, the codec.",
)
@click.option(
    "--reads",
    type=click.Choice(["none", "text", "memory", "wrong"]),
    multiple=True,
    help="Only what reads this; may be given more than once. [default: everything]",
)
@as_json
def evaluate(
    folder: Path,
    data: Path,
    batches: int,
    seed: int,
    ladder: bool,
    reads: "tuple[Reads, ...]",
    as_json: bool,
) -> None:
    """Held-out answers without references, from text, from memories, from wrong ones; adapted and not."""
    from app.adapting.training import evaluate as run

    with for_people():
        rows = run(settings_of.load(), data, folder, batches=batches, seed=seed, ladder=ladder, reads=reads)
        for row in rows:
            show(row, as_json, [_line(row)])


@adapt.command("heads")
@click.argument("folder", type=FOLDER)
@click.option("--data", type=DATA, required=True, help="As for `train`.")
@click.option("--questions", type=click.IntRange(20), default=100, show_default=True, help="To fit on.")
@click.option("--held-out", type=click.IntRange(20), default=60, show_default=True, help="To examine.")
@click.option("--seed", type=int, default=5, show_default=True)
@click.option(
    "--measured",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keeps what was measured in this file (.npz), and goes on from there.",
)
@as_json
def heads(
    folder: Path,
    data: Path,
    questions: int,
    held_out: int,
    seed: int,
    measured: Path | None,
    as_json: bool,
) -> None:
    """Weigh the attention heads of the adapter of FOLDER by how well they tell what an answer needs.

    Ctrl-C stops measuring; the weights are then fitted on what was measured.
    """
    from app.adapting.heads import fit_heads as run

    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    with for_people():
        rows = run(
            settings_of.load(),
            data,
            folder,
            questions=questions,
            held_out=held_out,
            seed=seed,
            measured=measured,
            report=lambda line: click.echo(line, err=True),
            stop=stop,
        )
        for row in rows:
            show(row, as_json, [_heads_line(row)])


@adapt.command("export")
@click.argument("folder", type=FOLDER)
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--as",
    "kind",
    type=click.Choice(["merged", "gguf"]),
    default="merged",
    show_default=True,
    help="merged: the model with the adapter, a safetensors folder. gguf: the adapter alone, for llama.cpp.",
)
def export(folder: Path, out: Path, kind: Literal["merged", "gguf"]) -> None:
    """Write the adapter of FOLDER to OUT for other programs."""
    from app.adapting.training import export as run

    with for_people():
        run(settings_of.load(), folder, out, kind)
    click.echo(f"{out}: written")


def _line(row: "Row") -> str:
    kept = f" of {row.tokens_per_head} per head" if row.tokens_per_head else ""
    variant = f", {row.variant}" if row.variant else ""
    parts = {"law": row.law, "medicine": row.medicine, "general": row.general}
    known = ", ".join(f"{name} {nll:.3f}" for name, nll in parts.items() if nll is not None)
    return (
        f"{'adapted' if row.adapted else 'base'}, {row.reads}{kept}{variant}: {row.nll:.3f} nats a token"
        f" ({known}), {row.n} questions"
    )


def _heads_line(row: dict[str, Any]) -> str:
    strength = f" ({row['strength']:g})" if row["strength"] else ""
    where = "cross-validated" if row["cross_validated"] else "held out"
    line = (
        f"{row['name']}{strength}, {where}, {row['answers']} answers: right first {row['right_first']:.1%}, "
        f"AUC {row['auc']:.3f}, Spearman {row['spearman']:.2f}, {row['n']} questions"
    )
    needed = row.get("needed_right_first")
    return line if needed is None else f"{line}; by leave-one-out right first {needed:.1%}"


def _report(progress: "Progress") -> None:
    nll = ", ".join(f"{value:.2f} at {kept}" for kept, value in progress.nll.items())
    line = f"step {progress.step} of {progress.steps}: held-out answers by tokens per head: {nll} nats"
    if progress.step:
        left = progress.seconds / progress.step * (progress.steps - progress.step)
        line += f"; loss {progress.loss:.2f}; about {left / 60:.0f} min left"
    click.echo(line, err=True)
