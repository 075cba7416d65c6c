"""Online learning: one sample at a time, from dicts of features and labels that may be new.

Features and labels are assigned to columns of the input and classes of the output in the order in which they appear;
the network grows when none are left. Growing means replacing it by a new network that contains the old parameters,
since a graph is immutable. The input grows by at least an eighth, so that a thousand new features do not create a
thousand networks; classes grow one by one, since an unseen class would get a share of the softmax.
"""

import math
from collections.abc import Callable, Hashable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from fastbp._engine import Chain, DictRow
from fastbp.inputs import checks
from fastbp.losses.loss import Loss
from fastbp.network.growing import copy_states, grown
from fastbp.network.network import Network

NOTHING: Mapping = MappingProxyType({})
SLACK = 8  # an input grows by at least its width over this


class Online:
    """The features and labels of a trainer, and the conversion of dicts to rows."""

    def __init__(self, trainer: Any, columns: Mapping = NOTHING, labels: Mapping = NOTHING):
        net, loss = trainer.net, trainer.objective.losses[0]
        if len(net.inputs) != 1 or len(net.outputs) != 1:
            raise ValueError(f"learn_one wants a net of one input and one output, got {net!r}")
        if not isinstance(loss, Loss):
            raise ValueError(f"learn_one wants a loss of fastbp's own, got {loss!r}")
        self.trainer = trainer
        self.columns: dict[Hashable, int] = dict(columns)
        self.labels: dict[Hashable, int] | None = dict(labels) if loss.row.labels else None
        self.binary = loss.takes_shares and not loss.row.labels
        self._attach()

    def _attach(self):
        net = self.trainer.net
        self._width, self._units = net.inputs[0].width, net.outputs[0].width
        self._plain = self._units == 1 or self.labels is not None
        target = np.zeros((1, self._units), net.dtype) if self.labels is None else np.zeros(1, np.int64)
        self._row = DictRow(self.columns, self.labels, np.zeros((1, self._width), net.dtype), target)

    def learn(self, x: Any, y: Any) -> None:
        """Train on one sample."""
        try:
            known = self._plain and self._row.take(x, y)
        except (TypeError, ValueError, OverflowError):
            known = False  # what is wrong is said below
        if not known:
            x, y = _checked(x), self._checked_target(y)
            self._make_room([feature for feature in x if feature not in self.columns], y)
            self._row.fill(x)
            self._row.target[...] = y if self.labels is None else self.labels[y]
        try:
            self.trainer.step(self._row.row, self._row.target, threads=1)
        except ValueError:  # names a row and a column, where a feature has a name
            _checked(x)
            self._checked_target(y)
            raise

    def predict(self, x: Any) -> np.ndarray:
        """The outputs for one sample, of shape (outputs,); unknown features are ignored."""
        x = x if type(x) is dict else _checked(x)
        try:
            self._row.fill(x)
        except (TypeError, ValueError, OverflowError):
            _checked(x)
            raise
        Y = self.trainer.net.predict(self._row.row, threads=1)
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

    def _checked_target(self, y):
        if self.labels is not None:
            if not isinstance(y, Hashable) or y is None or y != y:
                raise TypeError(f"y must be a label, got {y!r}")
            return y
        if self._units > 1:
            return checks.as_shaped(y, (self._units,), self.trainer.net.dtype, "y")
        return _number(y, "y")

    def _make_room(self, features, y):
        """Assign columns and a class to what is new, growing the network if none are left."""
        label = [] if self.labels is None or y in self.labels else [y]
        inputs = len(self.columns) + len(features) - self._width
        units = 0 if self.labels is None else len(self.labels) + len(label) - self._units
        if inputs > 0 or units > 0:
            wider = self._width + max(inputs, self._width // SLACK) if inputs > 0 else self._width
            self.trainer.move_to(grown(self.trainer.net, wider, self._units + max(units, 0)))
        self.columns.update({feature: len(self.columns) + k for k, feature in enumerate(features)})
        if label:
            self.labels[y] = len(self.labels)
        if inputs > 0 or units > 0:
            self._attach()


class OneByOne:
    """Methods of a trainer for one sample at a time, with the names of River."""

    net: Network
    chain: Chain
    _take: Callable[[Network], None]
    _online: Online | None = None

    @property
    def _one(self):
        if self._online is None:
            self._online = Online(self)
        return self._online

    def learn_one(self, x: Mapping[Any, Any], y: Any) -> None:
        """Train on one sample, a dict of features as in River.

        Features are assigned to columns of X, and labels to classes, in the order in which they appear. When none are
        left, the network grows: `net` is replaced by a larger network with the same parameters, new weights from their
        initializer, and optimizer state 0 for these; outputs for samples without new features do not change.
        Missing features are 0. This method is not thread-safe.

        Parameters
        ----------
        x : dict from feature to number
            The features of the sample.
        y : label, bool or number
            Any hashable label for a classification loss, a bool or 0 and 1 for `binary_cross_entropy`, else a number;
            an array of them for several outputs.

        Raises
        ------
        DivergenceError
            If the loss or the update is not finite.

        Examples
        --------
        >>> from fastbp import Dense, Input, Sequential, Trainer
        >>> trainer = Trainer(Sequential(Input(1), Dense(1), seed=0), "cross_entropy", "sgd")
        >>> for word, label in [("rain", "wet"), ("sun", "dry")] * 50:
        ...     trainer.learn_one({word: 1.0}, label)
        >>> trainer.predict_one({"rain": 1.0}), trainer.net["dense_1"].W.shape
        ('wet', (2, 2))
        """
        online = self._online
        (self._one if online is None else online).learn(x, y)

    def predict_one(self, x: Mapping[Any, Any]) -> Any:
        """Predict one sample: the most likely label (None before the first), a bool, a number, or an array of them.

        Parameters
        ----------
        x : dict from feature to number
            The features of the sample; those that `learn_one` has not seen are ignored.

        Returns
        -------
        label, bool, float or ndarray of shape (outputs,)
        """
        return self._one.value(x)

    def predict_proba_one(self, x: Mapping[Any, Any]) -> dict[Any, float]:
        """The probability of each label seen so far; of False and True for one logit.

        Parameters
        ----------
        x : dict from feature to number
            The features of the sample; those that `learn_one` has not seen are ignored.

        Returns
        -------
        dict from label to float
        """
        return self._one.shares(x)

    def move_to(self, net: Network) -> None:
        """Replace the network by a larger one, keeping the state of the optimizer."""
        old, chain = self.net, self.chain
        self._take(net)
        copy_states(old, chain.states, net, self.chain.states)
        self.chain.t = chain.t

    def online_state(self) -> dict | None:
        """Features and labels in their order, JSON-serializable; None before the first sample."""
        if self._online is None:
            return None
        names = {"features": list(self._online.columns), "labels": list(self._online.labels or ())}
        for name in [*names["features"], *names["labels"]]:
            if not isinstance(name, (str, int, float)):
                raise TypeError(f"a file holds features and labels that are strings or numbers, got {name!r}")
        return names

    def restore_online(self, state: dict | None) -> None:
        """Restore the features and labels of a file."""
        online = None
        if state is not None:
            room = {"features": self.net.inputs[0].width, "labels": self.net.outputs[0].width}
            online = Online(self, *(_numbered(state[what], what, most) for what, most in room.items()))
        self._online = online


def _numbered(names, what, most):
    """The index of each name; raises if there are more than fit."""
    checks.distinct(names, f"one of the {what}")
    if len(names) > most:
        raise ValueError(f"{len(names)} {what} do not fit a net with room for {most}")
    return {name: k for k, name in enumerate(names)}


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
