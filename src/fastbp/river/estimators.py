"""Classifier and Regressor: `Trainer.learn_one` with the interface of River.

A model starts with room for one feature and one class and grows with what it sees, as River's models do; so neither
features nor classes are named before the first sample.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from fastbp._optional import package
from fastbp.inputs import checks
from fastbp.layers.dense import Dense
from fastbp.layers.node import Input
from fastbp.model import Sequential
from fastbp.optimizers.optimizer import Optimizer
from fastbp.training.trainer import Trainer

WHO = "fastbp.river"
base = package("river.base", WHO)
BaseClassifier: Any = base.Classifier
BaseRegressor: Any = base.Regressor


class _Network:
    """What both models share: a trainer, which is created on first use and is not one of the parameters."""

    _loss: str
    _made: Trainer | None

    def __init__(
        self,
        hidden: Sequence[int] = (32,),
        activation: str = "relu",
        optimizer: str | Optimizer = "adam",
        seed: int | None = None,
    ):
        self.hidden, self.activation, self.optimizer, self.seed = hidden, activation, optimizer, seed
        self._made = None

    @property
    def _trainer(self) -> Trainer:
        if self._made is None:
            widths = [checks.positive_int(width, "hidden") for width in self.hidden]
            layers = [Dense(width, self.activation) for width in widths]
            net = Sequential(Input(1), *layers, Dense(1), dtype="float64", seed=self.seed)
            self._made = Trainer(net, self._loss, copy.deepcopy(self.optimizer))  # each model has its own state
        return self._made

    def learn_one(self, x: Mapping[Any, Any], y: Any) -> None:
        """Train on one sample.

        Parameters
        ----------
        x : dict from feature to number
            The sample; a feature that it does not have is 0.
        y : label or float
            Its class or target.
        """
        online = self._trainer.online
        if online is None or not x.keys() <= online.columns.keys():
            x = dict(sorted(x.items(), key=lambda item: str(item[0])))  # new features by name, whatever their order
        self._trainer.learn_one(x, y)

    @classmethod
    def _unit_test_params(cls):
        yield {"hidden": (8,), "seed": 1}


class Classifier(_Network, BaseClassifier):
    """A network that learns classes sample by sample.

    Parameters
    ----------
    hidden : sequence of int, default=(32,)
        Number of units of each hidden layer; [] for a linear model, since River cannot clone ().
    activation : str, default="relu"
        Activation of the hidden layers.
    optimizer : str or Optimizer, default="adam"
        A name, or an optimizer whose settings are taken.
    seed : int, optional
        Seed of the initial weights; random if not given.

    See Also
    --------
    Regressor : For numbers.

    Examples
    --------
    >>> from fastbp.river import Classifier
    >>> model = Classifier(hidden=(4,), seed=0)
    >>> for _ in range(200):
    ...     model.learn_one({"rain": 1.0}, "wet")
    ...     model.learn_one({"sun": 1.0}, "dry")
    >>> model.predict_one({"rain": 1.0})
    'wet'
    """

    _loss = "cross_entropy"

    @property
    def _multiclass(self):
        return True

    def predict_proba_one(self, x: Mapping[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """The probability of each class seen so far.

        Parameters
        ----------
        x : dict from feature to number
            The sample.
        **kwargs : object
            Ignored; River's pipelines pass them.

        Returns
        -------
        dict from label to float
            The probabilities by label.
        """
        return self._trainer.predict_proba_one(x)


class Regressor(_Network, BaseRegressor):
    """A network that learns numbers sample by sample.

    Parameters
    ----------
    hidden : sequence of int, default=(32,)
        Number of units of each hidden layer; [] for a linear model, since River cannot clone ().
    activation : str, default="relu"
        Activation of the hidden layers.
    optimizer : str or Optimizer, default="adam"
        A name, or an optimizer whose settings are taken.
    seed : int, optional
        Seed of the initial weights; random if not given.

    See Also
    --------
    Classifier : For classes.

    Examples
    --------
    >>> from fastbp.river import Regressor
    >>> model = Regressor(hidden=[], optimizer="sgd", seed=0)
    >>> for k in range(1000):
    ...     model.learn_one({"a": k % 3}, 2.0 * (k % 3))
    >>> round(model.predict_one({"a": 1}), 2)
    2.0
    """

    _loss = "mse"

    def predict_one(self, x: Mapping[Any, Any]) -> float:
        """The output for one sample.

        Parameters
        ----------
        x : dict from feature to number
            The sample.

        Returns
        -------
        float
            The prediction.
        """
        return float(self._trainer.predict_one(x))
