"""ModelCheckpoint: saves checkpoints during a fit, to resume it exactly or to load the best network."""

import contextlib
import math
import os
import re
import string

from fastbp.callbacks.stopping import Watch
from fastbp.inputs import checks
from fastbp.schedules.plateau import Plateau

UNITS = ("epochs", "batches")
LONGEST = 4096  # characters of a path; Linux allows as many bytes
FIELD = r"[\w+%, -]+(?:\.[\w+%, -]+)*"  # matches a formatted field: a number, no folder


class ModelCheckpoint(Watch):
    """Saves a checkpoint every few epochs or batches, or whenever a monitored quantity improves.

    Files are written atomically, so a crash while writing leaves the last one intact. A checkpoint holds the network,
    the optimizer's state, the learning rate, the random generators, the history, the states of the callbacks and the
    position within the epoch: `fit(resume=path)` continues with the same bits as an uninterrupted fit, and
    `fastbp.load` reads the network.

    Parameters
    ----------
    path : str or path-like
        A .safetensors file. It may contain the fields {epoch}, {batch} (both from 1, as in Keras), {step} and, after
        an epoch, the names in the history, as in "net-{epoch:03d}-{val_loss:.4f}.safetensors".
    monitor : str, default="val_loss"
        Name of the quantity for `save_best_only`; "val_loss" means "loss" without validation data.
    save_best_only : bool, default=False
        Whether to save only when the monitored quantity improves.
    mode : {"auto", "min", "max"}, default="auto"
        Whether lower or higher values are better; "auto" decides by the metric, "min" for a loss.
    every : int, default=1
        Number of epochs or batches from one checkpoint to the next.
    unit : {"epochs", "batches"}, default="epochs"
        The unit of `every`.
    min_delta : float, default=0.0
        The smallest change that counts as an improvement.
    keep : int, optional
        How many files to keep, where their names differ; older files are deleted. All if not given. A resumed fit
        deletes only files whose names `path` can produce.

    Attributes
    ----------
    last : str or None
        The last file written.

    Raises
    ------
    ValueError
        If `path` is no format with plain names as fields, or `save_best_only` is combined with unit="batches".

    See Also
    --------
    EarlyStopping : Keeps the best parameters in memory.
    load : Reads the model of a checkpoint.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import Dense, Input, Sequential, load
    >>> net, path = Sequential(Input(2), Dense(1), seed=0), "it.safetensors"
    >>> history = net.fit(np.eye(2), [0.0, 1.0], epochs=3, callbacks=[ModelCheckpoint(path)])
    >>> bool((load(path).params == net.params).all())
    True
    >>> more = net.fit(np.eye(2), [0.0, 1.0], epochs=5, resume=path)
    >>> more.epoch
    [0, 1, 2, 3, 4]
    """

    writes = True
    late = True  # its file holds the states of the other callbacks after the same epoch

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
        every: int = 1,
        unit: str = "epochs",
        *,
        min_delta: float = 0.0,
        keep: int | None = None,
    ):
        super().__init__(monitor, mode, Plateau(min_delta=min_delta))
        self.path = checks.as_path(path)
        self.save_best_only = bool(save_best_only)
        self.period = checks.positive_int(every, "every")
        self.unit = checks.one_of(unit, "unit", UNITS)
        self.every = self.period if unit == "batches" else 0
        self.keep = None if keep is None else checks.positive_int(keep, "keep")
        self.last: str | None = None
        self._written: list[str] = []
        if save_best_only and self.every:
            raise ValueError("save_best_only goes with unit='epochs': a batch has no validation")
        self._fields = _fields(self.path)

    def on_train_begin(self, trainer, history):
        if self.save_best_only:
            super().on_train_begin(trainer, history)
        self._missing = dict.fromkeys(history.history, math.nan)  # an epoch that was not validated has no val_loss
        known = ["epoch", "batch", "step", *(["loss"] if self.every else history.history)]
        for field in self._fields:
            checks.one_of(field, "field in path", known)
        self.last, self._written, self._epoch = None, [], 0
        self._params = history.params

    def on_epoch_begin(self, trainer, epoch):
        self._epoch = epoch

    def on_batch_end(self, trainer, batch, logs):
        self._write(trainer, batch + 1, logs)

    def on_epoch_end(self, trainer, epoch, logs):
        if self.every or (epoch + 1) % self.period:
            return
        if self.save_best_only:
            self.see(logs)
        if not self.save_best_only or self.plateau.improved:
            rows, size = self._params["rows"], self._params["batch_size"]
            self._write(trainer, self._params["batches"] if rows is None else -(-rows // size), logs)

    def state(self):
        return {**super().state(), "written": self._written}

    def restore(self, state):
        super().restore(state)
        pattern = _pattern(self.path)
        named = map(str, state["written"])  # names from a file, which must not decide alone what is deleted
        self._written = [name for name in named if len(name) <= LONGEST and pattern.fullmatch(name)]

    def _write(self, trainer, batch, logs):
        path = self.path.format(epoch=self._epoch + 1, batch=batch, step=trainer.chain.t, **(self._missing | logs))
        if path not in self._written:
            self._written.append(path)
        trainer.checkpoint(path)
        self.last = path
        while self.keep is not None and len(self._written) > self.keep:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._written.pop(0))


def _fields(path):
    """The format fields of a path, which must be plain names."""
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(path) if field is not None]
    except ValueError as error:
        raise ValueError(f"path {path!r} is no format: {error}") from None
    for field in fields:
        if not field.isidentifier():
            raise ValueError(f"a field in path must be a name, as {{epoch}} is, got {field!r} in {path!r}")
    return fields


def _pattern(path):
    """A regular expression for the names that a path with fields can become."""
    parts = string.Formatter().parse(path)
    return re.compile("".join(re.escape(text) + ("" if field is None else FIELD) for text, field, _, _ in parts))
