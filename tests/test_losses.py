"""Every loss of the engine's table: value and gradient against the formulas, PyTorch, and each other.

A loss documented as a mean and computed as a sum passes a test of its gradient alone; so each value is
differentiated numerically and compared with the gradient that is given out with it.
"""

import pickle

import numpy as np
import pytest

import fastbp as fb
import reference
import torch_losses
from fastbp import _engine
from torch_twin import torch

ROWS = _engine.LOSSES
NAMES = sorted(ROWS)
KINDS = [(name, kind) for name in NAMES for kind in ["values"] + ["indices"] * ROWS[name].labels]
SHAPES = [(1, 2), (3, 2), (2, 6), (7, 4), (5, 16), (6, 18), (33, 10), (3, 130), (64, 2), (257, 4)]
# Parameters that are not the standard ones; outputs come in multiples of 4.
SETTINGS = [
    ("huber", {"delta": 0.3}),
    ("quantile", {"quantiles": 0.9}),
    ("quantile", {"quantiles": [0.1, 0.5, 0.8, 0.95]}),
    ("expectile", {"expectiles": [0.2, 0.7]}),
    ("binary_cross_entropy", {"pos_weight": [0.5, 1.0, 2.0, 7.0], "label_smoothing": 0.2}),
    ("focal", {"gamma": 0.0, "alpha": 0.5}),
    ("focal", {"gamma": 1.3, "alpha": 0.9}),
    ("poisson", {"log_input": False, "eps": 1e-3}),
    ("gamma", {"log_input": False}),
    ("tweedie", {"power": 1.2}),
    ("tweedie", {"power": 1.9, "log_input": False}),
    ("cross_entropy", {"label_smoothing": 0.1, "class_weight": [0.5, 1.0, 3.0, 0.0]}),
    ("gaussian_nll", {"log_variance": False, "eps": 1e-4}),
]
# Where the loss itself is beyond all numbers, and where it depends on lengths alone.
GROWING = ("poisson", "gamma", "tweedie", "gaussian_nll", "cosine")
SMOOTH = [name for name in NAMES if ROWS[name].smooth]


def targets(name: str, kind: str, rows: int, outputs: int, dtype: np.dtype, rng: np.random.Generator) -> np.ndarray:
    t = reference.targets(name, rows, outputs, rng, kind)
    return t if kind == "indices" else t.astype(dtype)


def outputs(name: str, rows: int, width: int, dtype: np.dtype, rng: np.random.Generator, **settings) -> np.ndarray:
    """Of both signs and of size 3, but above 0 where they stand for means or variances."""
    Y = rng.normal(size=(rows, width)) * (1 if name in ("poisson", "gamma", "tweedie") else 3)
    if False in settings.values():
        Y = np.abs(Y) + 0.1
    return Y.astype(dtype)


