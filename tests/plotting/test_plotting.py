"""Pictures: what stands in them, on whose Axes, what they refuse; and what notebooks show without matplotlib.

How they look was judged by eye; here the numbers in the artists are compared with those that went in.
"""

import sys
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

import fastbp as fb
from fastbp import plotting
from fastbp.plotting import html, svg

mpl.use("Agg")
from matplotlib import pyplot as plt

from tags import HOSTILE, Tags

SPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.subplots()[1]


@pytest.fixture
def history():
    X, y = fb.datasets.digits()
    net = fb.Sequential(fb.Input(64), fb.Dense(10), seed=0)
    data = {"validation_data": (X[300:350], y[300:350]), "metrics": ["accuracy"]}
    return net.fit(X[:300], y[:300], loss="cross_entropy", epochs=4, **data)


def labels_of(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_history_draws_its_losses(history, ax) -> None:
    assert history.plot(ax=ax) is ax
    assert labels_of(ax) == ["loss", "val_loss"]
    for line, name in zip(ax.lines, ("loss", "val_loss"), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
        np.testing.assert_array_equal(line.get_ydata(), history.history[name])
    assert labels_of(history.plot("accuracy")) == ["accuracy"]
    with pytest.raises(ValueError, match=r"unknown number of the history 'acc'; known: accuracy, loss, val_"):
        history.plot("acc")


def test_curves_of_several_runs(history) -> None:
    wide = {"loss": [100.0, 1.0, np.nan]}
    ax = plotting.loss_curves({"a": history, "b": wide})
    assert labels_of(ax) == ["a: loss", "a: val_loss", "b: loss"]
    styles = [(line.get_color(), line.get_linestyle()) for line in ax.lines]
    assert styles[0][0] == styles[1][0] != styles[2][0]
    assert [style for _, style in styles] == ["-", "--", "-"]
    assert ax.get_yscale() == "log"
    assert labels_of(plotting.loss_curves([history, history], "loss")) == ["run 1: loss", "run 2: loss"]
    with pytest.raises(TypeError, match="runs must be a History, or a dict or list of them, got int"):
        plotting.loss_curves(3)


def test_losses_near_each_other_are_drawn_evenly(history) -> None:
    assert history.plot().get_yscale() == "linear"
    assert plotting.loss_curves({"loss": [-1.0, 300.0]}).get_yscale() == "linear"


def test_the_confusion_is_that_of_scikit_learn(rng, ax) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    y, outputs = rng.integers(5, size=83), rng.normal(size=(83, 5))
    wanted = metrics.confusion_matrix(y, outputs.argmax(axis=1), labels=range(5))
    np.testing.assert_array_equal(plotting.confusion(y, outputs), wanted)
    np.testing.assert_array_equal(plotting.confusion(y, outputs.argmax(axis=1), 5), wanted)
    assert plotting.confusion_matrix(y, outputs, "abcde", ax=ax) is ax
    shown = {(round(t.get_position()[1]), round(t.get_position()[0])): int(t.get_text()) for t in ax.texts}
    assert shown == {(row, column): wanted[row, column] for row, column in zip(*np.nonzero(wanted), strict=True)}
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list("abcde")


def test_what_confusion_refuses() -> None:
    for y, predicted, words in (
        ([0, 1], [0], "predicted has 1 rows, y has 2"),
        ([0.5], [0], "y must hold class numbers from 0 on"),
        ([0, -1], [0, 0], "y must hold class numbers from 0 on"),
        ([], [], "y has no rows"),
    ):
        with pytest.raises(ValueError, match=words):
            plotting.confusion_matrix(y, predicted)
    with pytest.raises(ValueError, match="predicted has class 2, there are names for 2"):
        plotting.confusion_matrix([0, 1], [1, 2], ["a", "b"])


def test_residuals(rng, ax) -> None:
    y, predicted = rng.normal(size=(37, 1)), rng.normal(size=37).astype(np.float32)
    assert plotting.residuals(y, predicted, ax=ax) is ax
    drawn = ax.collections[0].get_offsets()
    np.testing.assert_allclose(drawn, np.stack([predicted, predicted - y[:, 0]], axis=1), rtol=1e-6)
    with pytest.raises(ValueError, match=r"y must have shape \(rows,\) or \(rows, 1\), got \(3, 2\)"):
        plotting.residuals(np.ones((3, 2)), np.ones(3))


def line_at(x: float):
    """A classifier whose border is the vertical line at x, as logits of two classes."""
    return lambda X: np.stack([x - X[:, 0], X[:, 0] - x], axis=1)


def test_the_boundary_lies_where_the_classes_meet(rng, ax) -> None:
    X = rng.uniform(-1, 2, size=(50, 2))
    y = (X[:, 0] > 0.4).astype(int)
    assert plotting.decision_boundary(line_at(0.4), X, y, names=["left", "right"], ax=ax) is ax
    assert labels_of(ax) == ["left", "right"]
    border = np.vstack([path.vertices for c in ax.collections if hasattr(c, "levels") for path in c.get_paths()])
    np.testing.assert_allclose(border[:, 0], 0.4, atol=1e-2)
    points = [c.get_offsets() for c in ax.collections if len(c.get_offsets()) > 1]
    assert [len(each) for each in points] == [np.sum(y == 0), np.sum(y == 1)]
    left, right = ax.images[0].get_array()[:, [0, -1]].mean(axis=0)
    assert left[0] < left[2]  # blue
    assert right[0] > right[2]  # orange


@pytest.mark.parametrize("form", ["logit", "probabilities", "labels", "estimator", "model"])
def test_every_form_of_a_classifier_gives_the_same_border(rng, form) -> None:
    X = rng.uniform(-1, 1, size=(20, 2))
    sigmoid = lambda X: 1 / (1 + np.exp(-3 * X[:, :1]))  # noqa: E731
    forms = {
        "logit": lambda X: 3 * X[:, :1],
        "probabilities": lambda X: np.hstack([1 - sigmoid(X), sigmoid(X)]),
        "labels": lambda X: (X[:, 0] > 0).astype(int),
        "estimator": type("E", (), {"predict_proba": lambda self, X: np.hstack([1 - sigmoid(X), sigmoid(X)])})(),
        "model": fb.Sequential(fb.Input(2), fb.Dense(1, weights=np.array([[3.0], [0.0]]))),
    }
    ax = plotting.decision_boundary(forms[form], X, resolution=101)
    border = np.vstack([path.vertices for c in ax.collections if hasattr(c, "levels") for path in c.get_paths()])
    np.testing.assert_allclose(border[:, 0], 0, atol=0.02)


def test_an_estimator_with_classes_by_name(rng) -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    X = rng.uniform(-1, 1, size=(60, 2))
    y = np.where(X[:, 0] > 0, "right", "left")
    ax = plotting.decision_boundary(neighbors.KNeighborsClassifier(9).fit(X, y), X, y, resolution=50)
    assert labels_of(ax) == ["left", "right"]
    left = next(c.get_offsets() for c in ax.collections if c.get_label() == "left")
    np.testing.assert_array_equal(left, X[y == "left"])


def test_a_net_and_its_labels(ax) -> None:
    net = fb.Sequential(fb.Input(2), fb.Dense(3), seed=0)
    plotting.decision_boundary(net, np.eye(2), np.array([0, 5]))
    with pytest.raises(ValueError, match=r"decision_boundary wants X of shape \(rows, 2\), got \(4, 3\)"):
        plotting.decision_boundary(net, np.ones((4, 3)))


def test_intervals_are_bands_from_outside_to_inside(ax) -> None:
    x, offsets = np.linspace(0, 3, 17), np.array([-3.0, -1.0, 0.0, 1.0, 3.0])
    plotting.prediction_interval(lambda X: X + offsets, x, x, quantiles=[0.05, 0.25, 0.5, 0.75, 0.95], ax=ax)
    assert labels_of(ax) == ["90 %", "50 %", "quantile 0.5"]
    ends = sorted(
        tuple(np.round(np.sort(c.get_paths()[0].vertices[c.get_paths()[0].vertices[:, 0] == 0, 1])[[0, -1]], 9))
        for c in ax.collections
        if len(c.get_paths()) and len(c.get_paths()[0].vertices) > 100
    )
    assert ends == [(-3, -1), (-1, 1), (1, 3)]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), ax.lines[0].get_xdata())
    assert labels_of(plotting.prediction_interval(lambda X: X + offsets[:2], x)) == ["output 0", "output 1"]
    for quantiles in ([0.5], [0.9, 0.1], [0.1, 2.0]):
        with pytest.raises(ValueError, match="quantiles"):
            plotting.prediction_interval(lambda X: X + offsets[:2], x, quantiles=quantiles)


