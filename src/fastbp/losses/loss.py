"""Losses: functions (Y, t) -> (value, dY).

The functions `mse`, `cross_entropy` and so on are the entries of the engine's table with default parameters; the
classes `MSE`, `CrossEntropy` and so on take others. Both are created here in a loop, without a list of them in Python.
A loss may also be any function (Y, t) -> (value, dY); then a step goes through Python.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastbp import _engine
from fastbp._typing import ArrayLike
from fastbp.inputs import checks
from fastbp.losses import loss_checks


class _Signature:
    """The signature of a loss class, created on demand, since importing `inspect` is slow."""

    def __get__(self, loss, cls):
        from inspect import Parameter, Signature

        parameters = [
            Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=value)
            for name, value in loss_checks.as_parameters(cls.row, (), {}).items()
        ]
        return Signature([*parameters, Parameter("mask_nan", Parameter.KEYWORD_ONLY, default=False)])


class Loss:
    """Base of the losses: an entry of the engine's table with its parameters.

    The value is the mean of the samples' losses, weighted by `sample_weight` if given; the gradient contains the factor
    1/N. A loss times a number is the loss with that weight in a sum.

    Attributes
    ----------
    settings : mapping
        The parameters by name, read-only.
    weight : float
        The factor of the loss.

    Examples
    --------
    >>> value, dY = mse([[1.0, 2.0]], [[0.0, 0.0]])
    >>> value
    2.5
    >>> dY
    array([[1., 2.]])
    >>> huber([[3.0]], [[0.0]], delta=1.0)[0]
    2.5
    >>> 0.5 * Huber(delta=2.0)
    0.5 * Huber(delta=2.0)
    """

    row: ClassVar[_engine.Loss]
    classes: ClassVar[dict[str, type["Loss"]]] = {}

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        Loss.classes[cls.row.name] = cls

    def __init__(self, *values: Any, mask_nan: bool = False, **settings: Any):
        self.settings: Mapping[str, Any] = MappingProxyType(
            {**loss_checks.as_parameters(self.row, values, settings), "mask_nan": bool(mask_nan)}
        )
        self.weight = 1.0
        self.__name__ = self.row.name
        self._last: tuple[Any, _engine.Term | None] = None, None

    def __call__(
        self, Y: ArrayLike, t: ArrayLike, sample_weight: ArrayLike | None = None, **settings: Any
    ) -> tuple[float, np.ndarray]:
        """The loss of outputs Y for targets t, and its gradient.

        Parameters
        ----------
        Y : array of shape (rows, outputs)
            Outputs of the network; logits if the loss includes a softmax or sigmoid.
        t : array
            Class labels (rows,) or values (rows, outputs), depending on the loss.
        sample_weight : array of shape (rows,), or of t's shape, optional
            Weights of the samples or of single targets; 1 if not given.
        **settings
            Parameters of the loss for this call.

        Returns
        -------
        value : float
        dY : ndarray of shape (rows, outputs)
        """
        if settings:
            return self.configured(**settings)(Y, t, sample_weight)
        Y = checks.as_floats(Y, "Y")
        term = self._term_again(Y.shape[1], Y.dtype)
        t = self.targets(t, len(Y), Y.shape[1], Y.dtype, "t")
        if sample_weight is not None:
            sample_weight = loss_checks.as_weights(sample_weight, t, Y.dtype)
        return _engine.loss(term, Y, t, sample_weight)

    def configured(self, **settings: Any) -> "Loss":
        """The same loss with some parameters changed."""
        changed = type(self)(**{**self.settings, **settings})
        changed.weight = self.weight
        return changed

    def targets(self, t: ArrayLike, rows: int, width: int, dtype: np.dtype, name: str) -> np.ndarray:
        """Targets, checked for outputs of this width."""
        width //= self.outputs_a_target(width)
        return loss_checks.as_targets(t, rows, width, self.row, self.settings["mask_nan"], dtype, name)

    def outputs_a_target(self, width: int) -> int:
        """Number of outputs per target."""
        return loss_checks.outputs_a_target(self.row, self.settings, width)

    def term(self, width: int, dtype: np.dtype) -> _engine.Term:
        """The engine's form of the loss, for outputs of this width."""
        heads, column, numbers = self.outputs_a_target(width), None, []
        for parameter in self.row.parameters:
            value = self.settings[parameter.name]
            vector = parameter.kind in ("heads", "each output")
            if vector and value != 1:  # where there is no column it counts as 1 for each output
                column = loss_checks.as_column(value, width, parameter, self.row.name).astype(dtype)
            numbers.append(0.0 if vector else float(value))
        skips_nan = self.settings["mask_nan"]
        return _engine.Term(dtype, self.row.name, numbers, column, heads, self.weight, skips_nan)

    def _term_again(self, width, dtype):
        """The term of the last call if it fits, since creating one takes longer than computing a small loss."""
        key, (last, term) = (width, dtype, self.weight), self._last
        if key != last:
            term = self.term(width, dtype)
            self._last = key, term
        return term

    @property
    def takes_shares(self) -> bool:
        """Whether the targets are probabilities, so that the outputs are logits."""
        return (self.row.low, self.row.high) == (0, 1)

    def config(self) -> dict:
        """Name and settings, JSON-serializable."""
        return {"name": self.row.name, "weight": self.weight, **self.settings}

    def __mul__(self, weight):
        scaled = self.configured()
        scaled.weight *= checks.in_range(weight, "the weight of a loss", 0.0)
        return scaled

    __rmul__ = __mul__

    def __eq__(self, other):
        return isinstance(other, Loss) and other.config() == self.config()

    def __hash__(self):
        return hash(self.row.name)

    def __reduce__(self):
        return from_config, (self.config(),)

    def __repr__(self):
        given = {name: value for name, value in self.settings.items() if name != "mask_nan" or value}
        factor = "" if self.weight == 1 else f"{self.weight:g} * "
        return f"{factor}{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given.items())})"


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...  # a loss for each row of the table, and its class


