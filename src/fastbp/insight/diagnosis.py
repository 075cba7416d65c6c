"""Diagnosis: finds vanishing and exploding gradients, dead and saturated units from one pass.

The limits below are conventions, far from the values of ordinary networks, so that a verdict is significant.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastbp import _engine
from fastbp._optional import package
from fastbp._typing import Arrays, Axes, DataFrame, LossLike
from fastbp.derivatives.first_order import rows_of
from fastbp.inputs import checks
from fastbp.insight import learning
from fastbp.network.network import Network
from fastbp.plotting import text
from fastbp.plotting.svg import readable
from fastbp.training.objective import Objective

VANISHED = 1e-3  # of the last layer's gradient
EXPLODED = 1e3
NARROW = 1e-5  # of the largest number: the least range of a histogram
UPDATED = 0.5  # of the weights, in one step
DEAD = 0.75  # of the units
SATURATED = 0.75  # of the numbers
GRADIENT, WEIGHT = (_engine.FIGURES.index(name) for name in ("gradient", "weight"))
NOT_LEARNING, MISFIT = "not learning", "misfit"  # verdicts on the net as a whole
VERDICTS = ("exploding", "dead", "vanishing", "saturated", "healthy")  # the first that any node has is the net's
CAUSES = {
    "exploding": "rate",
    "dead": "rate",
    "vanishing": "depth",
    "saturated": "rate",
}  # the usual cause of each verdict, unless it is the data
REMEDIES = {
    "exploding": "a smaller learning rate, clip_by_global_norm, LayerNorm between the layers, or smaller start weights",
    "dead": 'biases that start at 0, a smaller learning rate, "leaky_relu", or he_normal start weights',
    "vanishing": '"relu" instead of an activation with small slopes, Residual blocks, LayerNorm, or he_normal start '
    "weights",
    "saturated": 'inputs of a scale near 1, smaller start weights, LayerNorm before the activation, or "relu"',
    "healthy": "",
}


class Figures(NamedTuple):
    """The figures of one node; NaN where one does not apply.

    `gradient` is the root mean square of dLoss/dZ of a Dense layer, of dLoss/dY of another node; `relative` divides it
    by the last layer's gradient; `bound` is the largest product of slopes that the activations from here to the output
    allow; `update` is |dW| / |W|, times the learning rate if one was given.
    """

    name: str
    op: str
    mean: float
    std: float
    saturated: float
    dead: float
    gradient: float
    relative: float
    bound: float
    weight: float
    weight_gradient: float
    update: float
    verdict: str
    reason: str


class Diagnosis:
    """The figures of every node, a verdict on the network, and remedies.

    Attributes
    ----------
    verdict : str
        "exploding", "dead", "vanishing", "saturated", "misfit" (the output layer and the loss), "not learning" (the
        loss is not below that of the best constant) or "healthy".
    cause : str
        "data", "output", "loss", "rate" or "depth"; "" of a healthy net.
    reason : str
        The figures behind the verdict.
    remedies : str
        What to try.
    loss : float
        The loss of X and y.
    constant : float
        The loss of the best constant, which knows nothing of the inputs.
    nodes : list of Figures
        The figures of each node.

    See Also
    --------
    diagnose : Creates one.
    Explanation : Figures of one sample.

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(1, weights="zeros"))
    >>> diagnose(net, np.eye(2), [0.0, 2.0]).loss
    2.0
    """

    ALIGN: ClassVar[str] = "<<>>>>>>><"  # the alignment of the columns of `table`

    def __init__(
        self,
        loss: float,
        nodes: list[Figures],
        histograms: list,
        base: learning.Baseline,
        misfit: learning.Cause | None = None,
        cause: learning.Cause | None = None,
    ):
        self.loss, self.constant = loss, base.loss
        self.nodes = nodes
        self.histograms = histograms
        worst = next(v for v in VERDICTS if v == "healthy" or any(node.verdict == v for node in nodes))
        sick = [node for node in nodes if node.verdict == worst]
        learns = base.beaten(loss)
        against = f"its loss, {readable(loss)}, is {'below' if learns else 'not below'} that of the best constant, "
        against += readable(base.loss)
        others = f", and {len(sick) - 1} more" if len(sick) > 1 else ""
        self.verdict, self.cause, self.remedies = worst, CAUSES.get(worst, ""), REMEDIES[worst]
        self.reason = f"{sick[0].name}: {sick[0].reason}{others}; {against}" if sick else against
        if worst == "healthy":
            self.reason = f"every layer gets a gradient, its units work, and {against}"
        if misfit and math.isfinite(loss):
            self.verdict, self.cause, self.remedies = MISFIT, misfit.name, misfit.remedy
            self.reason = f"{misfit.name}: {misfit.reason}; {against}"
        elif cause and worst == "healthy":
            self.verdict, self.cause, self.remedies = NOT_LEARNING, cause.name, cause.remedy
            self.reason = f"{against}; {cause.name}: {cause.reason}"
        elif cause:
            self.cause, self.remedies = cause.name, f"{cause.remedy}; or {self.remedies}"
            self.reason = f"{self.reason}; {cause.name}: {cause.reason}"

    def to_dict(self) -> dict:
        """All but the histograms, JSON-serializable."""
        nodes = [node._asdict() for node in self.nodes]
        return {
            "verdict": self.verdict,
            "cause": self.cause,
            "reason": self.reason,
            "remedies": self.remedies,
            "loss": self.loss,
            "constant": self.constant,
            "nodes": nodes,
        }

    def to_frame(self) -> DataFrame:
        """The figures as a pandas DataFrame, one row per node.

        Returns
        -------
        pandas.DataFrame
            One row per node.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = package("pandas", "Diagnosis.to_frame")
        return pandas.DataFrame([node._asdict() for node in self.nodes]).set_index("name")

    def plot(self, ax: Sequence[Axes] | None = None) -> Sequence[Axes]:
        """Plot gradients by layer, fractions of dead and saturated units, and histograms of the activations.

        Parameters
        ----------
        ax : sequence of three Axes, optional
            Where to draw; new Axes if not given.

        Returns
        -------
        sequence of three Axes
            The Axes that were drawn on.
        """
        from fastbp.plotting import diagnosis

        return diagnosis.draw(self.nodes, self.histograms, self.verdict, ax)

    def table(self) -> list[tuple[str, ...]]:
        """The column headings, and a row for each node."""
        heads = ("node", "op", "mean", "std", "saturated", "dead", "gradient", "relative", "update", "verdict")
        rows: list[tuple[str, ...]] = [heads]
        for node in self.nodes:
            shares = [text.percent(node.saturated), text.percent(node.dead)]
            numbers = [text.number(node.gradient), text.number(node.relative), text.number(node.update)]
            rows.append(
                (node.name, node.op, text.number(node.mean), text.number(node.std), *shares, *numbers, node.verdict)
            )
        return rows

    def chart(self) -> str:
        """The gradients by node as an SVG element, without matplotlib."""
        from fastbp.plotting import svg

        names, gradients = [node.name for node in self.nodes], [node.gradient for node in self.nodes]
        ill = [node.verdict != "healthy" for node in self.nodes]
        return svg.dots(names, gradients, ill, "gradient by node", "gradient (root mean square of dLoss/dZ)")

    def words(self) -> list[str]:
        """The verdict with its reason, and what to try."""
        lines = [f"{self.verdict}: {self.reason}"]
        return [*lines, f"try {self.remedies}"] if self.remedies else lines

    def _repr_html_(self) -> str:
        from fastbp.plotting import html

        head, *rows = self.table()
        words = map(html.paragraph, self.words()[1:])
        return html.titled(self.words()[0], *words, self.chart(), html.table(head, rows, self.ALIGN))

    def __str__(self):
        return "\n".join([*text.columns(self.table(), self.ALIGN), "", *self.words()])

    def __repr__(self):
        return f"<Diagnosis {self.verdict}: {self.reason}>"


