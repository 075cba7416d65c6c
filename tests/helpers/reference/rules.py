"""Optimizer rules: what a step makes of parameters, gradient and states, and rules one after the other."""

from collections.abc import Callable, Sequence

import numpy as np

# name: (rule, scalars to test it with); a rule turns p, g, states into new ones at step t = 1, 2, ...
RULES: dict[str, tuple[Callable, tuple[float, ...]]] = {
    "sgd": (lambda p, g, s, t, lr: (p - lr * g, g, s), ()),
    "momentum": (lambda p, g, s, t, lr, m, d: momentum(p, g, s[0], 1 if t == 1 else 1 - d, lr, m), (0.9, 0.3)),
    "nesterov": (lambda p, g, s, t, lr, m: (p - lr * (g + m * (m * s[0] + g)), g, [m * s[0] + g]), (0.8,)),
    "velocity": (lambda p, g, s, t, lr, m: (p + m * s[0] - lr * g, g, [m * s[0] - lr * g]), (0.9,)),
    "nesterov_velocity": (
        lambda p, g, s, t, lr, m: (p + m * (m * s[0] - lr * g) - lr * g, g, [m * s[0] - lr * g]),
        (0.8,),
    ),
    "adam": (lambda p, g, s, t, lr, b1, b2, eps: adam(p, g, s, t, lr, b1, b2, eps), (0.9, 0.999, 1e-8)),
    "adam_eps_hat": (
        lambda p, g, s, t, lr, b1, b2, eps: adam(p, g, s, t, lr, b1, b2, eps / np.sqrt(1 - b2**t)),
        (0.8, 0.99, 1e-4),
    ),
    "amsgrad": (lambda p, g, s, t, lr, b1, b2, eps: amsgrad(p, g, s, t, lr, b1, b2, eps), (0.9, 0.99, 1e-8)),
    "radam": (lambda p, g, s, t, lr, b1, b2, eps: radam(p, g, s, t, lr, b1, b2, eps), (0.9, 0.8, 1e-8)),
    "nadam": (lambda p, g, s, t, lr, b1, b2, eps, d: nadam(p, g, s, t, lr, b1, b2, eps, d), (0.9, 0.999, 1e-8, 0.004)),
    "adamax": (lambda p, g, s, t, lr, b1, b2, eps: adamax(p, g, s, t, lr, b1, b2, eps), (0.9, 0.999, 1e-8)),
    "adan": (lambda p, g, s, t, lr, b1, b2, b3, eps: adan(p, g, s, t, lr, b1, b2, b3, eps), (0.98, 0.92, 0.99, 1e-8)),
    "adagrad": (
        lambda p, g, s, t, lr, decay, start, eps: adagrad(p, g, s, lr / (1 + (t - 1) * decay), start * (t == 1), eps),
        (0.1, 0.5, 1e-10),
    ),
    "adadelta": (lambda p, g, s, t, lr, rho, eps: adadelta(p, g, s, lr, rho, eps), (0.9, 1e-6)),
    "rms": (lambda p, g, s, t, lr, a, eps: rms(p, g, [s[0], 0 * g], a, eps, 0), (0.9, 1e-4)),
    "rms_centered": (lambda p, g, s, t, lr, a, eps: rms(p, g, s, a, eps, 1), (0.9, 1e-4)),
    "lion": (
        lambda p, g, s, t, lr, b1, b2: (p - lr * np.sign(b1 * s[0] + (1 - b1) * g), g, [b2 * s[0] + (1 - b2) * g]),
        (0.9, 0.99),
    ),
    "rprop": (lambda p, g, s, t, lr, a, b, low, high: rprop(p, g, s, t, lr, a, b, low, high), (0.5, 1.2, 1e-6, 50)),
    "rprop_plus": (
        lambda p, g, s, t, lr, a, b, low, high, grown=False: rprop(p, g, s, t, lr, a, b, low, high, grown),
        (0.5, 1.2, 1e-6, 50),
    ),
    "muon": (lambda p, g, s, t, lr, mu, *_: muon_direction(p, g, s[0], mu), (0.95, 1, 1e-7, 5, 3.4, -4.7, 2.0, 0)),
    "mean_of_batches": (lambda p, g, s, t, lr, k: (p, g, [g]), (1,)),
    "clip_by_norm": (lambda p, g, s, t, lr, most: (p, g * min(1, most / np.sqrt((g * g).sum())), s), (0.5,)),
    "clip_by_value": (lambda p, g, s, t, lr, most: (p, np.clip(g, -most, most), s), (0.5,)),
    "moving_average": (lambda p, g, s, t, lr, d: (p, g, [p if t == 1 else d * s[0] + (1 - d) * p]), (0.9,)),
    "plain_average": (lambda p, g, s, t, lr, first, every: swa(p, g, s[0], t - first, every), (2, 3)),
    "decoupled_decay": (lambda p, g, s, t, lr, wd: (p * (1 - lr * wd), g, s), (0.1,)),
    "proximal_decay": (lambda p, g, s, t, lr, wd: (p / (1 + lr * wd), g, s), (0.1,)),
    "l1": (lambda p, g, s, t, lr, l1: (p, g + l1 * np.sign(p), s), (0.3,)),
    "soft_threshold": (lambda p, g, s, t, lr, l1: (np.sign(p) * np.maximum(np.abs(p) - lr * l1, 0), g, s), (0.3,)),
    "l2_of_sum": (lambda p, g, s, t, lr, wd: (p, g + wd * p, s), (0.2,)),
    "l2": (lambda p, g, s, t, lr, wd: (p, g + wd * p, s), (0.2,)),
}


