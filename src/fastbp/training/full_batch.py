"""minimize: full-batch training, for small networks and smooth losses.

The Levenberg-Marquardt method is in `least_squares.py`; the others are SciPy's, with gradients and Hessian-vector
products from backpropagation. A float32 network is trained as a float64 copy, because these methods depend on small
differences.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp._configured import plain_name
from fastbp._optional import package
from fastbp._typing import Arrays, LossLike, WeightsLike, WeightsOf
from fastbp.inputs import checks
from fastbp.network.network import Network
from fastbp.training.least_squares import Problem, levenberg_marquardt
from fastbp.training.objective import Objective

SCIPY = {"l-bfgs": "L-BFGS-B", "bfgs": "BFGS", "cg": "CG", "newton-cg": "Newton-CG"}
METHODS = ("lm", *SCIPY)
# SciPy's, scikit-learn's and other names; capitals, hyphens and underscores do not matter.
SYNONYMS = {plain_name(name).replace("-", ""): name for name in METHODS}
SYNONYMS |= {"lbfgsb": "l-bfgs", "levenbergmarquardt": "lm"}


@dataclass(frozen=True)
class Optimum:
    """The result of `minimize`.

    Attributes
    ----------
    loss : float
        The final loss.
    iterations : int
        Number of iterations.
    evaluations : int
        Number of passes over the data, forward and backward.
    converged : bool
        Whether it converged, as opposed to reaching max_iter.
    message : str
        Why it stopped.
    history : list of float
        The initial loss and the loss after each iteration.

    See Also
    --------
    minimize : Creates one.

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(1), seed=0)
    >>> minimize(net, np.eye(2), [0.0, 1.0]).converged
    True
    """

    loss: float
    iterations: int
    evaluations: int
    converged: bool
    message: str
    history: list[float]


def minimize(
    net: Network,
    X: Arrays,
    y: Arrays,
    *,
    loss: LossLike = "mse",
    loss_weights: WeightsLike = None,
    method: str = "l-bfgs",
    max_iter: int = 200,
    tol: float = 1e-8,
    sample_weight: WeightsOf = None,
    callback: Callable[[int, float], Any] | None = None,
) -> Optimum:
    """Train on the whole data set by a full-batch method until it converges. Dropout is off.

    Parameters
    ----------
    net : Network
        The network to train; its parameters become the best ones found.
    X : array of shape (rows, inputs), or a tuple of them
        The inputs; a tuple for several.
    y : array of labels or values, or a tuple of them
        The targets; a tuple for several outputs.
    loss : str or function, or a tuple of them, default="mse"
        A name in `fastbp.losses`, a loss, or a function (Y, t) -> (value, dY); "newton-cg" requires a loss of fastbp,
        "lm" requires "mse", which may have a weight and missing targets, `0.5 * losses.MSE(mask_nan=True)`.
    loss_weights : tuple of float, or a dict from the outputs' names, optional
        Factors of the losses of several outputs; 1 if not given.
    method : {"l-bfgs", "bfgs", "cg", "newton-cg", "lm"}, default="l-bfgs"
        L-BFGS, BFGS with a matrix of parameters**2 numbers, nonlinear conjugate gradients and Newton-CG (these need
        SciPy), or Levenberg-Marquardt with geodesic acceleration for least squares: by far the fewest iterations for up
        to a thousand parameters, of (known targets * parameters**2 + parameters**3 / 3) operations each.
    max_iter : int, default=200
        Maximum number of iterations.
    tol : float, default=1e-8
        Converged when no derivative of the loss is larger.
    sample_weight : array of shape (rows,) or of y's shape, or a tuple of them, optional
        Weights of the samples or of single targets; 1 if not given. Not for "newton-cg".
    callback : function (iteration, loss), optional
        Called after each iteration; return True to stop. None if not given.

    Returns
    -------
    Optimum
        The final loss, and how it was reached.

    Raises
    ------
    ValueError
        If a layer has a constraint, which these methods would not keep, or the method does not take the loss.
    DivergenceError
        If the loss is not finite at the start.

    See Also
    --------
    Trainer : Mini-batches.
    Model.value_and_grad : For optimizers of SciPy.

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential
    >>> X = np.linspace(-1.0, 1.0, 30)[:, None]
    >>> net = Sequential(Input(1), Dense(6, "tanh"), Dense(1), dtype="float64", seed=0)
    >>> found = minimize(net, X, np.sin(3 * X), method="lm")
    >>> found.loss < 1e-6, found.iterations <= 200
    (True, True)
    """
    if isinstance(method, str):
        method = SYNONYMS.get(plain_name(method).replace("-", ""), method)
    method = checks.one_of(method, "method", METHODS)
    checks.instance(net, Network, "net")
    for layer in net.layers:
        if getattr(layer, "constraint", None) is not None:
            raise ValueError(f"minimize keeps no constraints, and {layer!r} has {layer.constraint!r}; fit keeps them")
    net.programs.refuse_part()
    work = net if net.dtype == np.float64 else net.in_double()
    objective = Objective(loss, work, loss_weights)
    objective.divide_by_weights()  # all rows are one batch, so this is the loss of `evaluate`
    xs = work.as_inputs(X)
    ts = objective.targets(y, len(xs[0]))
    weights = objective.weights(sample_weight, ts)
    max_iter, tol = checks.positive_int(max_iter, "max_iter"), checks.in_range(tol, "tol", 0.0)
    watch = _Watch(callback)
    before = net.params.copy()
    try:
        if method == "lm":
            found = levenberg_marquardt(Problem(work, objective, xs, ts, weights), max_iter, tol, watch)
        else:
            found = _by_scipy(work, objective, xs, ts, weights, method, max_iter, tol, watch)
    except BaseException:
        net.params = before
        raise
    theta, value, evaluations, converged, message = found
    net.params = theta
    return Optimum(value, len(watch.history) - 1, evaluations, converged, message, watch.history)


class _Watch:
    """Records the losses of the iterations and calls the callback."""

    def __init__(self, callback):
        self.history: list[float] = []
        self._callback = callback

    def __call__(self, loss: float) -> bool:
        self.history.append(float(loss))
        iteration = len(self.history) - 1
        return bool(self._callback and iteration and self._callback(iteration, float(loss)) is True)


def _by_scipy(net, objective, xs, ts, weights, method, max_iter, tol, watch):
    optimize = package("scipy.optimize", f'minimize with method="{method}"')
    best = [math.inf, net.params.copy()]
    moves = net.programs.trained()
    passes = 0

    def value_and_grad(theta):
        nonlocal passes
        passes += 1
        net.params = theta
        value = objective.loss_and_gradient(net, xs, ts, weights)
        if value < best[0]:
            best[:] = value, theta.copy()
        return value, net.grads.copy()

    def hessian_product(theta, direction):
        nonlocal passes
        passes += 1
        net.params = theta
        direction = np.where(moves, direction, 0)
        return moves * net.programs.derivatives.parameter_second(xs, direction, ts, objective.terms)

    def after(intermediate_result):
        if watch(intermediate_result.fun):
            raise StopIteration

    second = {}
    if method == "newton-cg":
        if objective.terms is None or weights is not None:
            raise ValueError('method "newton-cg" wants losses of fastbp\'s own and no sample_weight')
        second = {"hessp": hessian_product}
    # SciPy's Newton-CG tests only the length of a step.
    own = {"xtol": tol} if method == "newton-cg" else {"gtol": tol}
    options = {"maxiter": max_iter, **own}
    if method == "l-bfgs":
        options |= {"maxfun": 100 * max_iter, "ftol": 0.0, "maxcor": 20}
    watch(value_and_grad(net.params.copy())[0])
    start = net.params.copy()
    found = optimize.minimize(
        value_and_grad, start, jac=True, method=SCIPY[method], callback=after, options=options, **second
    )
    stopped = len(watch.history) - 1 < max_iter
    return best[1], float(best[0]), passes, bool(found.success) and stopped, str(found.message)
