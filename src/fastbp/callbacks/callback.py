"""Callback: the base class of the callbacks, and the list of them that a fit calls.

A hook that returns True stops the fit. A fit leaves the engine for `on_batch_end` only if a callback overrides it,
and then every `every` batches; otherwise it returns to Python once an epoch, or every 50 ms, when `on_tick` is
called. Progress, early stopping, checkpoints and logs are all callbacks.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.callbacks.history import History
from fastbp.errors import DAMAGE, DivergenceError, ModelFormatError
from fastbp.inputs import checks

if TYPE_CHECKING:
    from fastbp._trainer import Trainer


class Callback:
    """Base of the callbacks: override the hooks you need. A hook that returns True stops the fit.

    See Also
    --------
    LambdaCallback : From functions, without a class.

    Notes
    -----
    `trainer` is the Trainer, with `net` and `optimizer`, and `history` its History. `epoch` and `batch` count from 0;
    `rows` is the number of samples done in this epoch. `logs` has results by name: the "loss" of a batch; the loss,
    metrics and validation results of an epoch. `error` is the error that the fit raises unless the hook returns True;
    `state` is what the method `state` returned.

    Examples
    --------
    >>> class StopBelow(Callback):
    ...     def on_epoch_end(self, trainer, epoch, logs):
    ...         return logs["loss"] < 0.1
    """

    every: int = 1  # number of batches between two calls of on_batch_end; 0 for no call
    writes: bool = False  # whether it writes files or shows something; of several ranks, only rank 0 calls it then
    late: bool = False  # whether it is called after the other callbacks, whose effects it stores

    def on_train_begin(self, trainer: "Trainer", history: History) -> bool | None:
        """Called before the first epoch."""

    def on_train_end(self, trainer: "Trainer", history: History) -> None:
        """Called after the last epoch, also if a hook stopped the fit; not after an exception."""

    def on_epoch_begin(self, trainer: "Trainer", epoch: int) -> bool | None:
        """Called before each epoch; epochs count from 0."""

    def on_epoch_end(self, trainer: "Trainer", epoch: int, logs: dict[str, float]) -> bool | None:
        """Called after each epoch, with its loss, metrics and validation results."""

    def on_batch_end(self, trainer: "Trainer", batch: int, logs: dict[str, float]) -> bool | None:
        """Called after each batch, or every `every` batches, with its loss; batches count from 0 in each epoch."""

    def on_tick(self, trainer: "Trainer", rows: int, logs: dict[str, float]) -> bool | None:
        """Called about every 50 ms, with the number of samples done in the epoch and the loss of the last batch."""

    def on_divergence(self, trainer: "Trainer", error: DivergenceError) -> bool | None:
        """Called when a loss or an update is not finite; return True to end the fit without the error."""

    def on_close(self, trainer: "Trainer") -> None:
        """Called at the end in any case, also after an exception: close files here."""

    def state(self) -> dict[str, Any]:
        """The state for checkpoints: JSON-serializable values and arrays."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned; called after `on_train_begin` of a resumed fit."""


HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


class LambdaCallback(Callback):
    """A callback made of functions.

    Parameters
    ----------
    every : int, default=1
        Number of batches from one call of `on_batch_end` to the next.
    **hooks : function
        Functions by the names of the hooks of Callback, with their arguments.

    Raises
    ------
    TypeError
        If an argument is not a function.

    See Also
    --------
    Callback : The base class, with the arguments of each function.

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential
    >>> net, seen = Sequential(Input(2), Dense(1), seed=0), []
    >>> watch = LambdaCallback(on_epoch_end=lambda trainer, epoch, logs: seen.append(epoch))
    >>> history = net.fit(np.eye(2), [0.0, 1.0], epochs=3, callbacks=[watch])
    >>> seen
    [0, 1, 2]
    """

    def __init__(self, *, every: int = 1, **hooks: Callable[..., Any]):
        self.every = checks.positive_int(every, "every")
        for name, function in hooks.items():
            checks.one_of(name, "hook", HOOKS, TypeError)
            if not callable(function):
                raise TypeError(f"{name} must be a function, got {function!r}")
            setattr(self, name, function)