# What the parameters of losses do; a parameter of one name does the same in every loss that has it.
MEANINGS = {
    "alpha": "Factor of the positive targets, 1 - alpha that of the negative ones; or a factor of each class.",
    "class_weight": "Factor of the loss of each class.",
    "delta": "The |d| above which the loss is linear instead of quadratic.",
    "eps": "Added to a mean, or lower bound of a variance, so that no logarithm or quotient is infinite.",
    "expectiles": "The expectile of each output, in 0 ... 1; 0.5 is the mean.",
    "gamma": "Exponent of the focus on samples that are predicted badly; 0 is the cross entropy.",
    "label_smoothing": "Fraction of each target that is spread evenly over the classes.",
    "log_input": "Whether the outputs are logarithms of the mean.",
    "log_variance": "Whether the second half of the outputs are logarithms of the variance.",
    "pos_weight": "Factor of the positive targets.",
    "power": "Exponent p of the variance as a function of the mean: 1 < p < 2 for amounts with zeros.",
    "quantiles": "The quantile of each output, in 0 ... 1; 0.5 is the median.",
}


def _class_of(row):
    """The class of an entry: cross_entropy becomes CrossEntropy; short words are abbreviations: mse becomes MSE."""
    words = row.name.split("_")
    name = "".join(word.upper() if len(word) < 4 and word != "log" else word.title() for word in words)
    standards = loss_checks.as_parameters(row, (), {})
    lines = [
        f"    {one.name} : {_kind_of(one)}, default={standards[one.name]}\n        {MEANINGS[one.name]}"
        for one in row.parameters
    ]
    doc = "\n".join(
        [
            f"{'Of each row' if row.by_rows else 'Mean over the outputs'}: {row.formula}.",
            "\n    Parameters\n    ----------",
            *lines,
            "    mask_nan : bool, default=False",
            "        Whether NaN marks a missing target, which has no loss and no gradient.\n",
        ]
    )
    body = {"row": row, "__doc__": doc, "__module__": __name__, "__signature__": _Signature()}
    return type(name, (Loss,), body)


def _kind_of(parameter):
    vectors = {"each output": "float, or one for each output", "heads": "float or list of float", "flag": "bool"}
    return vectors.get(parameter.kind, "float")


for _row in _engine.LOSSES.values():
    _made = _class_of(_row)
    globals()[_made.__name__], globals()[_row.name] = _made, _made()

NAMES = (*_engine.LOSSES, *(cls.__name__ for cls in Loss.classes.values()))


def resolve(loss: str | dict | Callable) -> Callable:
    """The loss from a name or from what `config()` returned, or the function itself."""
    if isinstance(loss, str):
        return globals()[checks.one_of(loss, "loss", _engine.LOSSES)]
    if isinstance(loss, dict):
        return from_config(loss)
    if isinstance(loss, type) and issubclass(loss, Loss):
        raise TypeError(f"loss must be a name or function, got the class {loss.__name__}: {loss.__name__}() makes one")
    return checks.as_callable(loss, "loss")


def from_config(config: dict) -> Loss:
    """The loss from what `config()` returned.

    Parameters
    ----------
    config : dict
        As returned by `Loss.config`.

    Returns
    -------
    Loss

    Examples
    --------
    >>> from_config({"name": "huber", "weight": 2.0, "delta": 0.5})
    2 * Huber(delta=0.5)
    """
    config = dict(config)
    cls = Loss.classes[checks.one_of(config.pop("name", None), "loss", _engine.LOSSES)]
    return cls(**{k: v for k, v in config.items() if k != "weight"}) * config.get("weight", 1.0)