def settings_and_targets(name: str, settings: dict, dtype: np.dtype, rng: np.random.Generator, rows: int = 37) -> tuple:
    heads = max(np.size(settings.get("quantiles", 0.5)), np.size(settings.get("expectiles", 0.5)))
    t = targets(name, "values", rows, 4, dtype, rng)[:, : 4 // heads]
    return outputs(name, rows, 4, dtype, rng, **settings), np.ascontiguousarray(t)


def assert_loss(got: tuple, wanted: tuple, dtype: np.dtype) -> None:
    limit = 4e-6 if dtype == np.float32 else 1e-13
    assert isinstance(got[0], float)
    assert got[1].dtype == dtype
    assert got[1].shape == wanted[1].shape
    assert abs(got[0] - wanted[0]) <= limit * (1 + abs(wanted[0]))
    np.testing.assert_allclose(got[1], wanted[1], rtol=0, atol=limit * max(np.abs(wanted[1]).max(), 1 / len(wanted[1])))


def test_every_row_of_the_table_has_its_reference_and_its_twin() -> None:
    assert set(ROWS) == set(reference.LOSSES) == set(torch_losses.LOSSES)


@pytest.mark.parametrize(("name", "kind"), KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradient(name: str, kind: str, shape: tuple[int, int], weighted: bool, dtype: np.dtype) -> None:
    rng = np.random.default_rng(shape)
    Y, t = outputs(name, *shape, dtype, rng), targets(name, kind, *shape, dtype, rng)
    w = rng.uniform(0.1, 3.0, size=shape[0]).astype(dtype) if weighted else None
    assert_loss(getattr(fb.losses, name)(Y, t, w), reference.loss(name, Y, t, w), dtype)


@pytest.mark.parametrize(("name", "settings"), SETTINGS, ids=str)
def test_parameters(name: str, settings: dict, dtype: np.dtype, rng: np.random.Generator) -> None:
    Y, t = settings_and_targets(name, settings, dtype, rng)
    given = {key: np.array(value) if isinstance(value, list) else value for key, value in settings.items()}
    wanted = reference.loss(name, Y, t, **given)
    assert_loss(getattr(fb.losses, name)(Y, t, **settings), wanted, dtype)
    loss = next(cls for cls in fb.losses.Loss.classes.values() if cls.row.name == name)(**settings)
    assert_loss(loss(Y, t), wanted, dtype)


@pytest.mark.parametrize(("name", "settings"), [*((name, {}) for name in NAMES), *SETTINGS], ids=str)
@pytest.mark.parametrize("kind", ["values", "indices"])
def test_torch_agrees(name: str, settings: dict, kind: str, rng: np.random.Generator) -> None:
    if kind == "indices" and not ROWS[name].labels:
        kind = "values"
    Y, t = settings_and_targets(name, settings, np.dtype("float64"), rng)
    t = targets(name, kind, len(Y), 4, Y.dtype, rng) if kind == "indices" else t
    out = torch.tensor(Y, requires_grad=True)
    value = torch_losses.LOSSES[name](out, torch.tensor(t), **settings)
    value.backward()
    assert_loss(getattr(fb.losses, name)(Y, t, **settings), (value.item(), out.grad.numpy()), Y.dtype)


@pytest.mark.parametrize(("name", "settings"), [*((name, {}) for name in NAMES), *SETTINGS], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_is_that_of_the_value(
    name: str, settings: dict, weighted: bool, rng: np.random.Generator
) -> None:
    Y, t = settings_and_targets(name, settings, np.dtype("float64"), rng, rows=5)
    w = rng.uniform(0.1, 3.0, size=5) if weighted else None
    loss = getattr(fb.losses, name).configured(**settings)
    reference.assert_gradient(lambda A: loss(A, t, w)[0], Y.copy(), loss(Y, t, w)[1], name)


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_itself_is_right(name: str, rng: np.random.Generator) -> None:
    Y, t = outputs(name, 5, 4, np.float64, rng), targets(name, "values", 5, 4, np.float64, rng)
    w = rng.uniform(0.1, 3.0, size=5)
    reference.assert_gradient(lambda A: reference.loss(name, A, t, w)[0], Y.copy(), reference.loss(name, Y, t, w)[1])


@pytest.mark.parametrize(
    ("name", "settings"), [*((n, {}) for n in SMOOTH), *((n, s) for n, s in SETTINGS if n in SMOOTH)], ids=str
)
def test_hessians_are_torchs(name: str, settings: dict, rng: np.random.Generator) -> None:
    Y, t = settings_and_targets(name, settings, np.dtype("float64"), rng, rows=3)
    loss, x = getattr(fb.losses, name).configured(**settings), fb.Input(4)
    net = fb.Model(x, fb.Rescaling(1.0)(x), dtype="float64")
    for n in range(3):
        own = torch.tensor(t[n : n + 1])
        twin = torch.func.jacrev(
            torch.func.grad(lambda y, own=own: torch_losses.LOSSES[name](y[None], own, **settings))
        )
        wanted = twin(torch.tensor(Y[n])).numpy()
        got = fb.hessian(net, Y[n : n + 1], t[n : n + 1], loss=loss)[0]
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)


def test_losses_with_kinks_have_no_curvature(rng: np.random.Generator) -> None:
    x = fb.Input(4)
    net = fb.Model(x, fb.Rescaling(1.0)(x), dtype="float64")
    for name in set(NAMES) - set(SMOOTH):
        t = reference.targets(name, 5, 4, rng)
        assert (fb.hessian(net, rng.normal(size=(5, 4)), t, loss=name) == 0).all()


KINKS = [
    ("mae", {}, [[1.0, 0.5, 1.5]], [[1.0, 1.0, 1.0]], [0, -1, 1]),
    ("huber", {"delta": 0.5}, [[0.5, -0.5, 0.0, 0.75]], [[0.0] * 4], [0.5, -0.5, 0, 0.5]),
    ("quantile", {"quantiles": 0.75}, [[1.0, 0.5, 1.5]], [[1.0, 1.0, 1.0]], [0, -0.75, 0.25]),
    ("expectile", {"expectiles": 0.75}, [[1.0, 0.5, 1.5]], [[1.0, 1.0, 1.0]], [0, -0.75, 0.25]),
    ("hinge", {}, [[1.0, 0.5, -1.0, -0.5]], [[1, 1, -1, 0]], [0, -1, 0, 1]),
    ("squared_hinge", {}, [[1.0, 0.5, -1.0, -0.5]], [[1, 1, -1, 0]], [0, -1, 0, 1]),
]


@pytest.mark.parametrize(("name", "settings", "Y", "t", "slopes"), KINKS)
def test_slopes_at_kinks(name: str, settings: dict, Y: list, t: list, slopes: list, dtype: np.dtype) -> None:
    """|x| and the margin of a hinge have slope 0 there."""
    _, dY = getattr(fb.losses, name)(np.array(Y, dtype), t, **settings)
    np.testing.assert_array_equal(dY[0] * len(slopes), slopes)


# Large logits


@pytest.mark.parametrize("name", [name for name in NAMES if name not in GROWING])
@pytest.mark.parametrize("scale", [1e-30, 1e-4, 50.0, 1e4])
def test_huge_and_tiny_outputs(name: str, scale: float, dtype: np.dtype, rng: np.random.Generator) -> None:
    Y = (np.array([[1, -1, 0.5, 0], [-1, 0, 1, 1], [1, 1, 1, 1], [-1, -1, -0.5, 0.25]]) * scale).astype(dtype)
    t = targets(name, "values", 4, 4, dtype, rng)
    got, dY = getattr(fb.losses, name)(Y, t)
    wanted, gradient = reference.loss(name, Y, t)
    assert got == pytest.approx(wanted, rel=1e-5 if dtype == np.float32 else 1e-13)
    np.testing.assert_allclose(dY, gradient, rtol=1e-4 if dtype == np.float32 else 1e-12, atol=1e-7)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_logits_of_ten_thousand_are_finite_where_the_loss_is(sign: float, dtype: np.dtype) -> None:
    Y = np.full((3, 2), sign * 1e4, dtype)
    t = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]], dtype)
    for name in NAMES:
        if name in GROWING:
            continue
        value, dY = getattr(fb.losses, name)(Y, np.round(t) if ROWS[name].whole else t)
        assert np.isfinite(value), name
        assert np.isfinite(dY).all(), name
    value, dY = fb.losses.poisson(-np.abs(Y), t)
    assert value == pytest.approx(1e4 * t.mean())
    np.testing.assert_allclose(dY, -t / 6, rtol=1e-6)
    value, dY = fb.losses.gaussian_nll(np.hstack([t, Y]), t)
    assert np.isfinite(value)
    assert np.isfinite(dY).all()