def test_weights(ax) -> None:
    net = fb.Sequential(fb.Input(5), fb.Dense(4), fb.Dense(3), seed=0)
    assert plotting.weights(net, ax=ax) is ax
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["dense_1.W", "dense_2.W"]
    net.params[...] = 0
    plotting.weights(net)
    x = fb.Input(3)
    with pytest.raises(ValueError, match="no weights"):
        plotting.weights(fb.Model(x, x * 2))


def test_a_diagnosis_draws_on_three_axes() -> None:
    X, y = fb.datasets.digits()
    net = fb.Sequential(fb.Input(64), *[fb.Dense(8, "sigmoid") for _ in range(9)], fb.Dense(10), seed=0)
    axes = plt.subplots(1, 3)[1]
    report = fb.diagnose(net, X, y, "cross_entropy")
    assert report.plot(axes) is axes
    ill = sum(node.verdict != "healthy" for node in report.nodes)
    assert [len(c.get_offsets()) for c in axes[0].collections] == [10 - ill, ill]
    assert axes[0].yaxis_inverted()


def test_without_matplotlib(monkeypatch, history) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="loss_curves needs matplotlib: pip install matplotlib"):
        history.plot()
    assert "<svg" in history._repr_html_()


# Charts of our own and what notebooks show


def test_a_table_shows_text_as_text() -> None:
    tags = Tags(html.titled(HOSTILE, html.table([HOSTILE, "n"], [[HOSTILE, "1"]], "<>"), html.paragraph(HOSTILE)))
    assert "script" not in tags.found
    assert tags.texts.count(HOSTILE) == 4


