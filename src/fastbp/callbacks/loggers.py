"""Callbacks that log a fit: to CSV and JSON files, TensorBoard, MLflow and Weights & Biases.

The target of a logger is duck-typed: any object with the one method that is called. The package itself is imported
only if no target is given. Each epoch is logged, with the learning rate after it; the loss of single batches is
logged only if `batches` is given, because that takes the fit out of the engine.
"""

import math
import os
from typing import Any

from fastbp._optional import package
from fastbp.callbacks.callback import Callback
from fastbp.inputs import checks


class Logger(Callback):
    """Base of the loggers.

    Parameters
    ----------
    batches : int, optional
        Number of batches from one logged batch loss to the next; none are logged if not given.
    """

    writes = True

    def __init__(self, batches: int | None = None):
        self.every = 0 if batches is None else checks.positive_int(batches, "batches")

    def write(self, values: dict[str, float], epoch: int | None, step: int) -> None:
        """Write a line or point: of an epoch, or of a training step if `epoch` is None."""
        raise NotImplementedError

    def on_epoch_end(self, trainer, epoch, logs):
        self.write({**logs, "lr": trainer.optimizer.lr}, epoch, trainer.chain.t)

    def on_batch_end(self, trainer, batch, logs):
        self.write({"batch_loss": logs["loss"]}, None, trainer.chain.t)


class FileLogger(Logger):
    """Base of the loggers to text files, one line per entry, which is flushed before the fit continues."""

    heads = 0  # number of header lines

    def __init__(self, path: str | os.PathLike[str], append: bool = False, batches: int | None = None):
        super().__init__(batches)
        self.path = checks.as_path(path)
        self.append = bool(append)
        self._file: Any = None

    def on_train_begin(self, trainer, history):
        self._keep = None if self.append else 0
        self._lines = 0
        self._names = [*history.history, "lr"]

    def on_close(self, trainer):
        if self._file is not None:
            self._file.close()
            self._file = None

    def state(self):
        return {"lines": self._lines}

    def restore(self, state):
        self._keep = self._lines = checks.as_count(state["lines"], "lines")

    def add(self, line: str, head: str = "") -> None:
        """Append a line, after the header if the file is new."""
        if self._file is None:
            old = self._old_lines()
            if head and old and old[0] != head:
                raise ValueError(f"{self.path} has the columns {old[0].strip()!r}, wanted here: {head.strip()!r}")
            self._lines = max(len(old) - self.heads, 0)
            self._file = open(self.path, "w" if not old else "r+", encoding="utf-8", newline="")  # noqa: SIM115
            self._file.writelines(old or [head])
            self._file.truncate()
        self._file.write(line)
        self._file.flush()
        self._lines += 1

    def _old_lines(self):
        """The lines to keep: all, or in a resumed fit the lines from before its checkpoint."""
        if self._keep == 0 or not os.path.exists(self.path):
            return []
        with open(self.path, encoding="utf-8", newline="") as file:
            lines = file.readlines()
        return lines if self._keep is None else lines[: self.heads + self._keep]


class CSVLogger(FileLogger):
    """Logs each epoch to a CSV file: epoch, the quantities of the history, lr.

    Epochs that `validation_freq` skips have empty cells. A resumed fit removes the lines after its checkpoint.

    Parameters
    ----------
    path : str or path-like
        The file to write.
    separator : str, default=","
        The column separator.
    append : bool, default=False
        Whether to append to an existing file instead of overwriting it.

    Raises
    ------
    ValueError
        If `separator` is not one character, or is a quote, a line end or a point.

    See Also
    --------
    JSONLogger : To a file of JSON lines.
    TensorBoardLogger, MlflowLogger, WandbLogger : Log to a service.

    Examples
    --------
    >>> import pathlib
    >>> import numpy as np
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(1, weights="zeros"))
    >>> history = net.fit(np.eye(2), [2.0, 2.0], optimizer="sgd", callbacks=[CSVLogger("log.csv")])
    >>> print(pathlib.Path("log.csv").read_text())
    epoch,loss,lr
    0,4.0,0.01
    <BLANKLINE>
    """

    heads = 1

    def __init__(self, path: str | os.PathLike[str], separator: str = ",", append: bool = False):
        super().__init__(path, append)
        if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n.':
            raise ValueError(f"separator must be one character between numbers, got {separator!r}")
        self.separator = separator

    def write(self, values, epoch, step):
        head = self.separator.join(map(self._quoted, ("epoch", *self._names))) + "\n"
        cells = (repr(values[name]) if name in values else "" for name in self._names)
        self.add(self.separator.join([repr(epoch), *cells]) + "\n", head)

    def _quoted(self, name):
        plain = self.separator not in name and '"' not in name and "\n" not in name
        return name if plain else '"' + name.replace('"', '""') + '"'


class JSONLogger(FileLogger):
    """Logs each epoch, and batches if wanted, as one JSON object per line (JSON Lines).

    An epoch has "epoch", "step", the quantities of the history and "lr"; a batch has "step" and "batch_loss". Values
    that are not finite are null. A resumed fit removes the lines after its checkpoint.

    Parameters
    ----------
    path : str or path-like
        The file to write.
    append : bool, default=False
        Whether to append to an existing file instead of overwriting it.
    batches : int, optional
        Number of batches from one logged batch loss to the next; none are logged if not given.

    See Also
    --------
    CSVLogger : To a CSV file.
    TensorBoardLogger, MlflowLogger, WandbLogger : Log to a service.

    Examples
    --------
    >>> import pathlib
    >>> import numpy as np
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(1, weights="zeros"))
    >>> history = net.fit(np.eye(2), [2.0, 2.0], optimizer="sgd", callbacks=[JSONLogger("log.jsonl")])
    >>> print(pathlib.Path("log.jsonl").read_text())
    {"epoch": 0, "step": 1, "loss": 4.0, "lr": 0.01}
    <BLANKLINE>
    """

    def write(self, values, epoch, step):
        import json

        place = {"step": step} if epoch is None else {"epoch": epoch, "step": step}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self.add(json.dumps({**place, **finite}) + "\n")


