"""One of each kind that a contributor may add, at the places that it touches, for `tests/test_new_entries.py`."""

KERNELS, PYTHON, TESTS = "src/fastbp/_engine/kernels", "src/fastbp", "tests/helpers"

# kind: {place: (what stands there, what is added before it)}; what stands there is "" for a new file
ADDED: dict[str, dict[str, tuple[str, str]]] = {
    "an activation": {
        f"{KERNELS}/activations/s_shaped.pxi": (
            "cdef Activation* softsign_entry",
            """\
cdef void wide_softsign_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z
    for i in range(whole(n)):
        z = within(Z[i], -SETTLED, SETTLED)
        Y[i] = <real> 2 * z / (<real> 1 + absolute(z))

cdef void wide_softsign_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                            double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real s
    for i in range(whole(n)):
        s = <real> 1 - <real> 0.5 * absolute(Y[i])
        dZ[i] = dY[i] * (<real> 2 * s * s)

cdef void wide_softsign_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                                  double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real s
    for i in range(whole(n)):
        s = <real> 1 - <real> 0.5 * absolute(Y[i])
        dZ[i] = dY[i] * ((<real> -4 if Y[i] > 0 else <real> 4) * s * s * s)

cdef void wide_softsign_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                               int order) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * (<real> 2 * reciprocal_order(<real> 1 - <real> 0.5 * absolute(Y[i]), Y[i] > 0, order))

cdef Activation* wide_softsign_entry = activation(
    b"wide_softsign", b"2 z / (1 + |z|)", wide_softsign_value, wide_softsign_vjp, wide_softsign_curvature)
wide_softsign_entry.higher = <HigherKernel> wide_softsign_higher


cdef void wrong_softsign_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                             double beta) noexcept nogil:
    cdef Py_ssize_t i
    wide_softsign_vjp(Z, Y, dY, dZ, n, alpha, beta)
    for i in range(whole(n)):
        dZ[i] *= <real> 1.001

cdef Activation* wrong_softsign_entry = activation(
    b"wrong_softsign", b"2 z / (1 + |z|)", wide_softsign_value, wrong_softsign_vjp, wide_softsign_curvature)
wrong_softsign_entry.higher = <HigherKernel> wide_softsign_higher


""",
        ),
        f"{TESTS}/reference/activations.py": (
            '    "elliot": (',
            "".join(
                f'    "{name}_softsign": (lambda Z: 2 * np.sign(Z) / (1 + 1 / np.abs(Z)), '
                "lambda Z: 2 / (1 + np.abs(Z)) ** 2),\n"
                for name in ("wide", "wrong")
            ),
        ),
        f"{PYTHON}/writers/activation_formats.py": (
            '    "elliot": Formats(',
            "".join(
                f"""\
    "{name}_softsign": Formats(
        torch=_formula(lambda torch, X, a, b: 2 * torch.nn.functional.softsign(X)),
        onnx=lambda X, a, b: X * 2.0 / (X.op("Abs") + 1.0),
        c="2 * z / (1 + F(fabs)(z))",
        slope=lambda g, Z, Y, a, b: _reciprocal_slope(g, Z, 2.0),
    ),
"""
                for name in ("wide", "wrong")
            ),
        ),
    },
    "a loss": {
        f"{KERNELS}/losses/regression.pxi": (
            "cdef void log_cosh(operand",
            """\
cdef void soft_l1(operand Y, operand T, operand C, const double* numbers, result losses, real* dY,
                  Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real d, root
    for i in range(whole(n)):
        d = Y[i] - T[i]
        root = square_root(<real> 1 + d * d)
        losses[i] = d * d / (<real> 1 + root)
        dY[i] = d / root

cdef void soft_l1_curvature(operand Y, operand T, operand C, const double* numbers, real* ddY,
                            Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real d, root
    for i in range(whole(n)):
        d = Y[i] - T[i]
        root = square_root(<real> 1 + d * d)
        ddY[i] = <real> 1 / (root * root * root)

loss(b"soft_l1", b"sqrt(1 + d^2) - 1, with d = Y - t", soft_l1, soft_l1_curvature)


""",
        ),
        f"{TESTS}/reference/losses.py": (
            '    "log_cosh": each(',
            '    "soft_l1": each(lambda Y, t: np.hypot(1, Y - t) - 1, lambda Y, t: (Y - t) / np.hypot(1, Y - t)),\n',
        ),
        f"{TESTS}/torch_losses.py": (
            '    "log_cosh": ',
            '    "soft_l1": lambda Y, t: (torch.sqrt(1 + (Y - t) ** 2) - 1).mean(),\n',
        ),
        "docs/losses.md": ("| `log_cosh` |  |", "| `soft_l1` |  | mean of sqrt(1 + d^2) - 1, with d = Y - t |\n"),
    },
    "an optimizer": {
        f"{KERNELS}/updates/sign_based.pxi": (
            "cdef void prepare_rprop(",
            '''\
cdef const real* plain_sign(const double* scalars, real* P, const real* G, real** states, real* scratch,
                            Py_ssize_t n) noexcept nogil:
    """P -= lr sign(G)."""
    cdef real lr = <real> scalars[0]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        P[i] -= lr if G[i] > 0 else -lr if G[i] < 0 else 0
    return G

rule(b"plain_sign", 0, 0, rate_first, plain_sign)


''',
        ),
        f"{PYTHON}/optimizers/sign_based.py": (
            "class Lion(",
            '''\
class SignSGD(Optimizer):
    """Steps of lr against the sign of the gradient: p -= lr * sign(g). Bernstein et al. 2018.

    Parameters
    ----------
    lr : float, Schedule or function, default=1e-3
        The learning rate: a number, a schedule, or a function of the step.
    weight_decay : float, default=0.0
        Decoupled weight decay: p *= 1 - lr * weight_decay before the step.
    **common
        Settings that every optimizer takes; see `Optimizer`.

    Examples
    --------
    >>> SignSGD()
    SignSGD(lr=0.001, weight_decay=0.0)
    """

    decay = "decoupled_decay"

    def __init__(self, lr: Rate = 1e-3, weight_decay: float = 0.0, **common: Unpack[Common]):
        super().__init__(lr, weight_decay, common)

    def rules(self):
        return [("plain_sign", ())]


''',
        ),
        f"{PYTHON}/__init__.pyi": (
            "from fastbp.readers.fann import",
            "from fastbp.optimizers.sign_based import SignSGD as SignSGD\n",
        ),
        f"{TESTS}/reference/rules.py": (
            '    "lion": (',
            '    "plain_sign": (lambda p, g, s, t, lr: (p - lr * np.sign(g), g, s), ()),\n',
        ),
        "tests/optimizers/test_optimizers.py": (
            '    "lion": (',
            '    "lion_without_mean": (fb.SignSGD(lr=0.01), [("plain_sign", ())]),\n',
        ),
    },
    "a layer with an op of its own": {
        f"{KERNELS}/ops/cube.pxi": (
            "",
            '''\
"""The cube, an op that only a test has."""

cdef void cube_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = X^3."""
    cdef Py_ssize_t block, i
    cdef const real* x
    cdef real* y
    for block in range(blocks(op.Y.width)):
        x, y = block_of(op.X, start, block), block_of(&op.Y, start, block)
        for i in range(numbers_in(&op.Y, start, stop)):
            y[i] = x[i] * x[i] * x[i]

cdef void cube_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX = 3 X^2 dY."""
    cdef Py_ssize_t block, i
    cdef const real* x
    cdef const real* dy
    cdef real* dx
    for block in range(blocks(op.Y.width)):
        x, dy, dx = block_of(op.X, start, block), block_of(&op.dY, start, block), block_of(op.dX, start, block)
        for i in range(numbers_in(&op.Y, start, stop)):
            dx[i] = <real> 3 * x[i] * x[i] * dy[i]

op_kind(b"cube", cube_forward, cube_backward)
''',
        ),
        f"{KERNELS}/all.pyx": ('include "ops/tangents.pxi"', 'include "ops/cube.pxi"\n'),
        f"{PYTHON}/_engine/tangent_graph.py": (
            '@tangent_rule("dropout")',
            """\
@tangent_rule("cube")
def _cube(graph, xs, ts, width, offsets, settings):
    T = None if ts[0] is None else graph.scaled(graph.op("multiply", [xs[0], xs[0], ts[0]]), 3.0)
    return graph.op("cube", xs), T


""",
        ),
        f"{PYTHON}/_engine/reverse_graph.py": (
            '@gradient_rule("prelu")',
            """\
@gradient_rule("cube")
def _cube(graph, xs, Y, G, offsets, settings):
    return [graph.scaled(graph.op("multiply", [xs[0], xs[0], G]), 3.0)]


""",
        ),
        f"{PYTHON}/layers/dense.py": (
            "class Dropout(Layer)",
            '''\
class Cube(Layer):
    """Y = X^3.

    Parameters
    ----------
    name : str, optional
        Unique in the model; "cube_1" and so on if not given.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Cube()(Input(20)).width
    20
    """

    kind = "cube"

    def __init__(self, *, name: str | None = None):
        super().__init__(name)


''',
        ),
        f"{PYTHON}/__init__.pyi": (
            "from fastbp.layers.embedding import",
            "from fastbp.layers.dense import Cube as Cube\n",
        ),
        f"{PYTHON}/writers/torch.py": ('    "slice": _slice,', '    "cube": lambda torch, step, X: X**3,\n'),
        f"{PYTHON}/writers/onnx_table.py": ('    "slice": _slice,', '    "cube": lambda step, X, p: X * X * X,\n'),
        f"{PYTHON}/writers/c_table.py": ('    "slice": _slice,', '    "cube": _each("X[i] * X[i] * X[i]"),\n'),
        f"{TESTS}/torch_twin.py": ("    fb.Dropout: ", "    fb.Cube: lambda g, p, x: x**3,\n"),
        f"{TESTS}/gated.py": ("    one = fb.PReLU(num_parameters=1)", "    h = fb.Cube()(h)\n"),
    },
    "a block of layers": {
        f"{PYTHON}/layers/blocks.py": (
            "class Highway(",
            '''\
class Twice(Block):
    """Y = X + f(X W + b).

    Parameters
    ----------
    activation : str or ActivationFunction, default="relu"
        The f above.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Twice("tanh")(Input(20)).width
    20
    """

    def __init__(self, activation: str | activations.ActivationFunction = "relu"):
        self.activation = activation

    def __call__(self, node):
        return node + Dense(node.width, self.activation)(node)


''',
        ),
        f"{PYTHON}/__init__.pyi": (
            "from fastbp.layers.constraints import",
            "from fastbp.layers.blocks import Twice as Twice\n",
        ),
        f"{TESTS}/gated.py": ("        fb.Maxout(5, pieces=3),", '        fb.Twice("tanh"),\n'),
    },
    "a callback": {
        f"{PYTHON}/callbacks/callback.py": (
            "class TerminateOnNaN(",
            '''\
class StopAfter(Callback):
    """Ends a fit after a number of epochs.

    Parameters
    ----------
    epochs : int
        The number, at least 1.
    """

    def __init__(self, epochs: int):
        self.epochs = checks.positive_int(epochs, "epochs")

    def on_epoch_end(self, trainer, epoch, logs):
        return epoch + 1 >= self.epochs


''',
        ),
        f"{PYTHON}/__init__.pyi": (
            "from fastbp.callbacks.checkpoints",
            "from fastbp.callbacks.callback import StopAfter as StopAfter\n",
        ),
        "tests/callbacks/test_stop_after.py": (
            "",
            """\
import numpy as np

import fastbp as fb


def test_stop_after():
    net = fb.Sequential(fb.Input(3), fb.Dense(2), seed=0)
    history = net.fit(np.eye(3), np.ones((3, 2)), epochs=9, callbacks=[fb.StopAfter(4)])
    assert len(history.epoch) == 4
""",
        ),
    },
}
