"""Where a newcomer stumbles: probabilities under a loss that takes logits, one row, signs of weights, other names."""

import numpy as np
import pytest

import fastbp as fb

N, I, O = 7, 4, 3


def stack(*last, dtype="float64") -> fb.Sequential:
    return fb.Sequential(fb.Input(I), fb.Dense(5, "tanh"), *last, dtype=dtype, seed=0)


@pytest.fixture
def X(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, I))


CASES = [
    ("binary_cross_entropy", lambda: fb.Dense(1, "sigmoid"), "sigmoid already"),
    ("focal", lambda: fb.Dense(1, "sigmoid"), "sigmoid already"),
    ("cross_entropy", lambda: fb.Dense(O, "softmax"), "softmax already"),
    ("binary_crossentropy", lambda: fb.Activation("sigmoid"), "sigmoid already"),
    ("focal_cross_entropy", lambda: fb.Activation("softmax"), "softmax already"),
]


@pytest.mark.parametrize(("loss", "last", "words"), CASES)
def test_probabilities_under_a_loss_of_logits_are_refused_everywhere(loss, last, words, X) -> None:
    net = stack(last())
    y = np.arange(N) % 2
    y = y.astype(float)[:, None] * np.ones(net.outputs[0].width) if "binary" in loss or loss == "focal" else y
    before = net.params.copy()
    for use in (
        lambda: net.fit(X, y, loss=loss),
        lambda: fb.Trainer(net, loss=loss),
        lambda: net.evaluate(X, y, loss=loss),
        lambda: fb.check_gradients(net, X, y, loss=loss),
        lambda: net.value_and_grad(net.params, X, y, loss=loss),
        lambda: fb.minimize(net, X, y, loss=loss),
    ):
        with pytest.raises(ValueError, match=rf"{words}.* make the last layer linear.* predict_proba"):
            use()
    np.testing.assert_array_equal(net.params, before)
    assert fb.diagnose(net, X, y, loss).verdict  # which looks at it, and says why


def test_other_losses_take_probabilities(X) -> None:
    assert stack(fb.Dense(1, "sigmoid")).evaluate(X, np.ones(N), loss="mse")["loss"] > 0
    assert stack(fb.Dense(O, "tanh")).evaluate(X, np.zeros(N, int), loss="cross_entropy")["loss"] > 0