def adam(p, g, s, t, lr, b1, b2, eps):
    m, v = b1 * s[0] + (1 - b1) * g, b2 * s[1] + (1 - b2) * g * g
    return p - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps), g, [m, v]


def momentum(p, g, v, gain, lr, m):
    v = m * v + gain * g
    return p - lr * v, g, [v]


def amsgrad(p, g, s, t, lr, b1, b2, eps):
    m, v = b1 * s[0] + (1 - b1) * g, b2 * s[1] + (1 - b2) * g * g
    most = np.maximum(s[2], v)
    return p - lr * (m / (1 - b1**t)) / (np.sqrt(most / (1 - b2**t)) + eps), g, [m, v, most]


def radam(p, g, s, t, lr, b1, b2, eps):
    m, v = b1 * s[0] + (1 - b1) * g, b2 * s[1] + (1 - b2) * g * g
    last = 2 / (1 - b2) - 1
    rho = last - 2 * t * b2**t / (1 - b2**t)
    if rho <= 5:
        return p - lr * m / (1 - b1**t), g, [m, v]
    r = np.sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho))
    return p - lr * r * m / (1 - b1**t) * np.sqrt(1 - b2**t) / (np.sqrt(v) + eps), g, [m, v]


def nadam(p, g, s, t, lr, b1, b2, eps, decay):
    m, v = b1 * s[0] + (1 - b1) * g, b2 * s[1] + (1 - b2) * g * g
    mu = b1 * (1 - 0.5 * 0.96 ** (decay * np.arange(1, t + 2)))
    step = (1 - mu[t - 1]) / (1 - mu[:t].prod()) * g + mu[t] / (1 - mu.prod()) * m
    return p - lr * step / (np.sqrt(v / (1 - b2**t)) + eps), g, [m, v]


def adamax(p, g, s, t, lr, b1, b2, eps):
    m, u = b1 * s[0] + (1 - b1) * g, np.maximum(b2 * s[1], np.abs(g) + eps)
    return p - lr / (1 - b1**t) * m / u, g, [m, u]


def adan(p, g, s, t, lr, b1, b2, b3, eps):
    d = 0 * g if t == 1 else g - s[3]
    m, v = b1 * s[0] + (1 - b1) * g, b2 * s[1] + (1 - b2) * d
    n = b3 * s[2] + (1 - b3) * (g + b2 * d) ** 2
    step = m / (1 - b1**t) + b2 * v / (1 - b2**t)
    return p - lr * step / (np.sqrt(n / (1 - b3**t)) + eps), g, [m, v, n, g]


def adagrad(p, g, s, lr, start, eps):
    v = s[0] + start + g * g
    return p - lr * g / (np.sqrt(v) + eps), g, [v]


def adadelta(p, g, s, lr, rho, eps):
    v = rho * s[0] + (1 - rho) * g * g
    d = g * np.sqrt(s[1] + eps) / np.sqrt(v + eps)
    return p - lr * d, g, [v, rho * s[1] + (1 - rho) * d * d]


def rms(p, g, s, a, eps, centered):
    v, m = a * s[0] + (1 - a) * g * g, a * s[1] + (1 - a) * g
    return p, g / (np.sqrt(np.maximum(v - centered * m * m, 0)) + eps), [v, m][: 1 + centered]


def rprop(p, g, s, t, lr, down, up, low, high, grown=None):
    kept = np.sign(g * s[0])
    size = np.clip((s[1] if t > 1 else lr) * np.choose(kept.astype(int) + 1, [down, 1, up]), low, high)
    g = np.where(kept < 0, 0, g)
    if grown is None:
        return p - np.sign(g) * size, g, [g, size]
    move = np.where(kept < 0, -grown * s[2], -np.sign(g) * size)
    return p + move, g, [g, size, move]


def swa(p, g, a, beyond, every):
    if beyond < 0 or beyond % every:
        return p, g, [a]
    return p, g, [a + (p - a) / (beyond // every + 1)]


def muon_direction(p, g, v, mu):
    v = mu * v + (1 - mu) * g
    u = mu * v + (1 - mu) * g
    return p, u, [v, u]


def orthogonalised(u, steps=5, a=3.4445, b=-4.7750, c=2.0315):
    """Newton and Schulz's iteration, on matrices (inputs, outputs); scaled as for outputs > inputs."""
    x = u.T if len(u) > u.shape[1] else u
    x = x / max(np.sqrt((x * x).sum()), 1e-7)
    for _ in range(steps):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return (x.T if len(u) > u.shape[1] else x) * np.sqrt(max(1, u.shape[1] / len(u)))


class Chain:
    """Optimizer rules one after the other, each handing its gradient on."""

    def __init__(self, rules: Sequence[tuple[str, tuple[float, ...]]], states: Sequence[int], n: int) -> None:
        self.rules, self.t = rules, 0
        self.states = [[np.zeros(n) for _ in range(count)] for count in states]

    def step(self, p: np.ndarray, g: np.ndarray, lr: float) -> np.ndarray:
        self.t += 1
        for k, (name, scalars) in enumerate(self.rules):
            p, g, self.states[k] = RULES[name][0](p, g, self.states[k], self.t, lr, *scalars)
        return p
