"""Constraints: what holds for the weights of a layer after each update.

A row of the engine's table with a class that carries its number. Regularisation by a penalty belongs to the
optimizers; a constraint is exact.
"""

from typing import ClassVar

from fastbp.inputs import checks


class Constraint:
    """Base of the constraints; `kind` names the engine's row."""

    kind: ClassVar[str]
    limit: float = 0.0
    classes: ClassVar[dict[str, type["Constraint"]]] = {}

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        Constraint.classes[cls.kind] = cls

    def settings(self) -> dict:
        """Kind and arguments, as JSON has them."""
        return {"kind": self.kind}

    def __eq__(self, other):
        return type(self) is type(other) and self.settings() == other.settings()

    def __hash__(self):
        return hash(tuple(self.settings().items()))

    def __repr__(self):
        settings = {key: value for key, value in self.settings().items() if key != "kind"}
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"


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

    def settings(self):
        return {"kind": self.kind, "limit": self.limit}


def resolve(constraint) -> Constraint | None:
    """The constraint itself, that of a name with its defaults, or that which `settings` describe."""
    if constraint is None or isinstance(constraint, Constraint):
        return constraint
    if isinstance(constraint, dict):
        settings = dict(constraint)
        kind = Constraint.classes[checks.one_of(settings.pop("kind", None), "constraint", Constraint.classes)]
        return kind(**settings)
    return Constraint.classes[checks.one_of(constraint, "constraint", Constraint.classes)]()
