"""Diagnosis, its monitor and the explanation: figures against NumPy and PyTorch, verdicts on nets that are known."""

import json
import warnings

import matplotlib as mpl
import numpy as np
import pytest

import fastbp as fb
import reference
import torch_twin
from gated import GATED, every_gate
from nets import Stop, StopsAt, as_list, batch, one_or_all, small_net
from torch_twin import torch

mpl.use("Agg")


def deep(activation: str, layers: int = 20, width: int = 32, residual: bool = False, **settings) -> fb.Sequential:
    hidden = [fb.Dense(width, activation, **settings) for _ in range(layers)]
    if residual:
        hidden = [fb.Dense(width), *(fb.Residual(layer) for layer in hidden)]
    return fb.Sequential(fb.Input(10), *hidden, fb.Dense(3), seed=0)


def data(rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, 10)), rng.integers(3, size=rows)


def digits_net() -> tuple[fb.Sequential, np.ndarray, np.ndarray]:
    X, y = fb.datasets.digits()[:2]
    net = fb.Sequential(fb.Input(64), fb.Dense(100, "relu"), fb.Dense(50, "relu"), fb.Dense(10), seed=0)
    net.fit(X, y, loss="cross_entropy", epochs=5, batch_size=64)
    return net, X, y


def test_figures_are_those_of_numpy(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = fb.Sequential(
        fb.Input(4), fb.Dense(70, "tanh"), fb.Dense(33, "relu"), fb.Dense(9, "sigmoid"), fb.Dense(3),
        dtype=dtype.name, seed=5,
    )  # fmt: skip
    net.params[...] += rng.normal(size=net.params.size) * 0.7
    net["dense_2"].b[:5] = -100
    X, T = rng.normal(size=(600, 4)).astype(dtype), rng.normal(size=(600, 3)).astype(dtype)
    report = fb.diagnose(net, X, T, "mse")
    f = fb.functional
    values, Z = [X], []
    for layer in net.layers:
        Z.append(f.dense_forward(values[-1], layer.W, layer.b))
        values.append(f.dense_forward(values[-1], layer.W, layer.b, activation=layer.activation))
    loss, d = fb.losses.mse(values[-1], T)
    assert report.loss == pytest.approx(loss, rel=1e-5)
    for k in (3, 2, 1, 0):
        layer, figures, Y = net.layers[k], report.nodes[k], values[k + 1].astype(np.float64)
        dZ = f.activation_backward(d, Z[k], values[k + 1], layer.activation)
        d, dW, _ = f.dense_backward(d, values[k], layer.W, layer.b, values[k + 1], activation=layer.activation)
        assert figures.mean == pytest.approx(Y.mean(), rel=1e-4, abs=1e-6)
        assert figures.std == pytest.approx(Y.std(), rel=1e-4)
        assert figures.gradient == pytest.approx(np.sqrt((dZ.astype(float) ** 2).mean()), rel=1e-3)
        assert figures.weight == pytest.approx(np.linalg.norm(layer.W), rel=1e-5)
        assert figures.weight_gradient == pytest.approx(np.linalg.norm(dW), rel=1e-3)
        assert figures.update == pytest.approx(figures.weight_gradient / figures.weight)
        slopes = {"tanh": 1 - Y**2, "sigmoid": 4 * Y * (1 - Y)}.get(layer.activation)
        if slopes is None:
            assert np.isnan(figures.saturated)
        else:
            assert figures.saturated == pytest.approx((slopes < 0.05).mean(), abs=2 / Y.size)
        if layer.activation == "relu":
            assert figures.dead == pytest.approx((Y <= 0).all(axis=0).mean())
            assert figures.dead >= 5 / 33
        else:
            assert np.isnan(figures.dead)
    relative = [node.gradient / report.nodes[-1].gradient for node in report.nodes]
    assert [node.relative for node in report.nodes] == pytest.approx(relative)
    assert [node.bound for node in report.nodes] == [0.25, 0.25, 0.25, 1.0]


def test_twenty_sigmoid_layers_vanish() -> None:
    X, y = data()
    report = fb.diagnose(deep("sigmoid"), X, y, "cross_entropy")
    assert report.verdict == "vanishing"
    assert report.reason.startswith("dense_1: its gradient is")
    assert report.nodes[0].relative < 1e-9
    assert report.nodes[0].bound == pytest.approx(0.25**20)
    assert "relu" in report.remedies
    assert report.nodes[-1].verdict == "healthy"


@pytest.mark.parametrize(
    "net", [deep("relu"), deep("sigmoid", residual=True), deep("tanh")], ids=["relu", "residual", "tanh"]
)
def test_what_does_not_vanish(net: fb.Sequential) -> None:
    X, y = data()
    report = fb.diagnose(net, X, y, "cross_entropy")
    assert report.verdict != "vanishing"
    assert min(node.relative for node in report.nodes if node.weight > 0) > 0.01


def test_a_bias_of_minus_ten_kills_relu() -> None:
    X, y = data()
    net = deep("relu", 2, biases=lambda shape, rng: np.full(shape, -10.0))
    report = fb.diagnose(net, X, y, "cross_entropy")
    assert report.verdict == "dead"
    assert report.reason.startswith("dense_1: 100% of its units")


def test_a_learning_rate_of_a_hundred_explodes() -> None:
    X, y = data()
    net = deep("relu", 2)
    assert fb.diagnose(net, X, y, "cross_entropy", lr=0.01).verdict == "not learning"
    assert fb.diagnose(net, X, y, "cross_entropy", lr=100.0).verdict == "exploding"
    with pytest.raises(fb.DivergenceError):
        deep("relu", 2).fit(X, np.eye(3)[y], loss="mse", optimizer=fb.SGD(lr=100.0), epochs=20)


def test_large_weights_saturate() -> None:
    X, y = data()
    net = deep("tanh", 1)
    net["dense_1"].W = 50 * net["dense_1"].W
    assert fb.diagnose(net, X, y, "cross_entropy").verdict == "saturated"


def test_a_net_trained_on_digits_is_healthy() -> None:
    net, X, y = digits_net()
    before = net.params.copy()
    net.backward(net.forward(X[:9]))
    grads = net.grads.copy()
    report = fb.diagnose(net, X, y, "cross_entropy")
    assert report.verdict == "healthy"
    assert report.remedies == ""
    np.testing.assert_array_equal(net.params, before)
    np.testing.assert_array_equal(net.grads, grads)


def test_a_report_speaks() -> None:
    X, y = data()
    report = fb.diagnose(deep("sigmoid", 6), X, y, "cross_entropy")
    text = str(report)
    assert text.splitlines()[0].split() == [
        "node", "op", "mean", "std", "saturated", "dead", "gradient", "relative", "update", "verdict",
    ]  # fmt: skip
    assert "vanishing: dense_1" in text
    assert "try " in text
    assert json.loads(json.dumps(report.to_dict()))["nodes"][0]["name"] == "dense_1"
    pandas = pytest.importorskip("pandas")
    frame = report.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.loc["dense_1", "verdict"] == "vanishing"
    axes = report.plot()
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == [node.name for node in report.nodes]


def test_rows_are_limited(rng: np.random.Generator) -> None:
    X, y = data(1000)
    net = deep("tanh", 1)
    few = fb.diagnose(net, X, y, "cross_entropy", max_rows=10)
    picked = np.linspace(0, 999, 10).astype(int)
    assert few.loss == pytest.approx(net.evaluate(X[picked], y[picked], loss="cross_entropy")["loss"], rel=1e-5)


@pytest.mark.parametrize("build", GATED)
def test_every_graph_can_be_diagnosed_and_drawn(build, rng: np.random.Generator) -> None:
    net = build()
    xs, ts = batch(net, 9, rng)
    report = fb.diagnose(net, one_or_all(xs), one_or_all(ts), one_or_all(["mse"] * len(ts)))
    assert len(report.nodes) == sum(node.layer is not None for node in net.nodes)
    ax = net.plot()
    texts = [text.get_text() for text in ax.texts]
    for node in net.nodes:
        assert any(text.startswith(f"{node.name}\n") for text in texts)
    dot = net.to_dot()
    assert dot.count("->") == sum(len(node.parents) for node in net.nodes)
    html = net._repr_html_()
    assert html.count("<tr>") == len(net.nodes) + 1
    mpl.pyplot.close("all")


def test_the_monitor_sees_what_training_does(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = small_net(dtype.name)
    X, T = rng.normal(size=(60, 4)), rng.normal(size=(60, 3))
    monitor, calls = fb.GradientMonitor(every=4), []

    class Each(fb.Callback):
        def on_batch_end(self, trainer, batch, logs) -> None:
            calls.append((batch, net.grads.copy()))

    net.fit(X, T, batch_size=10, epochs=3, callbacks=[monitor, Each()])
    assert [batch for batch, _ in calls] == [*range(6)] * 3
    assert monitor.steps == [4, 8, 12, 16]
    for k, step in enumerate(monitor.steps):
        dW = calls[step - 1][1][net.slices["dense_2.W"][0]]
        assert monitor.figures[k, 1, 6] == pytest.approx(np.linalg.norm(dW), rel=1e-5)
    assert len(monitor.plot().lines) == 3
    alone, other = fb.GradientMonitor(every=4), small_net(dtype.name)
    other.fit(X, T, batch_size=10, epochs=3, callbacks=[alone])
    np.testing.assert_array_equal(alone.figures, monitor.figures)
    np.testing.assert_array_equal(other.params, net.params)


def test_figures_before_a_pass_are_missing() -> None:
    assert np.isnan(small_net().programs.figures()).all()


def test_the_monitor_warns_once() -> None:
    X, y = data()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        deep("sigmoid", 8).fit(
            X, y, loss="cross_entropy", epochs=4, batch_size=100, callbacks=[fb.GradientMonitor(every=2)]
        )
    messages = [str(warning.message) for warning in caught]
    assert messages.count("dense_1: its gradient vanished by batch 2; see fastbp.diagnose") == 1
    assert sum("dense_1:" in message for message in messages) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        deep("sigmoid", 8).fit(
            X, y, loss="cross_entropy", epochs=1, callbacks=[fb.GradientMonitor(every=2, warn=False)]
        )


def test_the_monitor_of_a_resumed_fit_goes_on(tmp_path) -> None:
    """Its record, and what it has warned of: a crash after 7 batches of 5 an epoch, a look at every second one."""
    X, y = data()
    path, settings = tmp_path / "run.safetensors", {"loss": "cross_entropy", "epochs": 4, "batch_size": 40}
    whole, first, rest = (fb.GradientMonitor(every=2) for _ in range(3))
    keep = fb.ModelCheckpoint(path, every=3, unit="batches")
    with pytest.warns(RuntimeWarning, match="vanished by batch 2"):
        deep("sigmoid", 8).fit(X, y, callbacks=[whole], **settings)
    with pytest.warns(RuntimeWarning, match="vanished by batch 2"), pytest.raises(Stop):
        deep("sigmoid", 8).fit(X, y, callbacks=[first, keep, StopsAt(7)], **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        deep("sigmoid", 8).fit(X, y, callbacks=[rest], resume=path, **settings)
    assert rest.steps == whole.steps
    np.testing.assert_array_equal(rest.figures, whole.figures)


def test_a_frozen_layer_has_not_vanished() -> None:
    X, y = data()
    net = fb.Sequential(fb.Input(10), fb.Dense(8, "tanh", trainable=False), fb.Dense(3), seed=0)
    monitor = fb.GradientMonitor(every=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.fit(X, y, loss="cross_entropy", epochs=1, callbacks=[monitor])
    assert np.isnan(monitor.figures[:, 0, 4]).all()
    assert (monitor.figures[:, 1, 4] > 0).all()
    assert {node.verdict for node in fb.diagnose(net, X, y, "cross_entropy").nodes} == {"healthy"}


@pytest.mark.parametrize("build", GATED)
def test_an_explanation_has_torchs_gradients(build, rng: np.random.Generator) -> None:
    net = build()
    xs, ts = batch(net, 1, rng)
    losses = one_or_all(["mse"] * len(ts))
    explanation = fb.explain(net, one_or_all(xs), one_or_all(ts), losses)
    params = {name: p.detach().clone().requires_grad_() for name, p in torch_twin.parameters(net).items()}
    values = {node: torch.tensor(x, requires_grad=True) for node, x in zip(net.inputs, xs, strict=True)}
    for node in net.nodes:
        if node.layer is not None:
            prefix = f"{node.layer.name}."
            own = {name.removeprefix(prefix): p for name, p in params.items() if name.startswith(prefix)}
            values[node] = torch_twin.LAYERS[type(node.layer)](
                node.layer, own, *(values[parent] for parent in node.parents)
            )
            values[node] = values[node] * torch.ones(1, node.width, requires_grad=True).double()
        if values[node].requires_grad:
            values[node].retain_grad()
    total = sum(((values[node] - torch.tensor(t)) ** 2).mean() for node, t in zip(net.outputs, ts, strict=True))
    total.backward()
    assert explanation.loss == pytest.approx(total.item(), rel=1e-9)
    for node, step in zip(net.nodes, explanation.steps, strict=True):
        np.testing.assert_allclose(step.value, values[node].detach()[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(step.arrived, values[node].grad[0], rtol=1e-8, atol=1e-12)
        for name, gradient, _ in step.changes:
            wanted = params[f"{node.layer.name}.{name}"].grad
            np.testing.assert_allclose(gradient, wanted, rtol=1e-8, atol=1e-12)
        assert [name for name, _ in step.sent] == [parent.name for parent in node.parents]
    for node, step in zip(net.nodes, explanation.steps, strict=True):
        sent = [
            share
            for child, other in zip(net.nodes, explanation.steps, strict=True)
            for parent, (_, share) in zip(child.parents, other.sent, strict=True)
            if parent is node
        ]
        if sent and node not in net.outputs:
            np.testing.assert_allclose(sum(sent), step.arrived, rtol=1e-9, atol=1e-12)
    json.dumps(explanation.to_dict())
    explanation.plot()
    mpl.pyplot.close("all")


@pytest.mark.parametrize("build", GATED)
def test_explain_and_diagnose_mean_the_same_by_gradient(build, rng: np.random.Generator) -> None:
    net = build()
    xs, ts = batch(net, 1, rng)
    losses = one_or_all(["mse"] * len(ts))
    explanation = fb.explain(net, one_or_all(xs), one_or_all(ts), losses)
    figures = fb.diagnose(net, one_or_all(xs), one_or_all(ts), losses).nodes
    steps = [step for node, step in zip(net.nodes, explanation.steps, strict=True) if node.layer is not None]
    for step, figure in zip(steps, figures, strict=True):
        assert np.sqrt((step.gradient**2).mean()) == pytest.approx(figure.gradient, rel=1e-9, abs=1e-15), step.name


def test_an_explanation_says_what_an_update_changes() -> None:
    net = fb.Sequential(fb.Input(2), fb.Dense(1, weights=[[1.0], [2.0]], biases=[0.5]), dtype="float64")
    before = net.params.copy()
    text = str(fb.explain(net, [3.0, 1.0], [3.5], optimizer=fb.SGD(lr=0.1, momentum=0.9)))  # Y = 5.5, dY = 4
    for line in ("dW        12, 4", "db        4", "update    W by -1.2, -0.4; b by -0.4"):
        assert f"\n  {line}\n" in f"{text}\n", text
    np.testing.assert_array_equal(net.params, before)
    assert "update" not in str(fb.explain(net, [3.0, 1.0], [3.5]))
    wide = fb.explain(fb.Sequential(fb.Input(2), fb.Dense(9, "tanh"), seed=0), [3.0, 1.0], np.ones(9))
    assert f"slope     mean {wide.steps[1].slope.mean():.4g} over 9" in str(wide)
    net["dense_1"].trainable = False
    assert "dW" not in str(fb.explain(net, [3.0, 1.0], [3.5], optimizer="sgd"))


def test_words_say_what_a_gate_did() -> None:
    a, b = fb.Input(2, name="a"), fb.Input(2, name="b")
    X = (np.array([[1.0, 4.0]]), np.array([[3.0, 2.0]]))
    T = [[0.0, 0.0]]
    texts = {
        "routed: 0, 4 to a (1 of 2 columns), 3, 0 to b (1 of 2)": fb.maximum(a, b),
        "distributed: 4, 6 to a, 4, 6 to b": a + b,
        "switched: 9, 16 to a, 3, 32 to b": a * b,
    }
    for words, node in texts.items():
        text = str(fb.explain(fb.Model([a, b], node, dtype="float64"), X, T))
        assert words in text, text


def test_slopes_are_explained(rng: np.random.Generator) -> None:
    net = small_net()
    x = rng.normal(size=4)
    explanation = fb.explain(net, x, [0.0, 1.0, 0.0], "cross_entropy")
    h = explanation.steps[1]
    np.testing.assert_allclose(h.slope, 1 - h.value**2, rtol=1e-12)
    assert explanation.steps[-1].slope is None
    np.testing.assert_array_equal(explanation.steps[0].value, x)
    reference.assert_gradient(
        lambda X: net.evaluate(X, np.array([1]), loss="cross_entropy")["loss"], x[None].copy(),
        explanation.steps[0].gradient[None],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("work", "error", "words"),
    [
        (lambda n: fb.diagnose("net", [[1.0]], [[1.0]]), TypeError, ["net"]),
        (lambda n: fb.diagnose(n, np.ones((3, 4)), np.ones((2, 3))), ValueError, ["y", "2", "3"]),
        (lambda n: fb.diagnose(n, np.ones((3, 4)), np.ones((3, 3)), lr=-1.0), ValueError, ["lr"]),
        (lambda n: fb.diagnose(n, np.ones((3, 4)), np.ones((3, 3)), max_rows=0), ValueError, ["max_rows"]),
        (lambda n: fb.explain(n, np.ones((3, 4)), np.ones((3, 3))), ValueError, ["one row", "3"]),
        (lambda n: fb.GradientMonitor(every=0), ValueError, ["every"]),
    ],
)
def test_bad_input(work, error, words: list[str]) -> None:
    with pytest.raises(error) as caught:
        work(small_net())
    for word in words:
        assert word in str(caught.value)


def test_drawing_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        every_gate().plot()
    assert as_list(every_gate().to_dot().splitlines())[0] == "digraph {"
