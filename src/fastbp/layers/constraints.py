"""Constraints: conditions that the weights of a layer satisfy after each update.

Each class names an entry of the engine's table and holds its number. Regularization by a penalty is a setting of the
optimizers; a constraint holds exactly.
"""

from typing import Any, ClassVar

from fastbp._configured import Registered, Registry, called
from fastbp.inputs import checks


class Constraint(Registered):
    """Base of the constraints; `kind` names the entry of the engine's table."""

    classes = Registry("constraint", "kind", synonyms={"non_neg": "non_negative"})  # Keras's name
    kind: ClassVar[str]
    limit: float = 0.0

    @classmethod
    def label(cls) -> str:
        """The name of the entry of the engine's table."""
        return cls.kind

    def arguments(self) -> dict[str, Any]:
        """The numbers of the constraint."""
        return {}

    def __eq__(self, other):
        return type(self) is type(other) and self.arguments() == other.arguments()

    def __hash__(self):
        return hash((self.kind, self.limit))

    def __repr__(self):
        return called(type(self).__name__, self.arguments())


class NonNegative(Constraint):
    """Sets weights below 0 to 0 after each update.

    See Also
    --------
    MaxNorm : No norm above a limit.

    Examples
    --------
    >>> NonNegative()
    NonNegative()
    """

    kind = "non_negative"


class MaxNorm(Constraint):
    """Limits the Euclidean norm of the weights of each output to `limit`. Srivastava et al. 2014.

    Parameters
    ----------
    limit : float, default=3.0
        The largest norm allowed; weights of a larger one are scaled down.

    See Also
    --------
    NonNegative : No weight below 0.

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
