"""Jobs: fits of many networks, one a job, on threads of this process or on an executor that others have written.

A fit on a thread holds the GIL between calls of the engine only, so threads share the processors and all data; fits of
small networks of the same shape share a thread and its SIMD lanes. Each fit has its own trainer, its own copy of the
optimizer and its own callbacks, and gets the bits of a fit alone. Rejected: a scheduler or a pool of processes of our
own.
"""

import copy
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastbp.callbacks.callback import Callback
from fastbp.callbacks.history import History
from fastbp.data.batches import Chosen, Data
from fastbp.errors import DivergenceError
from fastbp.many.memory_maps import opened, packed
from fastbp.many.progress import Progress
from fastbp.many.side_by_side import SideBySide, groups_of
from fastbp.network.network import Network
from fastbp.threads import get_num_threads
from fastbp.training import training_data
from fastbp.training.fit import Calls
from fastbp.training.fit_settings import FitSettings
from fastbp.training.trainer import Trainer

SMALL = 100_000  # parameters; a trainer of more is made again, since those of all nets at once are much memory
LOOK = 0.05  # seconds between two looks at progress; Ctrl-C is seen at once


class Cancelled(Exception):
    """A fit was broken off because another failed, or by Ctrl-C."""


class Shared:
    """What all fits of a call look at: whether to go on, and how far they are. Another process has its own."""

    def __init__(self, progress: Progress | None = None):
        self.cancel = threading.Event()
        self.progress = progress

    def __reduce__(self):
        return Shared, ()


class Watch(Callback):
    """Ends a fit that was cancelled, and keeps the error of one that diverged."""

    def __init__(self, shared: Shared, keep: bool):
        self.shared, self.keep = shared, keep

    def on_train_begin(self, trainer, history):
        self.history = history

    def on_tick(self, trainer, rows, logs):
        if self.shared.cancel.is_set():
            raise Cancelled

    def on_epoch_end(self, trainer, epoch, logs):
        if self.shared.progress is not None:
            self.shared.progress.epoch_done(logs)

    def on_train_end(self, trainer, history):
        if self.shared.progress is not None:
            self.shared.progress.net_done()

    def on_divergence(self, trainer, error):
        if self.keep:
            self.history.error = error
        return self.keep


@dataclass
class Job:
    """One fit: a network, what its trainer is made of, its data, and the arguments of `fit`."""

    k: int
    net: Network
    recipe: dict[str, Any]
    X: Any
    y: Any
    rows: Any  # indices of the rows that are trained on; None for all
    settings: dict[str, Any]
    keep: bool = False
    shared: Shared = field(default_factory=Shared)
    made: Trainer | None = None  # that of `check`, for `fit`
    plain: bool = False  # whether the data are arrays as the engine reads them, without weights

    def trainer(self) -> Trainer:
        """A trainer with an optimizer of its own."""
        trainer, self.made = self.made, None
        if trainer is None:
            trainer = Trainer(self.net, **{**self.recipe, "optimizer": copy.deepcopy(self.recipe["optimizer"])})
        return trainer

    def data(self) -> Any:
        """X, with the rows that are trained on."""
        return self.X if self.rows is None else Chosen(self.X, self.rows)

    def check(self) -> None:
        """Raise what the fit would raise before its first step."""
        trainer = self.trainer()
        check, given = trainer.runner.checked, self.settings
        finite = given.get("check_finite", True)
        weights, by_class = given.get("sample_weight"), given.get("class_weight")
        steps, augment = given.get("steps_per_epoch"), given.get("augment")
        data = training_data.to_train_on(check, self.data(), self.y, weights, by_class, finite, steps)
        self.plain = isinstance(data, Data) and data.weights is None and augment is None
        validation = given.get("validation_data"), finite, given.get("validation_steps")
        training_data.to_validate_on(check, *validation)
        self.made = trainer if self.net.params.size <= SMALL else None

    def fit(self) -> History:
        """Train the network."""
        with self._named():
            return self.trainer().fit(self.data(), self.y, **self._arguments())

    def calls(self, trainer: Trainer) -> Calls[History]:
        """`fit` as a generator, whose caller makes the calls of the engine."""
        with self._named():
            return (yield from trainer._calls(self.data(), self.y, FitSettings(**self._arguments())))

    def _arguments(self):
        return {**self.settings, "callbacks": [*self.settings["callbacks"], Watch(self.shared, self.keep)]}

    @contextmanager
    def _named(self):
        try:
            yield
        except DivergenceError as error:
            error.add_note(f"it was nets[{self.k}]; the other fits were broken off (errors='keep' goes on)")
            raise

    def __getstate__(self):
        kept = {**vars(self), "made": None}
        return {**kept, "X": packed(self.X), "y": packed(self.y)}

    def __setstate__(self, kept):
        vars(self).update(kept, X=opened(kept["X"]), y=opened(kept["y"]))


