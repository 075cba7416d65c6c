"""Gradient check: backpropagation against finite differences."""

import numpy as np

from fastbp._typing import Arrays, LossLike
from fastbp.inputs import checks
from fastbp.network.network import Network
from fastbp.training.objective import Objective


def check_gradients(
    net: Network,
    X: Arrays,
    y: Arrays,
    loss: LossLike = "mse",
    *,
    rtol: float = 1e-5,
    samples: int = 100,
    seed: int = 0,
) -> float:
    """Check the gradients of all parameters and inputs against finite differences.

    A copy in float64 is checked, without dropout. Entries whose two one-sided differences disagree are skipped, since
    the step crosses a kink there, such as that of relu at 0.

    Parameters
    ----------
    net : Network
        The network to check; it does not change.
    X, y : arrays, or tuples of them
        Inputs and targets; a few rows are enough.
    loss : str or function, or a tuple of them, default="mse"
        A name in `fastbp.losses`, a loss, or a function (Y, t) -> (value, dY).
    rtol : float, default=1e-5
        Tolerance, relative to the largest gradient of the same array.
    samples : int, default=100
        Number of entries of each array that are checked.
    seed : int, default=0
        Seed of the choice of these entries.

    Returns
    -------
    float
        The largest relative error found.

    Raises
    ------
    ValueError
        If a gradient is wrong; the message names the array, the entry and both values.

    See Also
    --------
    diagnose : Judges the sizes of the gradients.

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(3, activation="tanh"), Dense(1), seed=0)
    >>> check_gradients(net, [[1.0, 2.0]], [0.5]) < 1e-5
    True
    """
    copy = net.in_double()
    objective = Objective(loss, copy)
    xs = tuple(np.array(x) for x in copy.as_inputs(X))
    ts = objective.targets(y, len(xs[0]))
    rng = np.random.default_rng(checks.as_seed(seed))

    def value():
        return objective(copy.programs.predict(xs), ts, None)[0]

    _, dys = objective(copy.programs.forward(xs, False), ts, None)
    dxs = copy.programs.backward(dys, False)
    fixed = {f"{layer.name}.{name}" for layer in copy.layers for name in layer.statistics}
    frozen = {f"{layer.name}.{name}" for layer in copy.layers if not layer.trainable for name in layer.fixed_shapes}
    blocks = [
        (name, view, copy.grads[part].reshape(view.shape))
        for (name, view), (part, _) in zip(copy.arrays().items(), copy.slices.values(), strict=True)
        if name not in fixed | frozen
    ]
    blocks += [(node.name, x, dx) for node, x, dx in zip(copy.inputs, xs, dxs, strict=True)]
    return max((_check_block(*block, value, rtol, samples, rng) for block in blocks), default=0.0)


def _check_block(name, array, gradient, value, rtol, samples, rng):
    flat, wanted = array.reshape(-1), gradient.reshape(-1)
    scale = max(np.abs(wanted).max(), 1e-7)
    picked = np.arange(flat.size) if flat.size <= samples else rng.choice(flat.size, samples, replace=False)
    worst, here = 0.0, value()
    for k in picked:
        old, step = flat[k], 6e-6 * max(1.0, abs(flat[k]))
        flat[k] = old + step
        up, above = value(), flat[k]
        flat[k] = old - step
        down, below = value(), flat[k]
        flat[k] = old
        difference = (up - down) / (above - below)
        right, left = (up - here) / (above - old), (here - down) / (old - below)
        if abs(right - left) > 1e-3 * max(abs(right), abs(left), 1e-3):
            continue
        error = abs(difference - wanted[k]) / scale
        if error > rtol + 1e-9 / scale:
            at = tuple(int(i) for i in np.unravel_index(k, array.shape))
            raise ValueError(
                f"the gradient of {name} is off at {at}: backward gives {wanted[k]:.9g}, differences {difference:.9g}"
            )
        worst = max(worst, error)
    return float(worst)