def test_charts_show_text_as_text_and_are_xml() -> None:
    for chart in (
        svg.lines({HOSTILE: [1.0, 2.0]}, HOSTILE, HOSTILE, HOSTILE),
        svg.points(np.arange(3), np.arange(3), HOSTILE, HOSTILE, HOSTILE, "zero"),
        svg.dots([HOSTILE], [0.5], [True], HOSTILE, HOSTILE),
        svg.matrix(np.eye(2, dtype=int), [HOSTILE, "b"], HOSTILE, HOSTILE, HOSTILE),
    ):
        root = ET.fromstring(chart)
        assert not [node.tag for node in root.iter() if "script" in node.tag]
        assert HOSTILE in [node.text for node in root.iter()]


def path_of(chart: str, color: str) -> list[list[tuple[float, float]]]:
    """The pieces of the line in a colour, of the longest path in it."""
    paths = [node.get("d") for node in ET.fromstring(chart).iter(f"{SPACE}path") if node.get("stroke") == color]
    pieces = max(paths, key=len).split("M")[1:]
    return [[tuple(map(float, point.split())) for point in piece.split("L")] for piece in pieces]


def test_a_line_goes_through_its_numbers_and_leaves_gaps() -> None:
    values = [3.0, 2.0, np.nan, 2.0, 1.0, np.inf]
    first, second = path_of(svg.lines({"a": values}, "t"), svg.COLORS[0])
    assert [x for x, _ in first + second] == sorted(x for x, _ in first + second)
    (_, top), (_, middle) = first
    (_, again), (_, bottom) = second
    assert top < middle == again < bottom
    assert middle - top == pytest.approx(bottom - middle, abs=0.2)


