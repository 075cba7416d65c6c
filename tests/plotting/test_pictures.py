"""What a reader saw in pictures: arrows that cross boxes, legends over lines, gradients that point forward."""

import matplotlib as mpl
import numpy as np
import pytest

import fastbp as fb
from fastbp.plotting import graph

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def skipping() -> fb.Model:
    """Skips over one and over two boxes, from one input, and a node used twice."""
    x = fb.Input(4, name="x")
    a = fb.Dense(4, "relu")(x)
    b = fb.Dense(4, "relu")(fb.Add()(x, a))
    return fb.Model(x, fb.Concatenate()(fb.Add()(x, a, b), x, a) ** 2, seed=0)


def drawn(ax) -> tuple[list, list]:
    """The arrows and the boxes of nodes, in pixels."""
    ax.figure.canvas.draw()
    arrows = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    return arrows, [text.get_bbox_patch().get_window_extent() for text in ax.texts if text.zorder == 5]


def crossings(arrows, boxes) -> int:
    """How many arrows run through the inside of a box."""
    count = 0
    for arrow in arrows:
        straight = arrow.get_path().transformed(arrow.get_transform()).to_polygons(closed_only=False)
        points = np.concatenate([Path(piece).interpolated(20).vertices for piece in straight])
        for box in boxes:
            inside = abs(points - (box.x0 + box.width / 2, box.y0 + box.height / 2)) < (
                box.width * 0.45,
                box.height * 0.4,
            )
            count += inside.all(axis=1).any()
    return count


def test_skip_connections_run_beside_the_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    net = skipping()
    arrows, boxes = drawn(net.plot())
    assert len(arrows) == sum(len(node.parents) for node in net.nodes)
    assert crossings(arrows, boxes) == 0
    monkeypatch.setattr(graph, "lane_of", lambda *_: None)
    assert crossings(*drawn(net.plot())) > 0  # the check sees what it looks for


def test_each_gradient_has_an_arrow_back_and_the_colors_a_legend() -> None:
    a, b, c = fb.Input(1, name="a"), fb.Input(1, name="b"), fb.Input(1, name="c")
    net = fb.Model([a, b, c], fb.maximum(a * b, b + c), dtype="float64")
    ax = fb.explain(net, ([[3.0]], [[-2.0]], [[1.0]]), [[0.0]]).plot()
    arrows, _ = drawn(ax)
    edges = sum(len(node.parents) for node in net.nodes)
    assert len(arrows) == 2 * edges
    assert sum(mpl.colors.to_hex(arrow.get_edgecolor()) == graph.BACK for arrow in arrows) == edges
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["values forward", "gradients back"]
    assert net.plot().get_legend() is None


@pytest.mark.parametrize("gates", [True, False])
def test_no_gradient_hides_another_or_lies_behind_a_box(gates: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def covered() -> int:
        if gates:  # edges that cross in the middle
            a, b, c = fb.Input(1, name="a"), fb.Input(1, name="b"), fb.Input(1, name="c")
            net = fb.Model([a, b, c], fb.maximum(a * b, b + c) - fb.minimum(a, c), dtype="float64")
            told = fb.explain(net, ([[3.0]], [[-2.0]], [[1.0]]), [[0.0]])
        else:  # long texts, one beside an edge that runs between boxes
            x = fb.Input(8, name="x")
            net = fb.Model(x, fb.Dense(2)(fb.Highway("tanh")(fb.Residual(fb.Dense(8))(x))), seed=0)
            told = fb.explain(net, np.ones((1, 8)), np.ones((1, 2)))
        ax = told.plot()
        _, boxes = drawn(ax)
        labels = [text.get_window_extent() for text in ax.texts if text.zorder == 4]
        others = [(label, other) for k, label in enumerate(labels) for other in [*labels[:k], *boxes]]
        return sum(label.overlaps(other) for label, other in others)

    assert covered() == 0
    monkeypatch.setattr(graph, "_place", lambda wanted, *_: wanted[0])
    assert covered() > 0  # the check sees what it looks for


def test_a_monitor_without_a_batch_says_so() -> None:
    (words,) = fb.GradientMonitor().plot().texts
    assert words.get_text() == "no batch was measured yet: every=100"


def test_the_legend_of_a_monitor_is_beside_its_lines() -> None:
    rng = np.random.default_rng(0)
    monitor = fb.GradientMonitor(every=2)
    net = fb.Sequential(fb.Input(3), *[fb.Dense(5, "tanh") for _ in range(18)], fb.Dense(2), seed=0)
    net.fit(rng.normal(size=(30, 3)), rng.integers(2, size=30), loss="cross_entropy", batch_size=5, callbacks=[monitor])
    ax = monitor.plot()
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().x0 >= ax.get_window_extent().x1
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 19


@pytest.mark.parametrize(("scale", "empty"), [(1, True), (100, False)])
def test_a_panel_without_bars_says_why(scale: float, empty: bool) -> None:
    rng = np.random.default_rng(0)
    X, y = scale * rng.normal(size=(50, 4)), rng.integers(3, size=50)
    net = fb.Sequential(fb.Input(4), fb.Dense(6, "sigmoid"), fb.Dense(3), seed=0)
    panel = fb.diagnose(net, X, y, "cross_entropy").plot()[1]
    assert bool([text for text in panel.texts if "dead" in text.get_text()]) == empty
