"""PyTorch's twin of each loss: the mean over the rows of a batch, of outputs and targets as tensors.

Where PyTorch has a function of its own, it is taken; the others are their formulas with PyTorch's derivatives.
"""

from torch_twin import torch

F = torch.nn.functional


def _tiled(levels, Y):
    levels = torch.as_tensor(levels, dtype=Y.dtype).reshape(-1)
    return levels.repeat(Y.shape[1] // len(levels))


def _spread(t, Y):
    return t.repeat_interleave(Y.shape[1] // t.shape[1], dim=1)


def _quantile(Y, t, quantiles=0.5):
    d = _spread(t, Y) - Y
    return torch.maximum(_tiled(quantiles, Y) * d, (_tiled(quantiles, Y) - 1) * d).mean()


def _expectile(Y, t, expectiles=0.5):
    d = _spread(t, Y) - Y
    return (torch.abs(_tiled(expectiles, Y) - (d < 0).to(Y.dtype)) * d**2).mean()


def _binary(Y, t, pos_weight=1.0, label_smoothing=0.0):
    t = t * (1 - label_smoothing) + label_smoothing / 2
    weight = torch.as_tensor(pos_weight, dtype=Y.dtype).expand(Y.shape)
    return F.binary_cross_entropy_with_logits(Y, t, pos_weight=weight)


def _focal(Y, t, gamma=2.0, alpha=0.25):
    p = torch.sigmoid(Y)
    ones = alpha * t * (1 - p) ** gamma * F.logsigmoid(Y)
    return -(ones + (1 - alpha) * (1 - t) * p**gamma * F.logsigmoid(-Y)).mean()


def _poisson(Y, t, log_input=True, eps=1e-8):
    return F.poisson_nll_loss(Y, t, log_input=log_input, full=False, eps=eps)


def _gamma(Y, t, log_input=True, eps=1e-8):
    return (Y + t * torch.exp(-Y) if log_input else torch.log(Y + eps) + t / (Y + eps)).mean()


def _tweedie(Y, t, power=1.5, log_input=True, eps=1e-8):
    m = torch.exp(Y) if log_input else Y + eps
    return (m ** (2 - power) / (2 - power) - t * m ** (1 - power) / (1 - power)).mean()


def _cross_entropy(Y, t, label_smoothing=0.0, class_weight=1.0):
    weight = torch.as_tensor(class_weight, dtype=Y.dtype).expand(Y.shape[1])
    return F.cross_entropy(Y, t, weight, label_smoothing=label_smoothing, reduction="none").mean()


def _focal_cross_entropy(Y, t, gamma=2.0, alpha=1.0, label_smoothing=0.0):
    """Lin et al. 2017: -alpha (1 - p)^gamma log p of the true class."""
    t = t if t.is_floating_point() else torch.eye(Y.shape[1], dtype=Y.dtype)[t]
    t = t * (1 - label_smoothing) + label_smoothing / Y.shape[1]
    alpha = torch.as_tensor(alpha, dtype=Y.dtype)
    return -(alpha * t * (1 - F.softmax(Y, dim=1)) ** gamma * F.log_softmax(Y, dim=1)).sum(dim=1).mean()


def _kl_divergence(Y, t):
    t = t if t.is_floating_point() else torch.eye(Y.shape[1], dtype=Y.dtype)[t]
    return F.kl_div(F.log_softmax(Y, dim=1), t, reduction="batchmean")


def _gaussian(Y, t, log_variance=True, eps=1e-6):
    m, s = Y.chunk(2, dim=1)
    return F.gaussian_nll_loss(m, t, torch.exp(s) if log_variance else s, eps=eps)


LOSSES = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": lambda Y, t, delta=1.0: F.huber_loss(Y, t, delta=delta),
    "log_cosh": lambda Y, t: torch.log(torch.cosh(Y - t)).mean(),
    "quantile": _quantile,
    "expectile": _expectile,
    "binary_cross_entropy": _binary,
    "focal": _focal,
    "hinge": lambda Y, t: F.relu(1 - torch.sign(t - 0.5) * Y).mean(),
    "squared_hinge": lambda Y, t: (F.relu(1 - torch.sign(t - 0.5) * Y) ** 2).mean(),
    "poisson": _poisson,
    "gamma": _gamma,
    "tweedie": _tweedie,
    "cross_entropy": _cross_entropy,
    "focal_cross_entropy": _focal_cross_entropy,
    "kl_divergence": _kl_divergence,
    "cosine": lambda Y, t: (1 - F.cosine_similarity(Y, t)).mean(),
    "gaussian_nll": _gaussian,
}
