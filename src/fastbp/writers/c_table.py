"""The table of the C writer: the code of each kind of op; `activation_formats` has the activations.

A kind of op returns the lines of a block of the function that computes one row; `real` is float or double, and F(name)
the function of math.h for it.
"""

from collections.abc import Callable

import numpy as np

from fastbp.writers.steps import Step, taken_apart

FORM = "C"
# A dense layer's product; the only function in the C file that is not an activation.
DENSE = """\
static void dense(const real *W, const real *b, const real *x, real *y, int inputs, int units)
{
    int i, j;
    for (j = 0; j < units; j++) y[j] = b ? b[j] : 0;
    for (i = 0; i < inputs; i++)
        for (j = 0; j < units; j++) y[j] += x[i] * W[i * units + j];
}
"""
# LU decomposition with partial pivoting, in double; the inverse is solved for column by column of the identity.
LOG_DET = """\
static double log_det(const real **x, real *y, int n)
{
    double A[MOST][MOST];
    double v[MOST], total = 0, t;
    int rows[MOST], i, j, k, best;
    for (i = 0; i < n; i++) {
        rows[i] = i;
        for (j = 0; j < n; j++) A[i][j] = x[j][i];
    }
    for (k = 0; k < n; k++) {
        best = k;
        for (i = k + 1; i < n; i++)
            if (fabs(A[i][k]) > fabs(A[best][k])) best = i;
        i = rows[k], rows[k] = rows[best], rows[best] = i;
        for (j = 0; j < n; j++) t = A[k][j], A[k][j] = A[best][j], A[best][j] = t;
        total += log(fabs(A[k][k]));
        for (i = k + 1; i < n; i++) {
            A[i][k] /= A[k][k];
            for (j = k + 1; j < n; j++) A[i][j] -= A[i][k] * A[k][j];
        }
    }
    for (k = 0; y && k < n; k++) {
        for (i = 0; i < n; i++) {
            v[i] = rows[i] == k;
            for (j = 0; j < i; j++) v[i] -= A[i][j] * v[j];
        }
        for (i = n - 1; i >= 0; i--) {
            for (j = i + 1; j < n; j++) v[i] -= A[i][j] * v[j];
            v[i] /= A[i][i];
        }
        for (i = 0; i < n; i++) y[k * n + i] = (real)v[i];
    }
    return total;
}
"""
FUNCTIONS = {"dense": DENSE, "log_det": LOG_DET, "inverse": LOG_DET}


class Names:
    """The names in a step's block: its inputs xs, its output y, its parameters p; n is the output's width."""

    def __init__(self, xs: list[str], widths: list[int], y: str, p: dict[str, str], number: Callable[[float], str]):
        self.xs, self.widths, self.y, self.p, self.number = xs, widths, y, p, number


def _each(expression: str) -> Callable:
    """A loop over the columns, of an expression in X, the first input, and the op's two numbers."""

    def write(step: Step, names: Names) -> list[str]:
        body = expression.replace("X[", f"{names.xs[0]}[") if names.xs else expression
        body = body.replace("ALPHA", names.number(step.alpha)).replace("BETA", names.number(step.beta))
        return [f"for (i = 0; i < {step.width}; i++) {names.y}[i] = {body};"]

    return write


def _joined(operator: str) -> Callable:
    def write(step: Step, names: Names) -> list[str]:
        terms = f" {operator} ".join(f"{x}[i]" for x in names.xs)
        terms = terms if step.alpha in (0, 1) else f"({terms}) * {names.number(step.alpha)}"
        return [f"for (i = 0; i < {step.width}; i++) {names.y}[i] = {terms};"]

    return write


def _extreme(sign: str) -> Callable:
    def write(step: Step, names: Names) -> list[str]:
        first, *others = names.xs
        lines = [f"for (i = 0; i < {step.width}; i++) {names.y}[i] = {first}[i];"]
        y = f"{names.y}[i]"
        return lines + [f"for (i = 0; i < {step.width}; i++) {y} = {x}[i] {sign} {y} ? {x}[i] : {y};" for x in others]

    return write


def _dense(step: Step, names: Names) -> list[str]:
    inputs, units = step.arrays["W"].shape
    bias = names.p.get("b", "0")
    return [f"dense({names.p['W']}, {bias}, {names.xs[0]}, {names.y}, {inputs}, {units});"]


def _concatenate(step: Step, names: Names) -> list[str]:
    starts = np.cumsum([0, *names.widths[:-1]]).tolist()
    return [
        f"for (i = 0; i < {width}; i++) {names.y}[{start} + i] = {x}[i];"
        for x, width, start in zip(names.xs, names.widths, starts, strict=True)
    ]


def _slice(step: Step, names: Names) -> list[str]:
    columns = step.columns()
    return [f"for (i = 0; i < {step.width}; i++) {names.y}[i] = {names.xs[0]}[{columns.start} + i * ({columns.step})];"]


def _values(step: Step, names: Names) -> list[str]:
    values = step.settings.get("values")
    if values is None:
        return _each("ALPHA")(step, names)
    return [f"{names.y}[{i}] = {names.number(value)};" for i, value in enumerate(values)]


def _parameter(step: Step, names: Names) -> list[str]:
    return [f"for (i = 0; i < {step.width}; i++) {names.y}[i] = {names.p['value']}[i];"]


