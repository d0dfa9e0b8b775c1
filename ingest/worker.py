"""The worker process: takes jobs from the database until it is told to stop.

Started and watched by the app (`python -m ingest.worker`), at a lower priority than the answers. Several may
run on one store: a job is leased, and the lease of a worker that died is taken over.
"""

import argparse
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psutil

from engine.choice import Choice
from engine.errors import EngineError
from engine.opening import BACKENDS
from engine.registry import DEFAULT_EMBEDDER, DEFAULT_MODEL
from ingest.pipeline import Pipeline
from ingest.renewing import renew
from storage.errors import DiskFull, JobLost, StorageError
from storage.records import JobRow
from storage.store import Store

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.3
BEAT_SECONDS = 3.0
FULL_SECONDS = 30.0  # until a full disk is tried again


def work(
    store: Store, pipeline: Pipeline, owner: str, stop: threading.Event, until_idle: bool = False
) -> None:
    """Take jobs until `stop` is set, or, if `until_idle`, until none is queued or running.

    A running job that is not ours may be that of a worker that died: its lease is waited for.
    """
    while not stop.is_set():
        job = None
        try:
            job = store.jobs.claim(owner)
            if job is None:
                if until_idle and not store.jobs.list(limit=1, status="running"):
                    return
                stop.wait(IDLE_SECONDS)
                continue
            pipeline.run(job)
        except JobLost:
            log.warning("job %d was taken over by another worker", job.id if job else 0)
        except DiskFull as error:
            log.warning("%s; trying again in %.0f s", error, FULL_SECONDS)
            _wait_for_room(store, job, owner, error, stop)
        _return_free_memory()
        log.info("%d bytes resident", psutil.Process().memory_info().rss)


def _wait_for_room(
    store: Store, job: JobRow | None, owner: str, error: DiskFull, stop: threading.Event
) -> None:
    """A full disk is not the document's fault: its job is given back as soon as that can be written."""
    stopped = False
    while not stopped:
        stopped = stop.wait(FULL_SECONDS)
        try:
            if job is not None:
                store.jobs.requeue(job.id, owner=owner, reason=str(error))
            return
        except JobLost:  # given back already
            return
        except StorageError as still:
            log.warning("%s", still)


def _return_free_memory() -> None:
    """Give freed pages back: glibc keeps them, and after forty documents they are hundreds of megabytes."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def beat(
    store: Store,
    owner: str,
    stop: threading.Event,
    parent: int,
    tokens: Callable[[], int] = lambda: 0,
) -> None:
    """Say every few seconds that this worker lives and how many tokens it has done.

    Stops when the process that started it is gone.
    """
    while not stop.is_set():
        try:
            store.workers.beat(owner, os.getpid(), parent=parent, tokens=tokens())
        except StorageError as error:
            log.warning("no heartbeat: %s", error)
        if os.getppid() != parent:
            log.info("the app is gone; stopping")
            stop.set()
        stop.wait(BEAT_SECONDS)


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m ingest.worker", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--embedder", default=DEFAULT_EMBEDDER)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quantisation", default="none", choices=("none", "8bit", "4bit"))
    parser.add_argument("--format", default="default")
    parser.add_argument("--backend", default="auto", choices=BACKENDS)
    parser.add_argument("--adapter", default="auto")
    parser.add_argument("--until-idle", action="store_true")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="stop when it is not the parent")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s worker %(levelname)s %(message)s"
    )
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    if hasattr(os, "nice"):
        os.nice(10)
    choice = Choice(
        options.home,
        options.model,
        options.embedder,
        options.device,
        options.quantisation,
        options.format,
        options.backend,
        options.adapter,
    )
    owner = f"{os.getpid()}-{uuid4().hex[:8]}"
    try:
        with Store.open(options.home) as store:
            lines: list[Pipeline] = []

            def tokens() -> int:
                return sum(line.tokens for line in lines)

            heart = threading.Thread(
                target=beat, args=(store, owner, stop, options.parent, tokens), daemon=True
            )
            store.workers.beat(owner, os.getpid(), parent=options.parent)  # before it can hold a job
            heart.start()
            try:
                with choice.share(stop) as engine:
                    started = time.monotonic()
                    pipeline = Pipeline(store, engine, choice.load_embedder(), owner, stop)
                    lines.append(pipeline)
                    log.info("%s is ready after %.1f s", engine.info.model, time.monotonic() - started)
                    if not options.until_idle:  # else somebody waits for what he asked for
                        renew(store, engine.fingerprint)
                    work(store, pipeline, owner, stop, options.until_idle)
            except EngineError:
                if not stop.is_set():  # else it gave up waiting for the model, as it was told
                    raise
            finally:
                stop.set()
                heart.join()  # a last beat after `gone` would make the dead look alive
                store.workers.gone(owner)
    except (EngineError, StorageError) as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
