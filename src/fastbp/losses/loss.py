"""Loss: the base of the losses, an entry of the engine's table with its parameters; `table.py` makes the losses.

The functions `mse`, `cross_entropy` and so on have the table's parameters; the classes `MSE`, `CrossEntropy` and so on
make a loss with others. A loss may also be any function (Y, t) -> (value, dY); then a step goes through Python.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from fastbp import _engine, functional
from fastbp._configured import Registered, Registry, called, made
from fastbp._typing import ArrayLike
from fastbp.inputs import checks
from fastbp.losses import loss_checks

# Names of the same losses, on logits, in Keras, PyTorch and scikit-learn.
SYNONYMS = {
    "mean_squared_error": "mse",
    "squared_error": "mse",
    "mean_absolute_error": "mae",
    "absolute_error": "mae",
    "binary_crossentropy": "binary_cross_entropy",
    "bce": "binary_cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "sparse_categorical_crossentropy": "cross_entropy",
    "bce_with_logits": "binary_cross_entropy",
    "kld": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
    "cosine_similarity": "cosine",
    "pinball": "quantile",
    "pinball_loss": "quantile",
    "smooth_l1": "huber",
    "mse_loss": "mse",
    "l1_loss": "mae",
    "cross_entropy_loss": "cross_entropy",
    "bce_with_logits_loss": "binary_cross_entropy",
    "huber_loss": "huber",
    "smooth_l1_loss": "huber",
    "gaussian_nll_loss": "gaussian_nll",
    "poisson_nll_loss": "poisson",
}


def are_shares(activation: str | None) -> bool:
    """Whether an activation returns probabilities, to which a loss would apply its softmax or sigmoid again."""
    return activation == "softmax" or activation == "sigmoid"


class Loss(Registered):
    """Base of the losses: an entry of the engine's table with its parameters.

    The value is the mean over the samples of weight times loss; the gradient contains the factor 1/N. A loss times a
    number is the loss with that factor in a sum of losses.

    Attributes
    ----------
    settings : mapping
        The parameters by name, read-only.
    weight : float
        The factor of the loss.

    See Also
    --------
    fastbp.Trainer : Takes one as `loss`.

    Examples
    --------
    >>> from fastbp.losses import Huber, huber, mse
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

    classes = Registry("loss", "name", functions=True, synonyms=SYNONYMS)
    row: ClassVar[_engine.Loss]

    def __init__(self, *values: Any, mask_nan: bool = False, weight: float = 1.0, **settings: Any):
        self.settings: Mapping[str, Any] = MappingProxyType(
            {**loss_checks.as_parameters(self.row, values, settings), "mask_nan": bool(mask_nan)}
        )
        self.weight = checks.in_range(weight, "the weight of a loss", 0.0)
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
            Weights of the samples or of single targets, which may be negative; 1 if not given.
        **settings
            Parameters of the loss for this call.

        Returns
        -------
        value : float
            The mean over the samples.
        dY : ndarray of shape (rows, outputs)
            Its derivatives by the outputs.
        """
        if settings:
            return self.configured(**settings)(Y, t, sample_weight)
        Y = checks.as_floats(Y, "Y")
        term = self._term_again(Y.shape[1], Y.dtype)
        t = self.targets(t, len(Y), Y.shape[1], Y.dtype, "t")
        if sample_weight is not None:
            sample_weight = loss_checks.as_weights(sample_weight, t, Y.dtype, negative=True)
        return _engine.loss(term, Y, t, sample_weight)

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
            if vector and value != 1:  # without a column the parameter counts as 1 for each output
                column = loss_checks.as_column(value, width, parameter, self.row.name).astype(dtype)
            numbers.append(0.0 if vector else float(value))
        skips_nan = self.settings["mask_nan"]
        return _engine.Term(dtype, self.row.name, numbers, column, heads, self.weight, skips_nan)

    def _term_again(self, width, dtype):
        """The term of the last call if it fits, since creating a term takes longer than computing a small loss."""
        key, (last, term) = (width, dtype, self.weight), self._last
        if key != last:
            term = self.term(width, dtype)
            self._last = key, term
        return term

    def predicted(self, Y: ArrayLike) -> np.ndarray:
        """The predictions that outputs of a network stand for, in the unit of the targets.

        Parameters
        ----------
        Y : array of shape (rows, outputs)
            Outputs of the network.

        Returns
        -------
        ndarray of shape (rows, targets)
            Probabilities, where the loss includes a softmax or sigmoid; exp(Y) under `poisson`, `gamma` and `tweedie`
            with `log_input`; of several quantiles or expectiles of a target the one whose level is nearest to 0.5 (of
            two the lower); the means under `gaussian_nll`; else Y.

        Examples
        --------
        >>> from fastbp.losses import Poisson, Quantile
        >>> Poisson().predicted([[0.0], [1.0]])
        array([[1.        ],
               [2.71828183]])
        >>> Quantile((0.1, 0.5, 0.9)).predicted([[1.0, 2.0, 3.0]])
        array([[2.]])
        """
        Y = checks.as_floats(Y, "Y")
        if self.takes_shares:
            return functional.activation_forward(Y, "softmax" if self.row.labels else "sigmoid")
        if self.settings.get("log_input"):
            return np.exp(Y)
        heads = self.outputs_a_target(Y.shape[1])
        if heads == 1:
            return Y
        levels = [self.settings[one.name] for one in self.row.parameters if one.kind == "heads"]
        if levels:
            nearest = int(np.argmin(np.abs(np.asarray(levels[0]) - 0.5)))
            return Y[:, nearest::heads]
        return Y[:, : Y.shape[1] // heads]

    @property
    def takes_shares(self) -> bool:
        """Whether the targets are probabilities, so that the outputs are logits."""
        return (self.row.low, self.row.high) == (0, 1)

    @classmethod
    def label(cls) -> str:
        """The name of the entry."""
        return cls.row.name

    def arguments(self) -> dict[str, Any]:
        """The parameters and the weight."""
        return {"weight": self.weight, **self.settings}

    def __mul__(self, weight):
        return self.configured(weight=self.weight * checks.in_range(weight, "the weight of a loss", 0.0))

    __rmul__ = __mul__

    def __eq__(self, other):
        return isinstance(other, Loss) and other.config() == self.config()

    def __hash__(self):
        return hash(self.row.name)

    def __reduce__(self):
        return made, (type(self), self.arguments())

    def __repr__(self):
        given = {name: value for name, value in self.settings.items() if name != "mask_nan" or value}
        factor = "" if self.weight == 1 else f"{self.weight:g} * "
        return f"{factor}{called(type(self).__name__, given)}"
