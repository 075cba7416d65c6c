"""The losses: written from the table by docs/write_stubs.py."""

from collections.abc import Sequence

from fastbp.losses.loss import Loss

NAMES: tuple[str, ...]

class BinaryCrossEntropy(Loss):
    """Mean over the outputs: -w t log p - (1 - t) log (1 - p), with p = sigmoid(Y) and w = pos_weight."""

    def __init__(
        self, pos_weight: float | Sequence[float] = 1.0, label_smoothing: float = 0.0, *, mask_nan: bool = False
    ) -> None: ...

class Cosine(Loss):
    """Of each row: 1 - Y't / (|Y| |t|), and 1 where Y or t is 0."""

    def __init__(self, *, mask_nan: bool = False) -> None: ...

class CrossEntropy(Loss):
    """Of each row: -sum over the classes of w t log p, with p = softmax(Y) and w = class_weight."""

    def __init__(
        self, label_smoothing: float = 0.0, class_weight: float | Sequence[float] = 1.0, *, mask_nan: bool = False
    ) -> None: ...

class Expectile(Loss):
    """Mean over the outputs: q d^2 where Y < t, else (1 - q) d^2, with d = Y - t, for each q of the expectiles."""

    def __init__(self, expectiles: float | Sequence[float] = 0.5, *, mask_nan: bool = False) -> None: ...

class Focal(Loss):
    """Mean over the outputs: -a t (1 - p)^gamma log p - (1 - a) (1 - t) p^gamma log (1 - p), with p = sigmoid(Y) and a = alpha."""

    def __init__(self, gamma: float = 2.0, alpha: float = 0.25, *, mask_nan: bool = False) -> None: ...

class FocalCrossEntropy(Loss):
    """Of each row: -sum over the classes of a t (1 - p)^gamma log p, with p = softmax(Y) and a = alpha."""

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | Sequence[float] = 1.0,
        label_smoothing: float = 0.0,
        *,
        mask_nan: bool = False,
    ) -> None: ...

class Gamma(Loss):
    """Mean over the outputs: log m + t / m, with the mean m = exp(Y), or Y + eps without log_input."""

    def __init__(self, log_input: bool = True, eps: float = 1e-08, *, mask_nan: bool = False) -> None: ...

class GaussianNLL(Loss):
    """Of each row: (log v + (t - m)^2 / v) / 2, with means m in the first half of the outputs, and in the second log v, or v without log_variance."""

    def __init__(self, log_variance: bool = True, eps: float = 1e-06, *, mask_nan: bool = False) -> None: ...

class Hinge(Loss):
    """Mean over the outputs: max(0, 1 - s Y), with the side s = -1 or 1 (a target of 0 means -1)."""

    def __init__(self, *, mask_nan: bool = False) -> None: ...

class Huber(Loss):
    """Mean over the outputs: d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = Y - t."""

    def __init__(self, delta: float = 1.0, *, mask_nan: bool = False) -> None: ...

class KLDivergence(Loss):
    """Of each row: sum over the classes of t (log t - log p), with p = softmax(Y)."""

    def __init__(self, *, mask_nan: bool = False) -> None: ...

class LogCosh(Loss):
    """Mean over the outputs: log(cosh(d)), with d = Y - t."""

    def __init__(self, *, mask_nan: bool = False) -> None: ...

class MAE(Loss):
    """Mean over the outputs: |d|, with d = Y - t."""

    def __init__(self, *, mask_nan: bool = False) -> None: ...

class MSE(Loss):
    """Mean over the outputs: d^2, with d = Y - t."""

    def __init__(self, *, mask_nan: bool = False) -> None: ...

class Poisson(Loss):
    """Mean over the outputs: m - t log m, with the mean m = exp(Y), or Y + eps without log_input."""

    def __init__(self, log_input: bool = True, eps: float = 1e-08, *, mask_nan: bool = False) -> None: ...

class Quantile(Loss):
    """Mean over the outputs: q (t - Y) where Y < t, else (1 - q) (Y - t), for each q of the quantiles."""

    def __init__(self, quantiles: float | Sequence[float] = 0.5, *, mask_nan: bool = False) -> None: ...

class SquaredHinge(Loss):
    """Mean over the outputs: max(0, 1 - s Y)^2, with the side s = -1 or 1 (a target of 0 means -1)."""

    def __init__(self, *, mask_nan: bool = False) -> None: ...

class Tweedie(Loss):
    """Mean over the outputs: m^(2 - p) / (2 - p) - t m^(1 - p) / (1 - p), with p = power and the mean m = exp(Y), or Y + eps without log_input."""

    def __init__(
        self, power: float = 1.5, log_input: bool = True, eps: float = 1e-08, *, mask_nan: bool = False
    ) -> None: ...

binary_cross_entropy: BinaryCrossEntropy
cosine: Cosine
cross_entropy: CrossEntropy
expectile: Expectile
focal: Focal
focal_cross_entropy: FocalCrossEntropy
gamma: Gamma
gaussian_nll: GaussianNLL
hinge: Hinge
huber: Huber
kl_divergence: KLDivergence
log_cosh: LogCosh
mae: MAE
mse: MSE
poisson: Poisson
quantile: Quantile
squared_hinge: SquaredHinge
tweedie: Tweedie
