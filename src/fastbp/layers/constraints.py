"""Constraints: what holds for the weights of a layer after each update.

A row of the engine's table with a class that carries its number. Regularisation by a penalty belongs to the
optimizers; a constraint is exact.
"""

from typing import Any, ClassVar

from fastbp._configured import Registered, Registry, called
from fastbp.inputs import checks


class Constraint(Registered):
    """Base of the constraints; `kind` names the engine's row."""

    classes = Registry("constraint", "kind")
    kind: ClassVar[str]
    limit: float = 0.0

    @classmethod
    def label(cls) -> str:
        """The name of the engine's row."""
        return cls.kind

    def arguments(self) -> dict[str, Any]:
        """The numbers that it has."""
        return {}

    def __eq__(self, other):
        return type(self) is type(other) and self.arguments() == other.arguments()

    def __hash__(self):
        return hash((self.kind, self.limit))

    def __repr__(self):
        return called(type(self).__name__, self.arguments())


class NonNegative(Constraint):
    """Weights below 0 become 0.

    Examples
    --------
    >>> NonNegative()
    NonNegative()
    """

    kind = "non_negative"


class MaxNorm(Constraint):
    """The weights that lead to one output have a Euclidean norm of at most `limit`. Srivastava et al. 2014.

    Parameters
    ----------
    limit : float

    Examples
    --------
    >>> MaxNorm(2.0)
    MaxNorm(limit=2.0)
    """

    kind = "max_norm"

    def __init__(self, limit: float = 3.0):
        self.limit = checks.in_range(limit, "limit", 0.0)

    def arguments(self):
        return {"limit": self.limit}
