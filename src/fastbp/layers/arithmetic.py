"""Powers, logarithms and sums of the columns: layers without parameters, made by `node ** 2`, `fb.log`, `fb.sum`.

Numbers beyond a function's domain follow IEEE arithmetic, as in NumPy (docs/conventions.md); nothing is clipped.
"""

from fastbp.inputs import checks
from fastbp.layers.layer import Layer


class Power(Layer):
    """Y = X ** exponent, element by element; `x ** 3` and `fb.sqrt(x)` create it.

    A whole exponent up to 64 is computed by products, 0.5 and -0.5 by a square root. A negative number to a power that
    is not whole is NaN, and 0 to a negative power is infinite.

    Parameters
    ----------
    exponent : float
        A constant that is not trained.
    name : str, optional
        Unique in the model; "power_1" and so on if not given.

    See Also
    --------
    sqrt : The square root.
    Log : The logarithm.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Power(3)(Input(5)).width, (Input(5) ** -0.5).width
    (5, 5)
    """

    kind = "power"

    def __init__(self, exponent: float, *, name: str | None = None):
        super().__init__(name)
        self.exponent = checks.in_range(exponent, "exponent")

    def settings(self):
        return {"name": self.name, "exponent": self.exponent}

    def op(self, number, *widths):
        return {"alpha": self.exponent}

    def describe(self):
        return f"Power {self.exponent:g}"


class Log(Layer):
    """Y = log X, the natural logarithm; -inf at 0, NaN below. `fb.log(x)` creates it.

    Parameters
    ----------
    name : str, optional
        Unique in the model; "log_1" and so on if not given.

    See Also
    --------
    log : Creates it.
    exp : The inverse.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Log()(Input(5)).width
    5
    """

    kind = "log"

    def __init__(self, *, name: str | None = None):
        super().__init__(name)

    def settings(self):
        return {"name": self.name}


class Sum(Layer):
    """Y[n, 0] = the sum over j of X[n, j]; its gradient goes to every column. `fb.sum(x)` creates it.

    Parameters
    ----------
    name : str, optional
        Unique in the model; "sum_1" and so on if not given.

    See Also
    --------
    sum : Creates it.
    Mean : Divided by the width.
    Add : Over nodes.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Sum()(Input(5)).width
    1
    """

    kind = "sum"
    verb = "distributed"

    def __init__(self, *, name: str | None = None):
        super().__init__(name)

    def output_width(self, width):
        return 1

    def settings(self):
        return {"name": self.name}

    def op(self, number, width):
        return {"alpha": 1.0}


class Mean(Sum):
    """Y[n, 0] = the mean over j of X[n, j]; its gradient goes to every column. `fb.mean(x)` creates it.

    Parameters
    ----------
    name : str, optional
        Unique in the model; "mean_1" and so on if not given.

    See Also
    --------
    mean : Creates it.
    Sum : Not divided by the width.
    Average : Over nodes.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Mean()(Input(5)).width
    1
    """

    def op(self, number, width):
        return {"alpha": 1 / width}