class TerminateOnNaN(Callback):
    """Ends a fit without an error when a loss or an update is not finite; the parameters are the last finite ones.

    Without it the fit raises a DivergenceError. The unfinished epoch is not in the history.

    Attributes
    ----------
    error : DivergenceError or None
        The error that ended the last fit, if any.

    See Also
    --------
    EarlyStopping : Ends a fit that no longer improves.
    DivergenceError : What a fit raises otherwise.

    Examples
    --------
    >>> from fastbp import SGD, Dense, Input, Sequential
    >>> net, calm = Sequential(Input(1), Dense(1), seed=0), TerminateOnNaN()
    >>> history = net.fit([[1e3]], [1.0], optimizer=SGD(lr=1e30), epochs=99, callbacks=[calm])
    >>> calm.error is not None, len(history.epoch) < 99
    (True, True)
    """

    error: DivergenceError | None = None

    def on_train_begin(self, trainer, history):
        self.error = None

    def on_divergence(self, trainer, error):
        self.error = error
        return True


class Callbacks:
    """The callbacks of one fit, called in order with its trainer; late callbacks come after the others."""

    def __init__(self, trainer: "Trainer", callbacks: Callback | Sequence[Callback]):
        self._trainer = trainer
        self._callbacks = sorted(checks.instances(callbacks, Callback, "callbacks"), key=lambda each: each.late)
        self._by_batch = [each for each in self._callbacks if each.every and _overrides(each, "on_batch_end")]
        self._stride = math.gcd(*(callback.every for callback in self._by_batch))
        self.batches = 0
        self.stopped = False

    def until_next(self, left: int) -> int:
        """How many of the remaining batches of an epoch to run before the next call of a callback."""
        return min(left, self._stride - self.batches % self._stride) if self._stride else left

    def batches_done(self, count: int, last: int, loss: float) -> None:
        """Count `count` more batches; call `on_batch_end` of the callbacks that are due."""
        self.batches += count
        if self._by_batch:
            due = [callback for callback in self._by_batch if self.batches % callback.every == 0]
            self.call("on_batch_end", last, {"loss": float(loss)}, callbacks=due)

    def call(self, hook: str, *args: Any, callbacks: Sequence[Callback] | None = None) -> bool:
        """Call a hook of the callbacks with the trainer and `args`; return whether one returned True (stop the fit)."""
        said = False
        for callback in self._callbacks if callbacks is None else callbacks:
            answer = getattr(callback, hook)(self._trainer, *args)
            said |= isinstance(answer, (bool, np.bool_)) and bool(answer)
            self.stopped |= said
        return said

    def state(self) -> tuple[list, dict[str, np.ndarray]]:
        """The states of all callbacks: JSON-serializable ones with their classes, and arrays by name."""
        states, arrays = [], {}
        for k, callback in enumerate(self._callbacks):
            state = callback.state()
            found = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
            arrays.update({f"callbacks.{k}.{name}": value for name, value in found.items()})
            rest = {name: value for name, value in state.items() if name not in found}
            states.append([type(callback).__name__, rest])
        return states, arrays

    def restore(self, states: list, arrays: dict[str, np.ndarray]) -> None:
        """Restore each callback from the state of a callback of its class; a new callback starts afresh."""
        left = list(enumerate(states))
        for callback in self._callbacks:
            match = next((entry for entry in left if entry[1][0] == type(callback).__name__), None)
            if match is not None:
                left.remove(match)
                k, (_, state) = match
                prefix = f"callbacks.{k}."
                own = {name.removeprefix(prefix): A for name, A in arrays.items() if name.startswith(prefix)}
                if {**state, **own}:
                    _restore(callback, {**state, **own})


def _restore(callback, state):
    try:
        callback.restore(state)
    except DAMAGE as error:
        name = type(callback).__name__
        raise ModelFormatError(f"no state of {name} in the checkpoint: {type(error).__name__}: {error}") from error


def _overrides(callback, hook):
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)
