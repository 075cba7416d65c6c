"""The network behind an estimator: built from its `coefs_` and `intercepts_`, which become views of it.

The fitted attributes of an estimator are authoritative, as users of scikit-learn expect: they can be read, changed in
place, replaced and pickled. The network is rebuilt when they have been replaced. Rejected: pickling the network with
the estimator, which would duplicate the parameters.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastbp import _engine
from fastbp._engine import Source
from fastbp.activations import NAMES
from fastbp.functional import dense_forward
from fastbp.inputs import checks
from fastbp.layers.dense import Dense, Dropout
from fastbp.layers.layer import Layer
from fastbp.layers.node import Input
from fastbp.model import Sequential
from fastbp.training.trainer import Trainer


class Design(NamedTuple):
    """The structure of a network, without its parameters."""

    hidden: tuple[str, ...]  # the activation of each hidden layer
    output: str  # the activation of the output, ...
    inside: bool  # ... and whether it is part of the network
    dropout: tuple[float, ...]  # after each hidden layer
    seed: int  # seed of the dropout masks


class Runtime:
    """A network whose layers hold the values of `coefs` and `intercepts`.

    Attributes
    ----------
    net : Sequential
        Computes the outputs that the loss takes: logits, log-rates, values.
    coefs, intercepts : list of ndarray
        Live views of its parameters.
    trainer : Trainer or None
        The trainer of the last training, for the next call of `partial_fit`.
    """

    def __init__(self, design: Design, coefs: Sequence[np.ndarray], intercepts: Sequence[np.ndarray]):
        self.design = design
        dtype = np.result_type(*coefs, np.float32)
        layers: list[Layer] = []
        for k, W in enumerate(coefs):
            last = k == len(coefs) - 1
            activation = design.hidden[k] if not last else design.output if design.inside else "linear"
            layers.append(Dense(W.shape[1], named(activation), weights="zeros"))
            if not last and design.dropout[k]:
                layers.append(Dropout(design.dropout[k]))
        self.net = Sequential(Input(coefs[0].shape[0]), *layers, dtype=dtype, seed=design.seed)
        self.dense = [layer for layer in self.net.layers if isinstance(layer, Dense)]
        views = [layer.views or {} for layer in self.dense]
        self.coefs = [view["W"] for view in views]
        self.intercepts = [view["b"] for view in views]
        for own, given in zip(self.coefs + self.intercepts, [*coefs, *intercepts], strict=True):
            own[...] = given
        self.output = None if design.inside or named(design.output) == "linear" else named(design.output)
        self._predictions = self.net.programs if self.output is None else self.net.programs.ending_in(self.output)
        self.trainer: Trainer | None = None

    def holds(self, coefs: Sequence[np.ndarray], intercepts: Sequence[np.ndarray]) -> bool:
        """Whether these are its own views, which were not replaced by other arrays."""
        for mine, theirs in ((self.coefs, coefs), (self.intercepts, intercepts)):
            if len(mine) != len(theirs):
                return False
            for own, other in zip(mine, theirs, strict=True):
                if own is not other:
                    return False
        return True

    def quick_predict(self, X, threads: int | None) -> np.ndarray | None:
        """Predictions for X that needs no conversion; None if it needs one."""
        return self._predictions.quick_predict(X, threads)

    def predict(self, X: np.ndarray | Source, threads: int | None) -> np.ndarray:
        """Predictions for checked rows."""
        return self._predictions.predict((X,), threads)[0]

    def raw(self, X: np.ndarray | Source, threads: int | None) -> np.ndarray:
        """Outputs of the network for checked rows."""
        return self.net.programs.predict((X,), threads)[0]

    def link(self, Z: np.ndarray) -> np.ndarray:
        """Predictions from outputs of the network."""
        if self.output is None:
            return Z
        return np.exp(Z, out=Z) if self.output == "exp" else _engine.functional.activation_forward(Z, self.output, 0.0)

    def hidden(self, X: np.ndarray) -> np.ndarray:
        """The activations of the last hidden layer for checked rows."""
        for layer, W, b in zip(self.dense[:-1], self.coefs, self.intercepts, strict=False):
            X = dense_forward(X, W, b, layer.function)
        return X


def named(activation: str) -> str:
    """The name of an activation in the engine's table."""
    return NAMES[activation]


def as_activations(activation, layers: int) -> tuple[str, ...]:
    """The activation of each hidden layer, from one name for all or one for each."""
    names = [activation] * layers if isinstance(activation, str) else list(activation)
    if len(names) != layers:
        raise ValueError(f"activation has {len(names)} names for {layers} hidden layers")
    return tuple(checks.one_of(name, "activation", NAMES) for name in names)


def as_dropout(dropout, layers: int) -> tuple[float, ...]:
    """The dropout rate after each hidden layer, from one rate for all or one for each."""
    rates = [dropout] * layers if np.ndim(dropout) == 0 else list(dropout)
    if len(rates) != layers:
        raise ValueError(f"dropout has {len(rates)} rates for {layers} hidden layers")
    return tuple(checks.in_range(rate, "dropout", 0.0, 1.0) for rate in rates)
