"""Trainers: a population of networks of one size, one training step of all in a call, their parameters in one block.

The parameters move into rows of one array, so that an evolution strategy works on them in place. Rejected: products
over all networks at once; a network of some kB is in the cache, and its own kernels know its width. Smaller ones that
are alike go side by side through the engine's `Lanes`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from itertools import pairwise
from typing import Any

import numpy as np

from fastbp import _engine
from fastbp._typing import ArrayLike, LossLike
from fastbp.errors import DivergenceError
from fastbp.inputs import checks
from fastbp.network.growing import move_parameters
from fastbp.network.network import Network
from fastbp.threads import get_num_threads
from fastbp.training.trainer import Trainer

LINE = 64  # bytes to which the engine wants its vectors aligned


class Trainers:
    """A population: networks of the same inputs, outputs, dtype and number of parameters, trained step by step.

    Small chains of `Dense` layers of the same widths (up to 4 kB of parameters, 64 rows) with one loss and one kind of
    optimizer are trained together, one in each lane of a SIMD vector, up to three times as fast and with the same bits.

    Parameters
    ----------
    nets : list of Model
        The networks, with one input and one output each. Their parameters move into `params`: views of them that were
        taken before, and trainers made before, are void.
    loss : str or Loss, or a list with one for each net, default="mse"
        As for `Trainer`.
    optimizer : str or Optimizer, or a list with one for each net, default="adam"
        As for `Trainer`; each network gets a copy.
    threads : int, optional
        Number of threads among which the networks are shared; 1 if not given, since a step is short.

    Attributes
    ----------
    params : ndarray of shape (nets, parameters)
        All parameters, live: what is written there is what the networks have.
    trainers : tuple of Trainer
        One for each network.

    Raises
    ------
    ValueError
        If the networks are not different ones of one shape, or a list has another length.

    See Also
    --------
    fit_many : Whole fits, side by side.
    Trainer : One network.
    Ensemble : The networks as one.

    Examples
    --------
    >>> import fastbp as fb
    >>> nets = [fb.Sequential(fb.Input(4), fb.Dense(8, "tanh"), fb.Dense(2), seed=seed) for seed in range(5)]
    >>> many = Trainers(nets, "mse", fb.Adam(1e-2))
    >>> X, y = np.ones((3, 4)), np.zeros((3, 2))
    >>> losses = many.step(X, y)
    >>> losses.shape, bool((many.step(X, y) < losses).all()), many.predict(X).shape, many.params.shape
    ((5,), True, (5, 3, 2), (5, 58))
    """

    def __init__(
        self,
        nets: Sequence[Network],
        loss: LossLike | list[Any] = "mse",
        optimizer: Any = "adam",
        *,
        threads: int | None = None,
    ):
        self.nets = checks.instances(list(nets), Network, "nets")
        if not self.nets or len({id(net) for net in self.nets}) < len(self.nets):
            raise ValueError("nets must be one or more different networks")
        count, first = len(self.nets), _size(self.nets[0])
        for k, net in enumerate(self.nets):
            if len(net.inputs) != 1 or len(net.outputs) != 1 or _size(net) != first:
                raise ValueError(f"the nets of Trainers have one input, one output and one size; nets[{k}] is {net!r}")
            if net._owner is not None:
                raise ValueError(f"nets[{k}] has layers of another model, whose parameters cannot move: pass a copy")
        given = []
        for name, value in (("loss", loss), ("optimizer", optimizer)):
            if isinstance(value, list) and len(value) != count:
                raise ValueError(f"{name} must be one for all or {count} for so many nets, got {len(value)}")
            given.append(value if isinstance(value, list) else [value] * count)
        parts = list(zip(self.nets, *given, strict=True))
        for net, one, other in parts:  # what is wrong raises before a parameter has moved
            Trainer(net, one, deepcopy(other))
        self.params, grads = (_block(count, first[-1], self.nets[0].dtype) for _ in range(2))
        for k, net in enumerate(self.nets):
            move_parameters(net, self.params[k], grads[k])
        self.trainers = tuple(Trainer(net, one, deepcopy(other)) for net, one, other in parts)
        self._paths = [trainer._fast_path for trainer in self.trainers]
        self._checkers = self.trainers if isinstance(loss, list) else self.trainers[:1]  # of targets
        workers = min(checks.as_threads(threads) or 1, count, get_num_threads())
        self._pool = ThreadPoolExecutor(workers, "fastbp") if workers > 1 else None
        lanes = _engine.lanes_of(self._paths)
        self._shares = list(_shares(count, workers, lanes.lanes if lanes else 1))
        paths = [self._paths[share.start : share.stop] for share in self._shares]
        each = [lanes] if len(paths) == 1 else [_engine.lanes_of(part) for part in paths]
        self._lanes = each if lanes else [None] * len(self._shares)

    def step(self, X: ArrayLike, y: ArrayLike) -> np.ndarray:
        """One training step of each network.

        Parameters
        ----------
        X : array of shape (rows, inputs) for all networks, or (nets, rows, inputs)
            The inputs.
        y : array of targets
            Those of all networks; or, if X has one dimension more, with the networks in front as well.

        Returns
        -------
        ndarray of shape (nets,), float64
            The losses before the step.

        Raises
        ------
        DivergenceError
            If a loss or an update is not finite; the other networks have done their step.
        """
        X, y = self._checked(np.asarray(X), np.asarray(y))
        apart = X.ndim == 3
        losses = np.empty(len(self.nets))
        errors: list[tuple[int, DivergenceError]] = []

        def steps(share: range, lanes: _engine.Lanes | None) -> None:
            part = slice(share.start, share.stop)
            rates = [trainer.optimizer.next_rate(trainer.chain.t) for trainer in self.trainers[part]]
            left: Sequence[int] = share
            if lanes is not None:
                losses[part] = rates
                others = lanes.step(X[part] if apart else X, y[part] if apart else y, losses[part])
                left = [share[j] for j, done in others if done is None]
                failed = [(share[j], self.trainers[share[j]].diverged(*done)) for j, done in others if done is not None]
                errors.extend(failed)
            if not left:
                return
            xs, ts = ([A[k] if apart else A for k in left] for A in (X, y))
            these = np.empty(len(left))
            paths, rates = [self._paths[k] for k in left], [rates[k - share.start] for k in left]
            undone = _engine.step_each(paths, xs, ts, rates, these, 1)
            losses[left] = these
            for j, done in undone:
                k = left[j]
                try:
                    if done is not None:
                        raise self.trainers[k].diverged(*done)
                    losses[k] = self.trainers[k].step(xs[j], ts[j], threads=1)  # what the engine does not take
                except DivergenceError as error:
                    errors.append((k, error))

        ways = (map if self._pool is None else self._pool.map)(steps, self._shares, self._lanes)
        for _ in ways:
            pass
        if errors:
            k, error = min(errors, key=lambda each: each[0])
            error.add_note(f"it was nets[{k}] of {len(errors)} that diverged")
            raise error
        return losses

    def _checked(self, X, y):
        """X and y as arrays; of one loss, as the engine reads them."""
        count, net, first = len(self.nets), self.nets[0], self.trainers[0]
        if X.ndim != 3:
            x = net.as_inputs(X)[0]
            ts = [trainer.objective.targets(y, len(x))[0] for trainer in self._checkers]
            return x, ts[0] if len(ts) == 1 else y
        _of_each(X, count, "X")
        _of_each(y, count, "y")
        rows = X.shape[1]
        x = net.as_inputs(X.reshape(count * rows, -1))[0].reshape(count, rows, -1)
        if len(self._checkers) == 1 and y.shape[:2] == (count, rows):
            t = first.objective.targets(y.reshape(count * rows, *y.shape[2:]), count * rows)[0]
            return x, t.reshape(count, rows, *t.shape[1:])
        for trainer, t in zip(self.trainers, y, strict=True):
            trainer.objective.targets(t, rows)
        return x, y

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The outputs of all networks.

        Parameters
        ----------
        X : array of shape (rows, inputs) for all networks, or (nets, rows, inputs)
            The inputs.

        Returns
        -------
        ndarray of shape (nets, rows, outputs)
            The networks' outputs, in the order of the networks.

        Raises
        ------
        ValueError
            If X is a list of another length.
        """
        X = np.asarray(X)
        if X.ndim == 3:
            _of_each(X, len(self.nets), "X")
        xs = X if X.ndim == 3 else [X] * len(self.nets)
        return np.stack([net.predict(x, threads=1) for net, x in zip(self.nets, xs, strict=True)])

    def __len__(self) -> int:
        return len(self.nets)

    def __repr__(self):
        return f"<Trainers of {len(self.nets)} nets>"


def _size(net):
    return net.dtype.name, net.inputs[0].width, net.outputs[0].width, net.params.size


def _block(count, size, dtype):
    """An array (count, size) whose rows begin at cache lines."""
    stride = -(-size * dtype.itemsize // LINE) * LINE
    memory = np.zeros(count * stride + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    rows = memory[start : start + count * stride].view(dtype).reshape(count, stride // dtype.itemsize)
    return rows[:, :size]


def _shares(count, workers, unit):
    """The networks of each worker, `unit` of them at a time."""
    ends = np.linspace(0, -(-count // unit), workers + 1).astype(int) * unit
    return (range(a, min(b, count)) for a, b in pairwise(ends.tolist()) if a < b)


def _of_each(A, count, name):
    if A.ndim == 0 or len(A) != count:
        raise ValueError(f"{name} must have {count} entries for so many nets, got {len(A) if A.ndim else A}")