def diagnose(
    net: Network, X: Arrays, y: Arrays, loss: LossLike = "mse", *, lr: float | None = None, max_rows: int = 4096
) -> Diagnosis:
    """Diagnose a network by one forward and backward pass, without dropout; the network does not change.

    Parameters
    ----------
    net : Network
        The network to diagnose.
    X : array of shape (rows, inputs), or a tuple of them
        The inputs; a tuple for several.
    y : array of labels or values, or a tuple of them
        The targets; a tuple for several outputs.
    loss : str or function, or a tuple of them, default="mse"
        A name in `fastbp.losses`, a loss, or a function (Y, t) -> (value, dY).
    lr : float, optional
        The learning rate of plain gradient descent, to judge the size of its steps; not judged if not given.
    max_rows : int, default=4096
        The maximum number of rows to use, spread evenly over X.

    Returns
    -------
    Diagnosis
        The verdict and the figures of each node; printing it shows a table.

    See Also
    --------
    explain : One sample, node by node.

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential
    >>> layers = [Dense(8, "sigmoid") for _ in range(20)]
    >>> net = Sequential(Input(4), *layers, Dense(1), seed=0)
    >>> diagnose(net, np.eye(4), np.zeros(4)).verdict
    'vanishing'
    """
    xs, _ = rows_of(net, X)
    objective = Objective(loss, net, refuse_shares=False)
    ts = objective.targets(y, len(xs[0]))
    lr = None if lr is None else checks.in_range(lr, "lr", 0.0)
    most = checks.positive_int(max_rows, "max_rows")
    if len(xs[0]) > most:
        picked = np.linspace(0, len(xs[0]) - 1, most).astype(int)
        xs, ts = (tuple(np.ascontiguousarray(A[picked]) for A in arrays) for arrays in (xs, ts))
    value, table, bounds, values = net.programs.derivatives.figures(xs, ts, objective)
    nodes = [node for node in net.nodes if node.layer is not None]
    histograms = [_histogram(values[k]) for k, node in enumerate(net.nodes) if node.layer is not None]
    figures = judged(nodes, table, bounds, lr)
    base = learning.baseline(objective, ts, net.dtype)
    misfit, cause = learning.misfit(net, objective, ts), None
    if not base.beaten(value) and math.isfinite(value):
        if any(node.verdict != "healthy" for node in figures):
            cause = learning.of_data(net, xs, ts, objective)
        else:
            updates = [] if lr is None else [node.update for node in figures]
            cause = learning.cause(net, xs, ts, objective, values, updates)
    return Diagnosis(value, figures, histograms, base, misfit, cause)