def test_a_logarithmic_axis() -> None:
    ((_, a), (_, b), (_, c)), *_ = path_of(svg.lines({"a": [1.0, 0.1, 0.01]}, "t", log=True), svg.COLORS[0])
    assert b - a == pytest.approx(c - b, abs=0.2)
    assert svg.wants_logarithms([[1.0, 0.001]])
    assert not svg.wants_logarithms([[1.0, 0.5], [0.0, np.nan]])
    assert not svg.wants_logarithms([])


@pytest.mark.parametrize(
    "values", [[], [1.0], [np.nan, np.nan], [5.0, 5.0], [0.0, 0.0], [1e300, -1e300], [1e-310, 0.0], [1e8, 1e8 + 1]]
)
@pytest.mark.parametrize("log", [False, True])
def test_odd_numbers_make_a_chart_all_the_same(values, log) -> None:
    chart = svg.lines({"a": values}, "t", log=log)
    assert "nan" not in chart
    assert "inf" not in chart.replace("infinity", "")
    ET.fromstring(chart)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 30), (-3, 7), (0.0012, 0.0019), (1e6, 9e6), (99.5, 100.5)])
def test_ticks_are_few_and_round(low, high) -> None:
    axis = svg.Axis(np.array([low, high], float), 0, 100)
    ticks = axis.ticks()
    assert 3 <= len(ticks) <= 8
    assert axis.low <= min(ticks) <= max(ticks) <= axis.high
    step = (ticks[1] - ticks[0]) / 10 ** np.floor(np.log10((ticks[1] - ticks[0]) * (1 + 1e-9)))
    assert min(abs(step - wanted) for wanted in (1, 2, 5)) < 1e-6


def test_the_matrix_shows_each_count_where_it_belongs() -> None:
    counts = np.array([[5, 1, 0], [0, 7, 2], [3, 0, 900]])
    root = ET.fromstring(svg.matrix(counts, ["a", "b", "c"], "t", "predicted", "true"))
    shown = [node.text for node in root.iter(f"{SPACE}text")]
    assert [text for text in shown if text.isdigit()] == ["5", "1", "7", "2", "3", "900"]
    shades = [float(node.get("fill-opacity")) for node in root.iter(f"{SPACE}rect") if node.get("fill-opacity")]
    assert np.argmax(shades) in (2, 5)
    many = svg.matrix(np.eye(40, dtype=int), [str(k) for k in range(40)], "t", "x", "y")
    assert [node.text for node in ET.fromstring(many).iter(f"{SPACE}text")] == ["x", "y"]


def luminance(color: str) -> float:
    """Relative luminance as the Web Content Accessibility Guidelines 2.1 define it."""
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("color", svg.COLORS)
def test_colours_stand_out_on_light_and_on_dark(color) -> None:
    own = luminance(color) + 0.05
    assert 1.05 / own >= 3
    assert own / (luminance("#1e1e1e") + 0.05) >= 3


def test_what_notebooks_show(history) -> None:
    a, b = fb.Input(1, name=HOSTILE), fb.Input(1, name="b")
    net = fb.Model([a, b], fb.maximum(a * b, b + 1), dtype="float64")
    row = ([[3.0]], [[2.0]])
    for thing, words in (
        (history, ["loss", "val_accuracy"]),
        (net, ["multiply_1"]),
        (fb.diagnose(net, row, [[1.0]]), ["healthy"]),
        (fb.explain(net, row, [[1.0]]), ["loss 25", f"switched: 20 to {HOSTILE}, 30 to b"]),
        (fb.History(), ["no epochs"]),
    ):
        tags = Tags(thing._repr_html_())
        assert "script" not in tags.found
        assert not any("color:" in text for text in tags.found)
        for word in words:
            assert word in tags.texts
