"""Constraints: conditions that the weights of a layer satisfy after each update.

Each class names an entry of the engine's table and holds its number. Regularization by a penalty is a setting of the
optimizers; a constraint holds exactly.
"""

from typing import ClassVar

from fastbp.inputs import checks


class Constraint:
    """Base of the constraints; `kind` names the entry of the engine's table."""

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
    """Sets weights below 0 to 0 after each update.

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
    """A constraint from a name (with its defaults), from what `settings` returned, or the constraint itself."""
    if constraint is None or isinstance(constraint, Constraint):
        return constraint
    if isinstance(constraint, dict):
        settings = dict(constraint)
        kind = Constraint.classes[checks.one_of(settings.pop("kind", None), "constraint", Constraint.classes)]
        return kind(**settings)
    return Constraint.classes[checks.one_of(constraint, "constraint", Constraint.classes)]()