def judged(nodes, table: np.ndarray, bounds, lr: float | None) -> list[Figures]:
    """Figures of nodes from the engine's table."""
    columns = dict(zip(_engine.FIGURES, table.T, strict=True))
    last = last_gradient(table)
    paths = _path_bounds(nodes, bounds)
    found = []
    for k, node in enumerate(nodes):
        own: dict[str, Any] = {name: float(column[k]) for name, column in columns.items()}
        update = own["weight_gradient"] / own["weight"] if own["weight"] > 0 else math.nan
        update *= 1.0 if lr is None else lr
        relative = own["gradient"] / last if last > 0 else math.nan
        verdict, reason = _verdict(own, relative, paths[k], 0.0 if lr is None else update)
        extra = {"relative": relative, "bound": paths[k], "update": update, "verdict": verdict, "reason": reason}
        found.append(Figures(node.name, node.layer.describe(), **own, **extra))
    return found


def last_gradient(table: np.ndarray) -> float:
    """The gradient of the last layer with weights; NaN without any."""
    for figures in table[::-1]:
        if figures[WEIGHT] == figures[WEIGHT]:
            return float(figures[GRADIENT])
    return math.nan


def _verdict(own, relative, bound, update):
    weighted = not math.isnan(own["weight"])
    if not all(math.isfinite(own[name]) for name in ("mean", "std", "gradient")):
        return "exploding", "its numbers are not finite"
    if own["dead"] >= DEAD:
        return "dead", f"{text.percent(own['dead'])} of its units are 0 for every row"
    if weighted and relative < VANISHED:
        why = f"its gradient is {relative:.1e} of the last layer's; slopes on the way allow {bound:.1e} at most"
        return "vanishing", why
    if weighted and relative > EXPLODED:
        return "exploding", f"its gradient is {relative:.1e} of the last layer's"
    if update > UPDATED and own["weight_gradient"] > 0:
        return "exploding", f"one step moves its weights by {update:.1e} of their norm"
    if own["saturated"] >= SATURATED:
        return "saturated", f"{text.percent(own['saturated'])} of its numbers lie where the slope is almost 0"
    return "healthy", ""


def _path_bounds(nodes, bounds):
    """For each node the largest product of slopes from it to an output."""
    best = {}
    for node, bound in zip(reversed(nodes), reversed(list(bounds)), strict=True):
        best[node] = bound * max((best[child] for child in nodes if node in child.parents), default=1.0)
    return [best[node] for node in nodes]


def _histogram(values):
    """Counts and edges of 40 bins, for any finite numbers: also nearly equal ones, or ones close to overflow."""
    values = values[np.isfinite(values)].astype(np.float64)
    size = float(np.abs(values).max(initial=0.0)) or 1.0
    values = values / size if values.size else np.zeros(1)  # else the range could overflow
    low, high = float(values.min()), float(values.max())
    if high - low < NARROW:
        low, high = low - NARROW / 2, high + NARROW / 2
    counts, edges = np.histogram(values, bins=40, range=(low, high))
    return counts, np.clip(edges, -1.0, 1.0) * size if size > 1e300 else edges * size