def _power(step: Step, names: Names) -> list[str]:
    x, exponent = f"{names.xs[0]}[i]", step.alpha
    power = f"F(sqrt)({x})" if exponent == 0.5 else f"F(pow)({x}, {names.number(exponent)})"
    return [f"for (i = 0; i < {step.width}; i++) {names.y}[i] = {power};"]


def _sum(step: Step, names: Names) -> list[str]:
    x, y = names.xs[0], f"{names.y}[0]"
    scale = [] if step.alpha == 1 else [f"{y} *= {names.number(step.alpha)};"]
    return [f"{y} = 0;", f"for (i = 0; i < {names.widths[0]}; i++) {y} += {x}[i];", *scale]


def _embedding(step: Step, names: Names) -> list[str]:
    width = step.arrays["W"].shape[1]
    row = f"(int)({names.xs[0]}[i / {width}])"
    return [f"for (i = 0; i < {step.width}; i++) {names.y}[i] = {names.p['W']}[{row} * {width} + i % {width}];"]


def _norm(centred: bool) -> Callable:
    def write(step: Step, names: Names) -> list[str]:
        n, x, y = step.width, names.xs[0], names.y
        gamma = f" * {names.p['gamma']}[i]" if "gamma" in names.p else ""
        beta = f" + {names.p['beta']}[i]" if "beta" in names.p else ""
        deviation = f"({x}[i] - mean)" if centred else f"{x}[i]"
        lines = ["real square = 0;"]
        if centred:
            lines = ["real mean = 0, square = 0;", f"for (i = 0; i < {n}; i++) mean += {x}[i];", f"mean /= {n};"]
        return [
            *lines,
            f"for (i = 0; i < {n}; i++) square += {deviation} * {deviation};",
            f"square = F(sqrt)(square / {n} + {names.number(step.alpha)});",
            f"for (i = 0; i < {n}; i++) {y}[i] = {deviation} / square{gamma}{beta};",
        ]

    return write


def _batch_norm(step: Step, names: Names) -> list[str]:
    """(X - mean) / sqrt(variance + eps), then gamma and beta."""
    p = names.p
    gamma = f" * {p['gamma']}[i]" if "gamma" in p else ""
    beta = f" + {p['beta']}[i]" if "beta" in p else ""
    root = f"F(sqrt)({p['variance']}[i] + {names.number(step.alpha)})"
    value = f"({names.xs[0]}[i] - {p['mean']}[i]) / {root}{gamma}{beta}"
    return [f"for (i = 0; i < {step.width}; i++) {names.y}[i] = {value};"]


def _prelu(step: Step, names: Names) -> list[str]:
    alpha = f"{names.p['alpha']}[{'i' if step.arrays['alpha'].size > 1 else 0}]"
    x = f"{names.xs[0]}[i]"
    return [f"for (i = 0; i < {step.width}; i++) {names.y}[i] = {x} <= 0 ? {alpha} * {x} : {x};"]


def _matrix(kind: str) -> Callable:
    """Log |det| of the matrix with the inputs as columns, or its inverse's transpose."""

    def write(step: Step, names: Names) -> list[str]:
        n, found = len(names.xs), f"const real *columns[] = {{{', '.join(names.xs)}}};"
        if kind == "inverse":
            return [found, f"log_det(columns, {names.y}, {n});"]
        return [found, f"{names.y}[0] = (real)log_det(columns, 0, {n});"]

    return write


def _square_product(step: Step, names: Names) -> list[str]:
    """A B of two square matrices; B is transposed if `step` is 2."""
    n, (a, b) = step.settings["first"], names.xs
    other = "i % N * N + k" if step.settings["step"] == 2 else "k * N + i % N"
    term = f"{a}[i / N * N + k] * {b}[{other}]".replace("N", str(n))
    return [
        "real total;",
        f"for (i = 0; i < {n * n}; i++) {{",
        "    int k;",
        "    total = 0;",
        f"    for (k = 0; k < {n}; k++) total += {term};",
        f"    {names.y}[i] = total;",
        "}",
    ]


# kind: (step, names) -> lines; an empty list for a no-op
KINDS: dict[str, Callable[[Step, Names], list[str]]] = {
    "derivative": taken_apart,
    "dense": _dense,
    "activation": _each("X[i]"),
    "dropout": _each("X[i]"),
    "embedding": _embedding,
    "prelu": _prelu,
    "affine": _each("ALPHA * X[i] + BETA"),
    "add": _joined("+"),
    "subtract": _joined("-"),
    "multiply": _joined("*"),
    "maximum": _extreme(">"),
    "minimum": _extreme("<"),
    "concatenate": _concatenate,
    "slice": _slice,
    "broadcast": _each("X[0]"),
    "constant": _values,
    "parameter": _parameter,
    "divide": _joined("/"),
    "power": _power,
    "log": _each("F(log)(X[i])"),
    "sum": _sum,
    "layer_norm": _norm(True),
    "rms_norm": _norm(False),
    "batch_norm": _batch_norm,
    "slope_threshold": _each("X[i] > ALPHA"),
    "slope_gelu": _each(
        "K(0.5) * F(erfc)(-X[i] * K(0.7071067811865476)) + X[i] * F(exp)(K(-0.5) * X[i] * X[i]) * K(0.3989422804014327)"
    ),
    "log_det": _matrix("log_det"),
    "inverse": _matrix("inverse"),
    "square_product": _square_product,
}
IMPOSSIBLE = {"python": "its functions are Python's"}
