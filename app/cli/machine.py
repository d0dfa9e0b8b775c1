"""What runs here, and how well: `attest serve`, `desktop`, `doctor`, `models` and `bench`."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from app import settings as settings_of
from app.cli.frame import as_json, main, show
from app.errors import for_people
from engine.opening import BACKENDS, Backend


@main.group()
def models() -> None:
    """Language models, their adapters, and embedders."""


@models.command("list")
@as_json
def models_list(as_json: bool) -> None:
    """Models and adapters known by name, whether they are installed, and which are in use."""
    from engine.registry import REGISTERED

    chosen = settings_of.load()
    used = (chosen.model, chosen.embedder)
    rows = [
        {
            "name": model.name,
            "kind": model.kind,
            "licence": model.licence,
            "installed": model.path() is not None,
            "used": model.name in used,
        }
        for model in REGISTERED.values()
    ]
    rows += [
        {"name": name, "kind": kind, "licence": None, "installed": Path(name).exists(), "used": True}
        for name, kind in zip(used, ("language model", "embedder"), strict=True)
        if name not in REGISTERED
    ]
    rows += _adapters(chosen)
    lines = [
        f"{'*' if row['used'] else ' '} {row['name']}  ({row['kind']}, {row['licence'] or 'licence unknown'}"
        f"{'' if row['installed'] else '; NOT installed'})"
        for row in rows
    ]
    show({"models": rows}, as_json, lines)


@models.command("use")
@click.argument("model")
@as_json
def models_use(model: str, as_json: bool) -> None:
    """Answer with another model from the next start on.

    MODEL is one that is known by name, a GGUF file, or a folder of safetensors on this machine.
    """
    with for_people():
        chosen = settings_of.with_model(settings_of.load(), model)
    lines = [
        f"{chosen.model} answers from the next start on",
        "memories belong to the model that wrote them: `attest memories rebuild` writes all of this one's",
    ]
    show({"model": chosen.model, "adapter": chosen.adapter}, as_json, lines)


def _adapters(chosen: settings_of.Settings) -> list[dict[str, Any]]:
    """Rows of those that come with models, and of the one in use if it is another."""
    from engine.registry import REGISTERED, adapter_folder

    used = adapter_folder(chosen.adapter, chosen.model)
    shipped = {folder: name for name in REGISTERED if (folder := adapter_folder("auto", name)) is not None}
    return [
        {
            "name": folder.name if folder in shipped else str(folder),
            "kind": "adapter",
            "licence": REGISTERED[shipped[folder]].licence if folder in shipped else None,
            "installed": folder.is_dir(),
            "used": folder == used,
        }
        for folder in dict.fromkeys([*shipped, *([] if used is None else [used])])
    ]


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=7861, show_default=True)
@click.option("--workers", type=click.IntRange(0, 8), default=1, show_default=True)
@click.option("--samples", is_flag=True, help="Begin with the sample documents that come with Attest.")
@click.option("--name", "names", multiple=True, help="By which browsers may call it, behind a proxy say.")
def serve(host: str, port: int, workers: int, samples: bool, names: Sequence[str]) -> None:
    """Serve the web page and the API. A worker reads what is dropped.

    Another host than this machine itself takes users; see `attest users`.
    """
    from app.serving import serve as run

    run(settings_of.load(), host, port, workers, samples, names)


@main.command()
@click.option("--samples", is_flag=True, help="Begin with the sample documents that come with Attest.")
def desktop(samples: bool) -> None:
    """Open the page in a window of its own.

    Nothing else on this machine can look into it.
    """
    from app.desktop.running import desktop as run

    run(settings_of.load(), samples)


@main.command()
@click.option("--offline", is_flag=True, help="Also prove that loading and answering open no connection.")
@as_json
def doctor(offline: bool, as_json: bool) -> None:
    """Check the installation, device, models, store and disk."""
    from app.doctor import examine

    report = examine(settings_of.load(), offline=offline)
    mark = {"ok": "ok  ", "warning": "WARN", "error": "FAIL"}
    lines = [f"{mark[check['state']]}  {check['name']}: {check['message']}" for check in report["checks"]]
    show(report, as_json, lines)
    if not report["ok"]:
        sys.exit(1)


@main.group()
def bench() -> None:
    """Benchmarks. Sides are compared within one run; the ratios are the result."""


@bench.command("ingest")
@click.option(
    "--document", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Default: a sample."
)
@as_json
def bench_ingest(document: Path | None, as_json: bool) -> None:
    """Writing memories, and ingesting a whole document, against the same model's plain prefill."""
    from app.measuring.bench import bench_ingest as run

    result = run(replace(settings_of.load(), backend="torch"), document)  # whose plain prefill it compares
    lines = [f"{name}: {value}" for name, value in {**result["ratios"], **result}.items() if name != "ratios"]
    show(result, as_json, lines)


@bench.command("speed")
@click.option("--backend", type=click.Choice(BACKENDS), help="Default: the setting.")
@as_json
def bench_speed(backend: Backend | None, as_json: bool) -> None:
    """Answering from memories, from re-read text and without documents, side by side."""
    from app.measuring.speed import bench_speed as run

    settings = settings_of.load()
    with for_people():
        result = run(settings, backend or settings.backend)
    lines = [f"{name}: {value}" for name, value in {**result["ratios"], **result}.items() if name != "ratios"]
    show(result, as_json, lines)


@bench.command("evidence")
@click.option("--backend", type=click.Choice(BACKENDS), help="Default: the setting.")
@click.option("--questions", type=click.IntRange(min=1), default=200, show_default=True, help="Of each part.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with questions.jsonl and contexts.jsonl. Default: assets/eval.",
)
@as_json
def bench_evidence(
    backend: Backend | None, questions: int, seed: int, data: Path | None, as_json: bool
) -> None:
    """Whether reads, needs and abstentions are what they are shown as."""
    from app.measuring.evidence import bench_evidence as run

    settings = settings_of.load()
    if backend is not None:
        settings = replace(settings, backend=backend)
    result = run(settings, lambda line: click.echo(line, err=True), questions=questions, seed=seed, data=data)
    errors = result["standard_errors"]
    lines = [
        f"{name:28}{'-' if result[name] is None else result[name]}"
        + ("" if error is None else f"  (standard error {error})")
        for name, error in errors.items()
    ]
    lines += [f"{name}: {count}" for name, count in result["n"].items()]
    show(result, as_json, lines)


@bench.command("store")
@as_json
def bench_store(as_json: bool) -> None:
    """What each codec of memories costs: bytes, answers, the time to load five; and how search grows."""
    from app.measuring.store import bench_store as run

    result = run(settings_of.load(), lambda line: click.echo(line, err=True))
    lines = [
        f"{codec}: {row['bytes_per_reference']} bytes a reference, answers {row['answer_nll_delta']:+.2%} "
        f"(standard error {row['answer_nll_delta_standard_error']:.2%}), five memories from disk "
        f"{row['load_disk_ms']['p50']} ms, from RAM {row['load_ram_ms']['p50']} ms (p50)"
        for codec, row in result["codecs"].items()
    ]
    lines += [
        f"search over {count} references: {row['p50_ms']} ms (p50), {row['p95_ms']} ms (p95), "
        f"recall@5 {row['recall_at_5']:.3f} of exact"
        for count, row in result["search"].items()
    ]
    show(result, as_json, lines)