def test_a_small_log_cosh_keeps_its_digits(dtype: np.dtype) -> None:
    Y = np.array([[1e-6], [1e-3]], dtype)
    for n in range(2):
        value, _ = fb.losses.log_cosh(Y[n : n + 1], [[0.0]])
        assert value == pytest.approx(float(Y[n, 0]) ** 2 / 2, rel=1e-5)


def test_a_cosine_without_a_direction_is_1_and_flat(dtype: np.dtype) -> None:
    value, dY = fb.losses.cosine(np.zeros((2, 3), dtype), np.ones((2, 3)))
    assert value == 1
    assert (dY == 0).all()


# Weights, missing targets


@pytest.mark.parametrize("name", NAMES)
def test_equal_weights_of_values_are_those_of_rows(name: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    Y, t = outputs(name, 21, 4, dtype, rng), targets(name, "values", 21, 4, dtype, rng)
    w = rng.uniform(0.1, 3.0, size=21).astype(dtype)
    wanted = getattr(fb.losses, name)(Y, t, w)
    assert_loss(getattr(fb.losses, name)(Y, t, np.repeat(w[:, None], t.shape[1], axis=1)), wanted, dtype)


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_values_are_differentiated(name: str, rng: np.random.Generator) -> None:
    Y, t = outputs(name, 5, 6, np.float64, rng), targets(name, "values", 5, 6, np.float64, rng)
    w, loss = rng.uniform(0, 3.0, size=t.shape), getattr(fb.losses, name)
    reference.assert_gradient(lambda A: loss(A, t, w)[0], Y.copy(), loss(Y, t, w)[1], name)


@pytest.mark.parametrize("name", [name for name in NAMES if not ROWS[name].by_rows])
def test_weights_of_values_make_a_weighted_mean(name: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    Y, t = outputs(name, 23, 6, dtype, rng), targets(name, "values", 23, 6, dtype, rng)
    w = rng.uniform(0, 3.0, size=t.shape).astype(dtype)
    column = reference.loss(name, Y.reshape(-1, 1), t.reshape(-1, 1), w.ravel())
    got = getattr(fb.losses, name)(Y, t, w)
    assert_loss(got, (column[0], column[1].reshape(Y.shape)), dtype)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weighted", [None, "rows", "values"])
def test_a_missing_value_has_no_weight(
    name: str, weighted: str | None, dtype: np.dtype, rng: np.random.Generator
) -> None:
    Y, t = outputs(name, 39, 6, dtype, rng), targets(name, "values", 39, 6, dtype, rng)
    missing = rng.random(t.shape) < 0.4
    missing[5] = True
    w = np.ones(t.shape, dtype)
    if weighted is not None:
        w = w * rng.uniform(0.1, 3, size=(39, 1) if weighted == "rows" else t.shape).astype(dtype)
    loss = getattr(fb.losses, name)
    given = None if weighted is None else w[:, 0].copy() if weighted == "rows" else w
    got = loss(Y, np.where(missing, np.nan, t), given, mask_nan=True)
    assert_loss(got, loss(Y, t, np.where(missing, 0, w)), dtype)
    assert (got[1][5] == 0).all()
    assert_loss(loss(Y, t, given, mask_nan=True), loss(Y, t, given), dtype)
    if not ROWS[name].by_rows:
        assert (got[1][missing] == 0).all()


def test_a_missing_label_counts_nothing(dtype: np.dtype, rng: np.random.Generator) -> None:
    Y, t = rng.normal(size=(35, 4)).astype(dtype), rng.integers(4, size=35)
    known = rng.random(35) < 0.6
    floats = np.where(known, t, np.nan)
    for name, settings in (("cross_entropy", {"label_smoothing": 0.2}), ("kl_divergence", {})):
        value, dY = getattr(fb.losses, name)(Y, floats, mask_nan=True, **settings)
        wanted, gradient = getattr(fb.losses, name)(Y[known], t[known], **settings)
        assert value == pytest.approx(wanted, rel=1e-6)
        np.testing.assert_allclose(dY[known], gradient, rtol=1e-6, atol=1e-8)
        assert (dY[~known] == 0).all()


def test_nothing_known_is_no_loss(dtype: np.dtype) -> None:
    value, dY = fb.losses.mse(np.ones((3, 2), dtype), np.full((3, 2), np.nan), mask_nan=True)
    assert value == 0
    assert (dY == 0).all()


@pytest.mark.parametrize("loss", [fb.losses.Huber(mask_nan=True), fb.losses.GaussianNLL(mask_nan=True)], ids=str)
def test_training_with_gaps_is_the_loop_by_hand(
    loss: fb.losses.Loss, dtype: np.dtype, rng: np.random.Generator
) -> None:
    X, t = rng.normal(size=(53, 4)), reference.targets(loss.row.name, 53, 6, rng)
    t[rng.random(t.shape) < 0.3] = np.nan
    w = rng.uniform(0.1, 2, size=t.shape)
    nets = [fb.Sequential(fb.Input(4), fb.Dense(9, "tanh"), fb.Dense(6), dtype=dtype, seed=2) for _ in range(2)]
    history = nets[0].fit(X, t, loss=loss, optimizer=fb.Adam(), sample_weight=w, epochs=3, batch_size=11, seed=4)
    optimizer, order = fb.Adam(), np.random.default_rng(4)
    for _ in range(3):
        total = 0
        for xb, rows in fb.batches(X, np.arange(53), 11, seed=order):
            value, dY = loss(nets[1].forward(xb), t[rows].astype(dtype), w[rows].astype(dtype))
            nets[1].backward(dY)
            optimizer.step(nets[1])
            total += value * len(rows) / 53
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
    assert history.history["loss"][-1] == pytest.approx(total, rel=1e-6)
    rows = fb.per_sample_gradients(nets[0], X, t, loss)
    _, g = nets[0].value_and_grad(nets[0].params.copy(), X, t, loss=loss)
    np.testing.assert_allclose(rows.mean(axis=0), g, rtol=0, atol=2e-6 * max(1, np.abs(g).max()))


# Several outputs


def two_heads(dtype: str = "float64") -> fb.Model:
    x = fb.Input(4)
    h = fb.Dense(7, activation="tanh")(x)
    return fb.Model(x, [fb.Dense(3, name="kind")(h), fb.Dense(2, name="size")(h)], dtype=dtype, seed=1)


def test_weighted_sums_of_losses(rng: np.random.Generator) -> None:
    net, X = two_heads(), rng.normal(size=(9, 4))
    y = rng.integers(3, size=9), rng.normal(size=(9, 2))
    theta, losses = net.params.copy(), ("cross_entropy", fb.losses.Huber(delta=0.5))
    parts = [net.value_and_grad(theta, X, y, losses, share) for share in ((1, 0), (0, 1))]
    wanted = 2.0 * parts[0][0] + 0.25 * parts[1][0]
    for loss, shares in (
        (losses, (2.0, 0.25)),
        ({"size": losses[1], "kind": losses[0]}, {"size": 0.25, "kind": 2.0}),
        ((2.0 * fb.losses.cross_entropy, 0.25 * losses[1]), None),
        ((fb.losses.cross_entropy, lambda_of(losses[1])), (2.0, 0.25)),
    ):
        value, g = net.value_and_grad(theta, X, y, loss, shares)
        assert value == pytest.approx(wanted, rel=1e-13)
        np.testing.assert_allclose(g, 2.0 * parts[0][1] + 0.25 * parts[1][1], rtol=0, atol=1e-14)
        assert net.evaluate(X, y, loss=loss, loss_weights=shares)["loss"] == pytest.approx(wanted, rel=1e-13)
        assert fb.Trainer(net, loss, "sgd", loss_weights=shares).step(X, y) == pytest.approx(wanted, rel=1e-13)
        net.params = theta
    shared = {"size": y[1], "kind": y[0]}
    assert net.evaluate(X, shared, loss=losses, loss_weights=(2.0, 0.25))["loss"] == pytest.approx(wanted, rel=1e-13)


def lambda_of(loss: fb.losses.Loss):
    def own(Y, t, w=None):
        return loss(Y, t, w)

    return own


def test_weights_for_each_output(rng: np.random.Generator) -> None:
    net, X = two_heads(), rng.normal(size=(9, 4))
    y = rng.integers(3, size=9), rng.normal(size=(9, 2))
    w = rng.uniform(0.1, 2, size=9), rng.uniform(0.1, 2, size=(9, 2))
    Y, losses = net.predict(X), ("cross_entropy", "mse")
    wanted = fb.losses.cross_entropy(Y[0], y[0], w[0])[0] + fb.losses.mse(Y[1], y[1], w[1])[0]
    assert net.evaluate(X, y, loss=losses, sample_weight=w)["loss"] == pytest.approx(wanted, rel=1e-13)
    named = {"size": w[1], "kind": w[0]}
    assert net.evaluate(X, y, loss=losses, sample_weight=named)["loss"] == pytest.approx(wanted, rel=1e-13)
    one = fb.losses.cross_entropy(Y[0], y[0], w[0])[0] + fb.losses.mse(Y[1], y[1], w[0])[0]
    assert net.evaluate(X, y, loss=losses, sample_weight=w[0])["loss"] == pytest.approx(one, rel=1e-13)


# As objects

BAD_PARAMETERS = [
    ("Huber", {"delta": 0}, ValueError, ["delta", "above 0", "0"]),
    ("Huber", {"delta": "x"}, TypeError, ["delta", "'x'"]),
    ("Huber", {"delat": 1}, TypeError, ["delat", "delta", "mask_nan"]),
    ("Quantile", {"quantiles": [0.1, 1.0]}, ValueError, ["quantiles", "above 0 and below 1", "1.0"]),
    ("Quantile", {"quantiles": []}, ValueError, ["quantiles", "(0,)"]),
    ("Expectile", {"expectiles": 0.0}, ValueError, ["expectiles", "0.0"]),
    ("BinaryCrossEntropy", {"pos_weight": -1.0}, ValueError, ["pos_weight", "at least 0", "-1.0"]),
    ("CrossEntropy", {"label_smoothing": 1.0}, ValueError, ["label_smoothing", "1.0"]),
    ("CrossEntropy", {"class_weight": [[1.0]]}, ValueError, ["class_weight", "(1, 1)"]),
    ("Focal", {"alpha": 1.5}, ValueError, ["alpha", "0 ... 1", "1.5"]),
    ("Tweedie", {"power": 2.0}, ValueError, ["power", "above 1 and below 2"]),
    ("Poisson", {"log_input": "no"}, TypeError, ["log_input", "'no'"]),
]


@pytest.mark.parametrize(("name", "settings", "error", "words"), BAD_PARAMETERS, ids=str)
def test_bad_parameters_are_refused_when_the_loss_is_made(name, settings, error, words) -> None:
    with pytest.raises(error) as caught:
        getattr(fb.losses, name)(**settings)
    assert all(word in str(caught.value) for word in words), str(caught.value)


BAD_TARGETS = [
    ("gamma", [[1.0], [0.0]], ["0.0", "row 1", "above 0"]),
    ("poisson", [[1.0], [-2.0]], ["-2.0", "row 1", "at least 0"]),
    ("hinge", [[1.0], [0.5]], ["0.5", "row 1", "whole"]),
    ("hinge", [[2.0], [1.0]], ["2.0", "row 0"]),
    ("focal", [[1.0], [1.5]], ["1.5", "row 1", "0 ... 1"]),
    ("tweedie", [[0.0], [-1.0]], ["-1.0", "row 1"]),
    ("mse", [[0.0], [np.inf]], ["inf", "row 1"]),
]


@pytest.mark.parametrize(("name", "t", "words"), BAD_TARGETS, ids=str)
@pytest.mark.parametrize("mask_nan", [False, True])
def test_bad_targets_are_refused_with_their_row(name: str, t: list, words: list, mask_nan: bool) -> None:
    loss = getattr(fb.losses, name).configured(mask_nan=mask_nan)
    with pytest.raises(ValueError, match=words[1]) as caught:
        loss(np.ones((2, 1)), t)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    trainer = fb.Trainer(fb.Sequential(fb.Input(1), fb.Dense(1), seed=0), loss)
    with pytest.raises(ValueError, match=words[1]):
        trainer.step(np.ones((2, 1), np.float32), np.array(t, np.float32))


def test_widths_that_do_not_fit_are_refused() -> None:
    net = fb.Sequential(fb.Input(2), fb.Dense(3), seed=0)
    for loss, words in (
        (fb.losses.Quantile([0.1, 0.9]), "quantile wants 2 outputs for each target, got an output of width 3"),
        ("gaussian_nll", "gaussian_nll wants 2 outputs"),
        (fb.losses.CrossEntropy(class_weight=[1.0, 2.0]), "class_weight of cross_entropy .* each of 3 outputs, got 2"),
    ):
        with pytest.raises(ValueError, match=words):
            fb.Trainer(net, loss)
    with pytest.raises(TypeError, match=r"got the class Huber: Huber\(\) makes one"):
        fb.Trainer(net, fb.losses.Huber)
    with pytest.raises(ValueError, match="must be a tuple of 2, got 3"):
        fb.Trainer(two_heads(), ("mse", "mse"), loss_weights=(1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match="unknown output in loss 'sizes'; known: kind, size"):
        fb.Trainer(two_heads(), {"kind": "mse", "sizes": "mse"})
    with pytest.raises(ValueError, match="loss_weights has nothing for the output 'size'"):
        fb.Trainer(two_heads(), ("mse", "mse"), loss_weights={"kind": 1.0})


@pytest.mark.parametrize(("name", "settings"), [*((name, {}) for name in NAMES), *SETTINGS], ids=str)
def test_losses_are_pickled_shown_and_compared(name: str, settings: dict) -> None:
    loss = 0.5 * getattr(fb.losses, name).configured(mask_nan=True, **settings)
    for copy in (pickle.loads(pickle.dumps(loss)), eval(repr(loss), vars(fb.losses))):
        assert copy == loss
        assert copy.settings == loss.settings
        assert copy.weight == 0.5
    assert loss != getattr(fb.losses, name)


def test_a_trainer_keeps_its_losses_in_a_file(tmp_path, rng: np.random.Generator) -> None:
    X, y = rng.normal(size=(9, 4)), (rng.integers(3, size=9), rng.normal(size=(9, 2)))
    losses = (fb.losses.CrossEntropy(label_smoothing=0.1, class_weight=[1.0, 2.0, 3.0]), fb.losses.Huber(0.5))
    trainer = fb.Trainer(two_heads(), losses, fb.Adam(), loss_weights=(1.0, 0.3))
    trainer.step(X, y)
    trainer.save(tmp_path / "trainer.safetensors")
    again = fb.Trainer.load(tmp_path / "trainer.safetensors")
    assert again.objective.losses == losses
    assert [trainer.step(X, y) for _ in range(3)] == [again.step(X, y) for _ in range(3)]


@pytest.mark.parametrize("name", ["hinge", "squared_hinge", "binary_cross_entropy", "focal"])
def test_the_accuracy_of_a_margin_is_by_its_sign(name: str, rng: np.random.Generator) -> None:
    X, y = rng.normal(size=(40, 3)), rng.integers(2, size=40)
    net = fb.Sequential(fb.Input(3), fb.Dense(1), seed=0)
    got = net.evaluate(X, y, loss=name, metrics=["accuracy"])["accuracy"]
    assert got == np.mean((net.predict(X)[:, 0] > 0) == (y == 1))


def test_help_names_the_parameters() -> None:
    from inspect import signature

    text = str(signature(fb.losses.Tweedie))
    assert text == "(power=1.5, log_input=True, eps=1e-08, *, mask_nan=False)"
    for name in NAMES:
        cls = fb.losses.Loss.classes[name]
        assert ROWS[name].formula in cls.__doc__
        assert all(parameter.name in cls.__doc__ for parameter in ROWS[name].parameters)


# What losses of any kind have in common

@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_the_loss_is_a_mean_over_the_rows(
    name: str, kind: str, dtype: np.dtype, rng: np.random.Generator
) -> None:
    Y, t = outputs(name, 6, 4, dtype, rng), targets(name, kind, 6, 4, dtype, rng)
    once, dY = getattr(fb.losses, name)(Y, t)
    twice, dY2 = getattr(fb.losses, name)(np.concatenate([Y, Y]), np.concatenate([t, t]))
    assert once == pytest.approx(twice, rel=1e-6)
    np.testing.assert_allclose(dY2[:6] * 2, dY, rtol=1e-6)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_weight_counts_as_so_many_rows(name: str, kind: str, rng: np.random.Generator) -> None:
    Y, t = outputs(name, 4, 2, np.float64, rng), targets(name, kind, 4, 2, np.float64, rng)
    counts = np.array([2, 0, 1, 3])
    weighted, dY = getattr(fb.losses, name)(Y, t, counts.astype(np.float64))
    repeated, _ = getattr(fb.losses, name)(np.repeat(Y, counts, axis=0), np.repeat(t, counts, axis=0))
    assert weighted == pytest.approx(repeated, rel=1e-13)
    assert (dY[1] == 0).all()


@pytest.mark.parametrize("name", [name for name, kind in KINDS if kind == "indices"])
def test_indices_are_one_hot_values(name: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    Y, t = outputs(name, 9, 4, dtype, rng), rng.integers(4, size=9)
    by_index, dY = getattr(fb.losses, name)(Y, t)
    by_value, dY2 = getattr(fb.losses, name)(Y, np.eye(4, dtype=dtype)[t])
    assert by_index == pytest.approx(by_value, rel=1e-6)
    np.testing.assert_allclose(dY, dY2, atol=1e-7)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("cross_entropy")])
def test_entropies_stand_logits_of_any_size(name: str, dtype: np.dtype) -> None:
    Y = np.array([[1e30, -1e30], [-1e30, 1e30]], dtype=dtype)
    t = np.array([[1, 0], [1, 0]], dtype=dtype)
    value, dY = getattr(fb.losses, name)(Y[:1], t[:1])
    assert value == 0
    assert (dY == 0).all()
    value, dY = getattr(fb.losses, name)(Y[1:], t[1:])
    assert value == pytest.approx(reference.loss(name, Y[1:], t[1:])[0], rel=1e-6)
    np.testing.assert_allclose(dY, reference.loss(name, Y[1:], t[1:])[1], rtol=1e-6)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_nan_output_is_a_nan_loss(name: str, kind: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    for position in [(0, 0), (2, 1), (5, 18), (6, 36)]:
        Y, t = outputs(name, 7, 38, dtype, rng), targets(name, kind, 7, 38, dtype, rng)
        Y[position] = np.nan
        assert np.isnan(getattr(fb.losses, name)(Y, t)[0])


def test_cross_entropy_of_nothing_known_is_the_logarithm_of_the_classes(dtype: np.dtype) -> None:
    value, dY = fb.losses.cross_entropy(np.zeros((6, 5), dtype=dtype), np.array([0, 1, 2, 3, 4, 0]))
    assert value == pytest.approx(np.log(5), rel=1e-6)
    np.testing.assert_allclose(dY.sum(axis=1), 0, atol=1e-7)


@pytest.mark.parametrize("shift", [1024.0, 2.0**14, -(2.0**14), 2.0**20])
@pytest.mark.parametrize("kind", ["indices", "values"])
def test_cross_entropy_does_not_move_when_all_logits_do(shift: float, kind: str, dtype: np.dtype) -> None:
    """Whole logits, so that the shifted ones are exact: the loss must be made of differences."""
    Y = np.array([[0, 1, 2, 0], [2, 1, 1, 0], [3, 3, 3, 3]], dtype=dtype)
    t = np.array([1, 3, 0])
    t = t if kind == "indices" else np.eye(4, dtype=dtype)[t] * dtype.type(0.7) + dtype.type(0.075)
    value, dY = fb.losses.cross_entropy(Y, t)
    moved, moved_dY = fb.losses.cross_entropy(Y + dtype.type(shift), t)
    assert moved == pytest.approx(value, rel=1e-5 if dtype == np.float32 else 1e-13)
    np.testing.assert_allclose(moved_dY, dY, rtol=1e-5)


def test_a_class_that_is_ruled_out_counts_nothing(dtype: np.dtype) -> None:
    Y = np.array([[0.5, -np.inf, 2.0], [-np.inf, 1.0, 1.5]], dtype=dtype)
    value, dY = fb.losses.cross_entropy(Y, np.array([0, 2]))
    without = [
        fb.losses.cross_entropy(row, np.array([k]))[0]
        for row, k in ((Y[:1, ::2].copy(), 0), (Y[1:, 1:].copy(), 1))
    ]
    assert value == pytest.approx(np.mean(without), rel=1e-6)
    assert dY[0, 1] == dY[1, 0] == 0


@pytest.mark.parametrize("kind", ["indices", "values"])
def test_an_infinite_logit_is_no_finite_loss(kind: str, dtype: np.dtype) -> None:
    for row in ([0.5, np.inf, 2.0], [0.5, -np.inf, 2.0], [np.inf, np.inf, 0.0], [-np.inf] * 3):
        t = np.array([1]) if kind == "indices" else np.eye(3, dtype=dtype)[[1]]
        assert not np.isfinite(fb.losses.cross_entropy(np.array([row], dtype=dtype), t)[0])


def test_mse_is_a_mean_and_no_half_of_it() -> None:
    value, dY = fb.losses.mse(np.array([[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), np.zeros((3, 2)))
    assert value == 9 / 6
    assert dY[0, 0] == 2 * 3 / 6


def test_the_losses_module_lists_the_table() -> None:
    assert set(NAMES) <= set(dir(fb.losses))
    with pytest.raises(AttributeError):
        _ = fb.losses.no_such_loss


def test_targets_of_one_output_may_be_flat(dtype: np.dtype, rng: np.random.Generator) -> None:
    Y, t = outputs("mse", 6, 1, dtype, rng), rng.normal(size=6).astype(dtype)
    flat, dY = fb.losses.mse(Y, t)
    column, dY2 = fb.losses.mse(Y, t[:, None])
    assert flat == column
    np.testing.assert_array_equal(dY, dY2)


def test_soft_targets_that_are_no_distribution(rng: np.random.Generator) -> None:
    """Refused, or differentiated as they are: never a value of one kind and a gradient of another."""
    Y, t = outputs("mse", 5, 3, np.float64, rng), rng.uniform(0.1, 0.9, size=(5, 3))
    try:
        dY = fb.losses.cross_entropy(Y, t)[1]
    except ValueError:
        return
    reference.assert_gradient(lambda A: fb.losses.cross_entropy(A, t)[0], Y.copy(), dY)
