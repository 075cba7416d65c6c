"""Online learning: one sample at a time, from dicts of features and labels that may be new.

Features and labels are assigned to columns of the input and classes of the output in the order in which they appear;
the network grows when no column or class is left. Growing means replacing it by a new network that contains the old
parameters, since a graph is immutable. The input grows by at least an eighth, so that a thousand new features do not
create a thousand networks; classes grow one by one, since an unseen class would get a share of the softmax.
"""

import math
from collections.abc import Callable, Hashable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from fastbp._engine import DictRow
from fastbp.inputs import checks
from fastbp.losses.loss import Loss
from fastbp.network.growing import copy_states, grown
from fastbp.network.network import Network
from fastbp.training.steps import Steps

NOTHING: Mapping = MappingProxyType({})
SLACK = 8  # an input grows by at least its width divided by this


class Online:
    """A network's features and labels, and the conversion of a dict to its input.

    `step` trains the network on a batch; `move_to` makes a trainer continue with the network after it has grown.
    """

    def __init__(
        self,
        net: Network,
        loss: Any,
        step: Callable[..., float],
        move_to: Callable[..., None],
        columns: Mapping = NOTHING,
        labels: Mapping = NOTHING,
    ):
        if len(net.inputs) != 1 or len(net.outputs) != 1:
            raise ValueError(f"learn_one wants a net of one input and one output, got {net!r}")
        if not isinstance(loss, Loss):
            raise ValueError(f"learn_one wants a loss of fastbp's own, got {loss!r}")
        self._net, self._step, self._move_to = net, step, move_to
        self.columns: dict[Hashable, int] = dict(columns)
        self.labels: dict[Hashable, int] | None = dict(labels) if loss.row.labels else None
        self.binary = loss.takes_shares and not loss.row.labels
        self._attach()

    def _attach(self):
        net = self._net
        self._width, self._units = net.inputs[0].width, net.outputs[0].width
        self._plain = self._units == 1 or self.labels is not None
        target = np.zeros((1, self._units), net.dtype) if self.labels is None else np.zeros(1, np.int64)
        self._row = DictRow(self.columns, self.labels, np.zeros((1, self._width), net.dtype), target)

    def learn(self, x: Any, y: Any) -> None:
        """Train on one sample."""
        try:
            known = self._plain and self._row.take(x, y)
        except (TypeError, ValueError, OverflowError):
            known = False  # the checks below raise the error
        net, features, labels = self._net, [], []
        if not known:
            x, y = _checked(x), self._checked_target(y)
            self._refuse_beyond(x, y)
            features = [feature for feature in x if feature not in self.columns]
            labels = [] if self.labels is None or y in self.labels else [y]
            self._make_room(features, labels)
            self._row.fill(x)
            self._row.target[...] = y if self.labels is None else self.labels[y]
        try:
            self._step(self._row.row, self._row.target, threads=1)
        except ValueError:  # the message names a row and a column; here the feature has a name
            self._go_back(net, features, labels)
            _checked(x)
            self._checked_target(y)
            raise
        except BaseException:
            self._go_back(net, features, labels)
            raise

    def predict(self, x: Any) -> np.ndarray:
        """The outputs for one sample, of shape (outputs,); unknown features are ignored."""
        x = x if type(x) is dict else _checked(x)
        try:
            self._row.fill(x)
        except (TypeError, ValueError, OverflowError):
            _checked(x)
            raise
        Y = self._net.predict(self._row.row, threads=1)
        return Y[0]

    def value(self, x: Any) -> Any:
        """The result of `predict_one`: a number or numbers, the most likely label, or a bool."""
        Y = self.predict(x)
        if self.labels:
            seen = list(self.labels)
            return seen[int(Y[: len(seen)].argmax())]
        if self.labels is not None:
            return None
        if self.binary:
            return bool(Y[0] > 0) if self._units == 1 else Y > 0
        return float(Y[0]) if self._units == 1 else Y

    def shares(self, x: Any) -> dict[Any, float]:
        """The probability of each label seen so far."""
        Y = self.predict(x).astype(np.float64)
        if self.binary and self._units == 1:
            share = 1 / (1 + math.exp(-Y[0])) if Y[0] > -700 else 0.0
            return {False: 1 - share, True: share}
        if self.labels is None:
            raise ValueError("predict_proba_one wants a loss of classes, such as cross_entropy")
        weights = np.exp(Y[: len(self.labels)] - Y[: len(self.labels)].max(initial=-np.inf))
        return dict(zip(self.labels, (weights / weights.sum()).tolist(), strict=True))

    def names(self) -> dict[str, list]:
        """Features and labels in order, for JSON."""
        names = {"features": list(self.columns), "labels": list(self.labels or ())}
        for name in [*names["features"], *names["labels"]]:
            if not isinstance(name, (str, int, float)):
                raise TypeError(f"a file holds features and labels that are strings or numbers, got {name!r}")
        return names

    def _checked_target(self, y):
        if self.labels is not None:
            if not isinstance(y, Hashable) or y is None or y != y:
                raise TypeError(f"y must be a label, got {y!r}")
            return y
        if self._units > 1:
            return checks.as_shaped(y, (self._units,), self._net.dtype, "y")
        return _number(y, "y")

    def _refuse_beyond(self, x, y):
        """Raise for numbers that the network's dtype cannot hold, before anything has changed."""
        most = float(np.finfo(self._net.dtype).max)
        numbers = {f"feature {feature!r}": value for feature, value in x.items()}
        for name, value in (numbers | ({"y": y} if self.labels is None and self._units == 1 else {})).items():
            if abs(value) > most:
                raise ValueError(f"{name} must be finite as {self._net.dtype}, got {value:g}")

    def _make_room(self, features, labels):
        """Assign columns and classes to new features and labels; the network grows if no column or class is left."""
        inputs = len(self.columns) + len(features) - self._width
        units = 0 if self.labels is None else len(self.labels) + len(labels) - self._units
        if inputs > 0 or units > 0:
            wider = self._width + max(inputs, self._width // SLACK) if inputs > 0 else self._width
            self._net = grown(self._net, wider, self._units + max(units, 0))
            self._move_to(self._net)
        self.columns.update({feature: len(self.columns) + k for k, feature in enumerate(features)})
        for label in labels:
            self.labels[label] = len(self.labels)
        if inputs > 0 or units > 0:
            self._attach()

    def _go_back(self, net, features, labels):
        """Undo `_make_room` after a step that failed: restore the smaller network."""
        for feature in features:
            del self.columns[feature]
        for label in labels:
            del self.labels[label]
        if net is not self._net:
            self._net = net
            self._move_to(net, back=True)
            self._attach()


def move_to(trainer: Steps, net: Network, back: bool = False) -> None:
    """Make a trainer continue with the network that its network has grown into, or go `back`; its state stays."""
    old, chain = trainer.net, trainer.chain
    trainer._take(net)
    if not back:
        copy_states(old, chain.states, net, trainer.chain.states)
        trainer.chain.t = chain.t


def numbered(names: Mapping, net: Network) -> list[dict[Hashable, int]]:
    """Features and labels with their positions in the lists of `Online.names`, for a network that is wide enough."""
    places = []
    for what, most in (("features", net.inputs[0].width), ("labels", net.outputs[0].width)):
        checks.distinct(names[what], f"one of the {what}")
        if len(names[what]) > most:
            raise ValueError(f"{len(names[what])} {what} do not fit a net with room for {most}")
        places.append({name: k for k, name in enumerate(names[what])})
    return places


def _checked(x):
    """The features as a dict of finite numbers."""
    if not isinstance(x, Mapping):
        raise TypeError(f"x must be a dict from feature to number, got {type(x).__name__}")
    return {feature: _number(value, f"feature {feature!r}") for feature, value in x.items()}


def _number(value, name):
    try:
        number = float(value) if not isinstance(value, (str, bytes)) else None
    except (TypeError, ValueError):
        number = None
    if number is None:
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number
