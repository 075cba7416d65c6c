"""Normalization layers: over the features of a sample, or over the samples of a batch."""

import numpy as np

from fastbp.inputs import checks
from fastbp.layers.layer import Layer


class _Normalization(Layer):
    """Base of the normalizations: gamma, beta, and eps under the root."""

    def __init__(self, eps, affine, name, trainable):
        super().__init__(name, trainable)
        self.eps = checks.in_range(eps, "eps", 0.0)
        self.affine = bool(affine)

    def start(self, rng):
        starts = {"gamma": np.ones, "beta": np.zeros, "mean": np.zeros, "variance": np.ones}
        return {name: starts[name](shape) for name, shape in self.fixed_shapes.items()}

    def settings(self):
        return {**super().settings(), "eps": self.eps, "affine": self.affine}

    def op(self, number, *widths):
        return {"alpha": self.eps}


class LayerNorm(_Normalization):
    """Y = gamma (X - mean) / sqrt(variance + eps) + beta, over the features of each row. Ba et al. 2016.

    Parameters
    ----------
    eps : float, default=1e-5
        Added under the square root.
    affine : bool, default=True
        Whether the layer has gamma and beta.
    name : str, optional
        Unique in the model; "layernorm_1" and so on if not given.
    trainable : bool, default=True
        Whether training updates gamma and beta.

    Attributes
    ----------
    gamma, beta, dgamma, dbeta : ndarray of shape (width,)
        Live views.

    See Also
    --------
    RMSNorm : Over the features, by mean square.
    BatchNorm : Over the rows of a batch.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> LayerNorm()(Input(20)).width
    20
    """

    kind = "layer_norm"
    parameters = ("gamma", "beta")

    def __init__(self, eps: float = 1e-5, *, affine: bool = True, name: str | None = None, trainable: bool = True):
        super().__init__(eps, affine, name, trainable)

    def shapes(self, width):
        return {"gamma": (width,), "beta": (width,)} if self.affine else {}


class RMSNorm(_Normalization):
    """Y = gamma X / sqrt(mean(X**2) + eps), over the features of each row. Zhang and Sennrich 2019.

    Parameters
    ----------
    eps : float, default=1e-6
        Added under the square root.
    affine : bool, default=True
        Whether the layer has gamma.
    name : str, optional
        Unique in the model; "rmsnorm_1" and so on if not given.
    trainable : bool, default=True
        Whether training updates gamma.

    Attributes
    ----------
    gamma, dgamma : ndarray of shape (width,)
        Live views.

    See Also
    --------
    LayerNorm : Over the features, by mean and variance.
    BatchNorm : Over the rows of a batch.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> RMSNorm()(Input(20)).width
    20
    """

    kind = "rms_norm"
    parameters = ("gamma", "beta")

    def __init__(self, eps: float = 1e-6, *, affine: bool = True, name: str | None = None, trainable: bool = True):
        super().__init__(eps, affine, name, trainable)

    def shapes(self, width):
        return {"gamma": (width,)} if self.affine else {}


class BatchNorm(_Normalization):
    """Y = gamma (X - mean) / sqrt(variance + eps) + beta, over the rows of a batch. Ioffe and Szegedy 2015.

    Training uses the mean and variance of the batch; inference, and training with `trainable=False`, use running
    averages. As in PyTorch, the batch is normalized by its biased variance and the running average takes the
    unbiased one.

    Parameters
    ----------
    momentum : float, default=0.1
        Weight of the batch in the running averages: average += momentum * (batch - average).
    eps : float, default=1e-5
        Added under the square root.
    affine : bool, default=True
        Whether the layer has gamma and beta.
    name : str, optional
        Unique in the model; "batchnorm_1" and so on if not given.
    trainable : bool, default=True
        Whether training updates gamma and beta; the running averages are frozen with them.

    Attributes
    ----------
    gamma, beta, dgamma, dbeta : ndarray of shape (width,)
        Live views.
    mean, variance : ndarray of shape (width,)
        The running averages: live views of `params`, which no gradient updates.

    See Also
    --------
    LayerNorm : Over the features, by mean and variance.
    RMSNorm : Over the features, by mean square.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> BatchNorm()(Input(20)).width
    20
    """

    kind = "batch_norm"
    parameters = ("gamma", "beta", "mean", "variance")
    statistics = ("mean", "variance")

    def __init__(
        self,
        momentum: float = 0.1,
        eps: float = 1e-5,
        *,
        affine: bool = True,
        name: str | None = None,
        trainable: bool = True,
    ):
        super().__init__(eps, affine, name, trainable)
        self.momentum = checks.in_range(momentum, "momentum", 0.0, 1.0)

    def shapes(self, width):
        names = self.parameters if self.affine else self.statistics
        return dict.fromkeys(names, (width,))

    def settings(self):
        return {**super().settings(), "momentum": self.momentum}

    def op(self, number, *widths):
        return {"alpha": self.eps, "beta": self.momentum}
