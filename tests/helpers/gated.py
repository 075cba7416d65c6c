"""Graphs of gates, blocks and normalizations that several files of tests build. All widths differ."""

import fastbp as fb


def every_gate(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """Each gate once or more, with numbers, columns, width 1, and more than two inputs."""
    x = fb.Input(5, name="x")
    h, g = fb.Dense(7, "tanh", name="h")(x), fb.Dense(7, "sigmoid", name="g")(x)
    one = fb.Dense(1, name="one")(x)
    mixed = fb.maximum(h * g, h + fb.Dense(7)(x), 0.1)
    low = fb.minimum(mixed, one, g) * 2 - 1
    wide = fb.Concatenate()(low, h[:, 2:5], -x, h[:, ::-2], one)
    merged = fb.Average()(wide, 1 - wide / 3, wide * wide * one)
    return fb.Model(x, [fb.Dense(3)(merged - one), low], dtype=dtype, seed=seed)


def normalized(dtype: str = "float64", seed: int = 1) -> fb.Model:
    x = fb.Input(6)
    h = fb.LayerNorm()(fb.Dense(70, "tanh")(x))
    h = fb.RMSNorm(affine=False)(fb.Dense(9, "sigmoid")(h))
    return fb.Model(x, fb.Dense(4)(fb.BatchNorm()(fb.RMSNorm()(h)) + h), dtype=dtype, seed=seed)


def blocks(dtype: str = "float64", seed: int = 1) -> fb.Model:
    return fb.Sequential(
        fb.Input(6),
        fb.GLU(8),
        fb.Residual(fb.Dense(20, "tanh"), fb.LayerNorm(), fb.Dense(8)),
        fb.Highway("tanh"),
        fb.Maxout(5, pieces=3),
        fb.Dense(3, "softmax"),
        fb.Rescaling(2.0, 0.1),  # what losses of logits take
        dtype=dtype,
        seed=seed,
    )


def learned_slopes(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """A slope each, over more than one block of features; one for all, used twice; and one by name."""
    x = fb.Input(5)
    h = fb.PReLU(init=-0.3)(fb.Dense(70)(x))
    one = fb.PReLU(num_parameters=1)
    y = fb.Dense(6, "prelu")(one(h)) + one(fb.Dense(6)(x))
    return fb.Model(x, [fb.Dense(3)(y), h], dtype=dtype, seed=seed)


def diamonds(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """Two inputs, a layer used twice, fan-out at a source, an input given out."""
    a, b = fb.Input(4), fb.Input(4)
    layer = fb.Dense(6, "tanh")
    left, right = layer(a), layer(b * 0.5)
    out = fb.Dense(2)(left * right + fb.maximum(left, right))
    return fb.Model([a, b], [out, a - b], dtype=dtype, seed=seed)


def wide_gates(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """Tensors of several blocks, cut and joined across their borders."""
    x = fb.Input(3)
    h = fb.Dense(150, "tanh")(x)
    j = fb.Concatenate()(h[:, 30:100], h[:, :45], h[:, 149::-7])
    return fb.Model(x, fb.Dense(2)(j * fb.Dense(1)(x)), dtype=dtype, seed=seed)


def arithmetic(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """Quotients, powers and functions of nodes, parameters and vectors, over more than one block of features."""
    x = fb.Input(5)
    k, v = fb.Parameter(0.7, name="k"), fb.Parameter([0.4, -0.3, 0.2, 0.9, 1.1], name="v")
    h = fb.Dense(70, "tanh")(x)
    size = fb.sqrt(fb.sum(h**2) + k**2)
    wave = fb.sin(x * v) - fb.cos(k * x) / (1.5 + x**2)
    y = fb.log(1 + fb.exp(-x)) * wave + [0.1, 0.2, 0.3, 0.4, 0.5] / (abs(v - 3) + 0.5)
    z = (2 + h / size) ** -1.5 + k / (2 + fb.mean(x) ** 2) - 1 / (h**3 + 2)
    return fb.Model(x, [fb.Dense(3)(fb.Concatenate()(y, fb.dot(wave, y))), z], dtype=dtype, seed=seed)


GATED = [every_gate, normalized, blocks, learned_slopes, diamonds, wide_gates, arithmetic]
