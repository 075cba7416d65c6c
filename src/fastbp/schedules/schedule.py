"""Schedule: the base class of the learning rate schedules."""

from typing import Any, ClassVar

import numpy as np

from fastbp._configured import Registered, Registry, called
from fastbp.inputs import checks

PER = ("step", "epoch")
# Names of the same shapes in PyTorch and Keras; settings have their names here, which are PyTorch's.
SYNONYMS = {
    "LinearLR": "linear",
    "StepLR": "step",
    "MultiStepLR": "multistep",
    "ExponentialLR": "exponential",
    "PolynomialLR": "polynomial",
    "CosineAnnealingLR": "cosine",
    "CosineAnnealing": "cosine",
    "CosineAnnealingWarmRestarts": "cosinerestarts",
    "OneCycleLR": "onecycle",
    "LambdaLR": "function",
    "ReduceLROnPlateau": "onplateau",
    "reduce_on_plateau": "onplateau",
    "ExponentialDecay": "exponential",
    "PolynomialDecay": "polynomial",
    "CosineDecay": "cosine",
    "CosineDecayRestarts": "cosinerestarts",
    "PiecewiseConstantDecay": "piecewise",
}


class Schedule(Registered):
    """Base of the schedules: a subclass names its settings and has `at`, a formula over an array of counts.

    Parameters
    ----------
    per : {"step", "epoch"}
        What is counted, from 0: steps of the optimizer, or epochs of `fit`.
    **settings
        The settings of the subclass, by name.

    See Also
    --------
    Function : From a function, without a class.

    Examples
    --------
    >>> from fastbp import Adam, schedules
    >>> Adam(lr=schedules.Cosine(0.1, T_max=100)).lr
    0.1
    """

    classes = Registry("schedule", "schedule", synonyms=SYNONYMS)
    by_count: ClassVar[bool] = True  # whether the count alone determines the rate, which is then computed once

    def __init__(self, per: str, **settings: object):
        self.per = checks.one_of(per, "per", PER)
        self.settings: dict[str, Any] = settings

    def at(self, t: np.ndarray) -> np.ndarray:
        """The rates at counts t.

        Parameters
        ----------
        t : ndarray of shape (n,)
            Counts from 0.

        Returns
        -------
        ndarray of shape (n,)
            The rate at each.
        """
        raise NotImplementedError

    def __call__(self, t: int) -> float:
        """The rate at a count.

        Parameters
        ----------
        t : int
            A count from 0.

        Returns
        -------
        float
            The rate there.
        """
        return float(self.at(np.array([t]))[0])

    def arguments(self) -> dict[str, Any]:
        """What is counted, and the settings."""
        return {"per": self.per, **self.settings}

    def __repr__(self) -> str:
        settings = self.settings | ({} if self.per == "step" else {"per": self.per})
        return called(type(self).__name__, settings)


def rate(lr, name: str = "lr") -> float:
    """A learning rate, or a factor of one."""
    return checks.in_range(lr, name, 0.0)