class ServiceLogger(Logger):
    """Base of the loggers to an object of another package, given or created when a fit begins."""

    method = ""  # the method that the object must have
    what = ""  # the name of the object in messages

    def __init__(self, target: Any, batches: int | None):
        super().__init__(batches)
        if target is not None and not callable(getattr(target, self.method, None)):
            raise TypeError(f"{self.what} must have a method {self.method}, got {type(target).__name__}")
        self._given = target
        self._target = target

    def open(self) -> Any:
        """Create the object with the package."""
        raise NotImplementedError

    def close(self, target: Any) -> None:
        """Close an object that `open` created."""

    def on_train_begin(self, trainer, history):
        self._target = self.open() if self._given is None else self._given

    def on_close(self, trainer):
        if self._given is None and self._target is not None:
            self.close(self._target)
            self._target = None


class TensorBoardLogger(ServiceLogger):
    """Logs scalars to TensorBoard: the quantities of an epoch by the epoch, "batch_loss" by the step.

    Parameters
    ----------
    writer : object, optional
        An object with `add_scalar(name, value, step)`, such as a SummaryWriter of torch or tensorboardX; a writer of
        the package tensorboard if not given.
    folder : str or path-like, default="logs"
        Directory of the writer of the package tensorboard.
    batches : int, optional
        Number of batches from one logged batch loss to the next; none are logged if not given.

    Raises
    ------
    ImportError
        When a fit begins, if no writer is given and tensorboard is not installed.

    See Also
    --------
    MlflowLogger, WandbLogger : Log to other services.
    CSVLogger, JSONLogger : Log to a file.

    Examples
    --------
    >>> class Printer:
    ...     def add_scalar(self, name, value, step):
    ...         print(step, name, value)
    >>> import numpy as np
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(1, weights="zeros"))
    >>> history = net.fit(np.eye(2), [2.0, 2.0], optimizer="sgd", callbacks=[TensorBoardLogger(Printer())])
    0 loss 4.0
    0 lr 0.01
    """

    method, what = "add_scalar", "writer"

    def __init__(self, writer: Any = None, folder: str | os.PathLike[str] = "logs", batches: int | None = None):
        super().__init__(writer, batches)
        self.folder = os.fspath(folder)

    def open(self):
        return package("tensorboard.summary", "TensorBoardLogger without a writer").Writer(self.folder)

    def close(self, target):
        target.close()

    def write(self, values, epoch, step):
        for name, value in values.items():
            self._target.add_scalar(name, value, step if epoch is None else epoch)


class RunLogger(ServiceLogger):
    """Base of the loggers whose object is a run."""

    what = "run"

    def __init__(self, run: Any = None, batches: int | None = None):
        super().__init__(run, batches)


class MlflowLogger(RunLogger):
    """Logs metrics to MLflow: the quantities of an epoch by the epoch, "batch_loss" by the step.

    Parameters
    ----------
    run : object, optional
        An object with `log_metrics(values, step=step)`; the module mlflow with its active run if not given.
    batches : int, optional
        Number of batches from one logged batch loss to the next; none are logged if not given.

    Raises
    ------
    ImportError
        When a fit begins, if no run is given and mlflow is not installed.

    See Also
    --------
    TensorBoardLogger, WandbLogger : Log to other services.
    CSVLogger, JSONLogger : Log to a file.

    Examples
    --------
    >>> class Printer:
    ...     def log_metrics(self, values, step):
    ...         print(step, values)
    >>> import numpy as np
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(1, weights="zeros"))
    >>> history = net.fit(np.eye(2), [2.0, 2.0], optimizer="sgd", callbacks=[MlflowLogger(Printer())])
    0 {'loss': 4.0, 'lr': 0.01}
    """

    method = "log_metrics"

    def open(self):
        return package("mlflow", "MlflowLogger without a run")

    def write(self, values, epoch, step):
        self._target.log_metrics(values, step=step if epoch is None else epoch)


class WandbLogger(RunLogger):
    """Logs to Weights & Biases by the training step; entries of epochs contain "epoch".

    Parameters
    ----------
    run : object, optional
        An object with `log(values, step=step)`; a new run, `wandb.init()`, if not given.
    batches : int, optional
        Number of batches from one logged batch loss to the next; none are logged if not given.

    Raises
    ------
    ImportError
        When a fit begins, if no run is given and wandb is not installed.

    See Also
    --------
    TensorBoardLogger, MlflowLogger : Log to other services.
    CSVLogger, JSONLogger : Log to a file.

    Examples
    --------
    >>> class Printer:
    ...     def log(self, values, step):
    ...         print(step, values)
    >>> import numpy as np
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(1, weights="zeros"))
    >>> history = net.fit(np.eye(2), [2.0, 2.0], optimizer="sgd", callbacks=[WandbLogger(Printer())])
    1 {'epoch': 0, 'loss': 4.0, 'lr': 0.01}
    """

    method = "log"

    def open(self):
        return package("wandb", "WandbLogger without a run").init()

    def close(self, target):
        target.finish()

    def write(self, values, epoch, step):
        self._target.log(values if epoch is None else {"epoch": epoch, **values}, step=step)