def test_predict_proba(X) -> None:
    many, one = stack(fb.Dense(O)), stack(fb.Dense(1))
    Z = np.exp(many.predict(X))
    np.testing.assert_allclose(many.predict_proba(X), Z / Z.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(many.predict_proba(X, multilabel=True), Z / (1 + Z))
    np.testing.assert_allclose(one.predict_proba(X), 1 / (1 + np.exp(-one.predict(X))))
    np.testing.assert_array_equal(many.predict_proba(X[0]), many.predict_proba(X[:1])[0])
    ready = stack(fb.Dense(O, "softmax"))
    np.testing.assert_array_equal(ready.predict_proba(X), ready.predict(X))
    x = fb.Input(I)
    with pytest.raises(ValueError, match="one output, got 2"):
        fb.Model(x, [fb.Dense(1)(x), fb.Dense(2)(x)]).predict_proba(X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_row_and_no_rows(dtype: str, X) -> None:
    net = stack(fb.Dense(O), dtype=dtype)
    expected = net.predict(X[:1])[0]
    for row in (X[0], X[0].tolist(), X[0].astype(dtype)):
        found = net.predict(row)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == dtype
    assert net.predict(X[:0]).shape == (0, O)
    assert net.predict(X[:0]).dtype == dtype
    x = fb.Input(I)
    both = fb.Model(x, [fb.Dense(1)(x), fb.Dense(2)(x)])
    assert [Y.shape for Y in both.predict(X[0])] == [(1,), (2,)]
    assert [Y.shape for Y in both.predict(X[:0])] == [(0, 1), (0, 2)]
    for wrong in (X[0, :3], X[0, :3].tolist(), X[:0, :3]):
        with pytest.raises(ValueError, match="X "):
            net.predict(wrong)
    with pytest.raises(ValueError, match="NaN"):
        net.predict(np.full(I, np.nan))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_negative_weights_are_a_policy_gradient(dtype: str, X) -> None:
    """The step goes up where the advantage is negative: the oracle is the gradient by hand."""
    advantage = np.array([1.5, -2.0, 0.5, -0.25, 0.0, 3.0, -1.0])
    actions = np.arange(N) % O
    net = fb.Sequential(fb.Input(I), fb.Dense(O), dtype=dtype, seed=0)
    W, b = net["dense_1"].W.astype(float), net["dense_1"].b.astype(float)
    Z = np.exp(X @ W + b)
    dZ = (Z / Z.sum(axis=1, keepdims=True) - np.eye(O)[actions]) * advantage[:, None] / N
    by_hand = W - 0.1 * X.T @ dZ
    fitted, streamed = net.copy(), net.copy()
    fb.Trainer(net, loss="cross_entropy", optimizer=fb.SGD(lr=0.1)).step(X, actions, advantage)
    history = fitted.fit(
        X, actions, loss="cross_entropy", optimizer=fb.SGD(lr=0.1), sample_weight=advantage, batch_size=N, shuffle=False
    )
    streamed.fit([(X, actions, advantage)], loss="cross_entropy", optimizer=fb.SGD(lr=0.1))
    for one in (net, fitted, streamed):
        np.testing.assert_allclose(one["dense_1"].W, by_hand, rtol=1e-5, atol=1e-7)
    p = Z[np.arange(N), actions] / Z.sum(axis=1)
    np.testing.assert_allclose(
        history.history["loss"], -(advantage * np.log(p)).sum() / abs(advantage).sum(), rtol=1e-5
    )
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(1.001 * net["dense_1"].W, by_hand, rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match=r"must not be negative, got -2\.0 at row 1"):
        net.evaluate(X, actions, loss="cross_entropy", sample_weight=advantage)
    with pytest.raises(ValueError, match="validation sample_weight must not be negative"):
        net.fit(X, actions, loss="cross_entropy", validation_data=(X, actions, advantage))


NAMES = [
    ("mean_squared_error", "mse"),
    ("BCE", "binary_cross_entropy"),
    ("sparse_categorical_crossentropy", "cross_entropy"),
    ("MeanSquaredError", "mse"),
    ("L1Loss", "mae"),
    ("BCEWithLogitsLoss", "binary_cross_entropy"),
    ("KLDivergence", "kl_divergence"),
    ("CosineSimilarity", "cosine"),
    ("LogCosh", "log_cosh"),
]


@pytest.mark.parametrize(("name", "ours"), NAMES)
def test_losses_by_their_names_elsewhere(name: str, ours: str) -> None:
    assert fb.Trainer(stack(fb.Dense(O)), loss=name).objective.losses[0].row.name == ours


def test_metrics_and_optimizers_by_their_names_elsewhere(X) -> None:
    net = stack(fb.Dense(O))
    history = net.fit(X, np.arange(N) % O, loss="cross_entropy", optimizer="AdamW", metrics=["acc"])
    assert list(history.history) == ["loss", "accuracy"]
    with pytest.raises(ValueError, match="unknown optimizer 'adamv'"):
        net.fit(X, np.arange(N) % O, loss="cross_entropy", optimizer="adamv")


@pytest.mark.parametrize(
    ("table", "name", "ours"),
    [
        ("activation", "LeakyReLU", "leaky_relu"),
        ("activation", "SiLU", "silu"),
        ("activation", "LogSoftmax", "log_softmax"),
        ("activation", "HardSilu", "hard_swish"),
        ("initializer", "GlorotUniform", "glorot_uniform"),
        ("initializer", "kaiming_normal_", "he_normal"),
        ("metric", "SparseCategoricalAccuracy", "accuracy"),
        ("metric", "categorical_crossentropy", "log_loss"),
        ("metric", "AUC", "roc_auc"),
        ("metric", "RootMeanSquaredError", "rmse"),
        ("optimizer", "RMSprop", "rmsprop"),
        ("optimizer", "NAdam", "nadam"),
    ],
)
def test_every_table_knows_names_from_elsewhere(table: str, name: str, ours: str) -> None:
    find = {
        "activation": lambda: fb.activations.resolve(name).name,
        "initializer": lambda: fb.initializers.resolve(name).label(),
        "metric": lambda: fb.metrics.metric.METRICS.resolve(name).label(),
        "optimizer": lambda: fb.optimizers.optimizer.Optimizer.classes.resolve(name).label(),
    }
    assert find[table]() == ours


def test_every_synonym_names_something_of_ours() -> None:
    constraint = fb.layers.constraints.Constraint.classes
    for kind in (fb.losses.Loss.classes, fb.metrics.metric.METRICS, fb.schedules.Schedule.classes, constraint):
        for name, ours in kind.synonyms.items():
            assert ours in kind, name
            assert name not in kind, name


def test_constraints_and_methods_by_their_names_elsewhere() -> None:
    assert {fb.Dense(2, constraint=name).constraint for name in ("non_neg", "NonNeg")} == {fb.NonNegative()}
    pytest.importorskip("scipy")
    X = np.random.default_rng(0).normal(size=(20, 3))
    found = {}
    for name in (
        "l-bfgs",
        "L-BFGS-B",
        "lbfgs",
        "lm",
        "LM",
        "levenberg_marquardt",
        "cg",
        "CG",
        "Newton-CG",
        "newton_cg",
    ):
        net = fb.Sequential(fb.Input(3), fb.Dense(5, "tanh"), fb.Dense(2), dtype="float64", seed=0)
        found[name] = fb.minimize(net, X, X[:, :2] ** 2, method=name, max_iter=4).history
    assert found["L-BFGS-B"] == found["lbfgs"] == found["l-bfgs"] != found["lm"]
    assert found["LM"] == found["levenberg_marquardt"] == found["lm"] != found["cg"]
    assert found["CG"] == found["cg"] != found["newton_cg"] == found["Newton-CG"]
    with pytest.raises(ValueError, match="unknown method 'nelder-mead'; known: bfgs, cg, l-bfgs, lm, newton-cg"):
        fb.minimize(net, X, X[:, :2], method="nelder-mead")


def test_weights_of_a_layer_are_its_parameters(X) -> None:
    layer = stack(fb.Dense(O))["dense_2"]
    assert [array.shape for array in layer.weights] == [(5, O), (O,)]
    assert layer.weights[0] is layer.W
    assert fb.Dense(2).weights == []
    assert len(stack(fb.Dense(O, bias=False))["dense_2"].weights) == 1