class Outcome(NamedTuple):
    """What a fit gives back: the history and the network, which is a copy if it was trained in another process."""

    net: Network
    history: History


def fitted(jobs: list[Job]) -> list[Outcome]:
    """Run one job, or several jobs side by side, in whatever thread or process this is called."""
    shared = jobs[0].shared
    if shared.cancel.is_set():
        raise Cancelled
    try:
        histories = side_by_side(jobs) if len(jobs) > 1 else [jobs[0].fit()]
    except BaseException:
        shared.cancel.set()
        raise
    return [Outcome(job.net, history) for job, history in zip(jobs, histories, strict=True)]


def side_by_side(jobs: list[Job]) -> list[History]:
    """Train small networks of the same shape in shared calls of the engine."""
    trainers = [job.trainer() for job in jobs]
    fits = [job.calls(trainer) for job, trainer in zip(jobs, trainers, strict=True)]
    return SideBySide(trainers, fits, jobs[0].settings["threads"]).run()


class Here(Executor):
    """Runs each job at once, in the calling thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """A future that is done."""
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def run(jobs: list[Job], executor: Any, threads: int | None, progress: bool) -> list[History]:
    """Check all jobs, do them, and return the histories in their order."""
    for job in jobs:
        job.check()
    shown = Progress(len(jobs), sum(job.settings["epochs"] for job in jobs)) if progress else None
    workers = min(threads or get_num_threads(), len(jobs))
    alone = executor is None and workers == 1
    of_each = threads if executor is not None or alone else 1
    shared = Shared(shown)
    for job in jobs:
        job.shared = shared
        job.settings["threads"] = of_each if alone else of_each or 1
    own = executor is None
    pool: Any = (Here() if alone else ThreadPoolExecutor(workers, "fastbp")) if own else executor
    parts = _parts(jobs, workers) if own else [[job] for job in jobs]
    histories: dict[int, History] = {}
    try:
        outcomes = itertools.chain.from_iterable(_outcomes(pool, parts, shared))
        for job, outcome in zip(itertools.chain.from_iterable(parts), outcomes, strict=True):
            if outcome.net is not job.net:
                job.net.params[...] = outcome.net.params
                job.net.programs.draws = outcome.net.programs.draws
                if shown is not None:
                    shown.net_done()
            histories[job.k] = outcome.history
    finally:
        if own:
            pool.shutdown(wait=True, cancel_futures=True)
        if shown is not None:
            shown.close()
    return [histories[job.k] for job in jobs]


def _parts(jobs, workers):
    """The jobs of each call of `fitted`."""
    trainers = [job.made if job.plain else None for job in jobs]
    groups = groups_of(trainers, [job.settings["batch_size"] for job in jobs], workers)
    return [[jobs[k] for k in group] for group in groups]


def _outcomes(pool, parts, shared) -> Iterator[list[Outcome]]:
    if not hasattr(pool, "submit"):  # a pool of multiprocessing or Ray
        yield from pool.map(fitted, parts)
        return
    futures: list[Any] = []
    try:
        futures.extend(pool.submit(fitted, part) for part in parts)
        for future in futures:
            yield _result(future, shared.progress)
    except BaseException as error:
        shared.cancel.set()
        for future in futures:
            future.cancel()
        wait([future for future in futures if isinstance(future, Future)], timeout=2 * LOOK)
        raise (_cause(futures) if isinstance(error, Cancelled) else None) or error from None


def _result(future, progress):
    """The result, with looks at the progress in between where the future can be waited for."""
    while isinstance(future, Future) and not future.done():
        wait([future], timeout=LOOK)
        if progress is not None:
            progress.show()
    return future.result()


def _cause(futures):
    """Why the fits were broken off: the first error of all that is one."""
    done = (future for future in futures if future.done() and not future.cancelled())
    errors = (future.exception() for future in done)
    return next((error for error in errors if error is not None and not isinstance(error, Cancelled)), None)
