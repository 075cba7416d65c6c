"""FitSettings: the arguments of `Trainer.fit` beside the data, and the fit that begins with them.

All arguments and data are checked here, before anything changes.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastbp._typing import WeightsOf
from fastbp.callbacks.callback import Callback, Callbacks
from fastbp.callbacks.history import History
from fastbp.callbacks.progress import ProgressBar
from fastbp.data import splitting
from fastbp.data.streams import NO_ROWS
from fastbp.inputs import checks
from fastbp.training import row_sets, trainer_file, training_data
from fastbp.training.fit import Fit, Position
from fastbp.training.group_fit import GroupCallbacks, GroupFit
from fastbp.training.group_runner import GroupRunner

if TYPE_CHECKING:
    from fastbp._trainer import Trainer


class FitSettings(NamedTuple):
    """The arguments of `Trainer.fit`, which describes them."""

    epochs: int = 1
    batch_size: int = 32
    validation_data: tuple[Any, ...] | Iterable[Any] | None = None
    sample_weight: WeightsOf = None
    class_weight: Mapping[int, float] | str | None = None
    callbacks: Sequence[Callback] = ()
    shuffle: bool = True
    seed: int | None = None
    threads: int | None = None
    progress: bool = False
    check_finite: bool = True
    resume: bool | str | os.PathLike = False
    augment: Callable[..., Any] | None = None
    steps_per_epoch: int | None = None
    validation_split: float | splitting.Split | None = None
    validation_steps: int | None = None
    validation_freq: int = 1


def begun(trainer: "Trainer", X: Any, y: Any, settings: FitSettings) -> tuple[Fit, Position | None]:
    """The fit, and the position from which it resumes; on all ranks of a group, if there is one."""
    runner = trainer.runner
    if not isinstance(runner, GroupRunner):
        return _prepared(trainer, X, y, settings)

    def prepared(validated: bool) -> tuple[Fit, Position | None]:
        return _prepared(trainer, X, y, settings, runner, validated)

    watches = settings.validation_data is not None or settings.validation_split is not None
    return runner.prepared(prepared, trainer.rng, watches)


def _prepared(trainer, X, y, settings, together=None, validated=False):
    """`together` is the runner of a group, of which some rank has validation data or not."""
    epochs, size = (checks.positive_int(getattr(settings, name), name) for name in ("epochs", "batch_size"))
    data, watched = _data(trainer, X, y, settings, together)
    if validated and watched is None:
        watched = NO_ROWS
    bars = [ProgressBar()] * bool(settings.progress)
    callbacks = [*checks.instances(settings.callbacks, Callback, "callbacks"), *bars]
    told = GroupCallbacks(trainer, callbacks, together) if together else Callbacks(trainer, callbacks)
    history = History(row_sets.logged(data, watched, trainer.metrics))
    history.params = {"epochs": epochs, "batch_size": size, "rows": None if together else getattr(data, "rows", None)}
    rest = checks.as_threads(settings.threads), checks.positive_int(settings.validation_freq, "validation_freq")
    if settings.seed is not None:
        trainer.rng = np.random.default_rng(checks.as_seed(settings.seed))
    if settings.augment is not None:
        rng = together.rng if together else trainer.rng
        made = size, settings.shuffle, rng, trainer.runner.checked, settings.check_finite
        data = training_data.augmented(data, settings.augment, *made)
    kind: Any = GroupFit if together else row_sets.kind_of_fit(data)
    fit = kind(trainer.runner, trainer.rng, data, watched, size, settings.shuffle, told, history, *rest)
    return fit, trainer_file.resumed(trainer, settings.resume, fit.check)


def _data(trainer, X, y, settings, together):
    """The data of the fit and of its validation, checked."""
    check, finite, steps = trainer.runner.checked, settings.check_finite, settings.validation_steps
    weights, validation = settings.sample_weight, settings.validation_data
    if settings.validation_split is not None:
        X, y, weights, validation = splitting.part(settings.validation_split, X, y, weights, validation)
    if together and training_data.without_rows(X, y):
        return NO_ROWS, training_data.to_validate_on(check, validation, finite, steps)
    given = (weights, settings.class_weight), finite, settings.steps_per_epoch, settings.augment
    return row_sets.data_of(trainer.runner, X, y, *given, (validation, steps))
