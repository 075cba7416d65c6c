"""Every loss of the engine's table: value and gradient against the formulas, PyTorch, and each other.

A loss documented as a mean and computed as a sum passes a test of its gradient alone; so each value is
differentiated numerically and compared with the gradient that is given out with it.
"""

import numpy as np
import pytest

import fastbp as fb
import reference
import torch_losses
from loss_cases import KINDS, NAMES, ROWS, SETTINGS, assert_loss, outputs, settings_and_targets, targets
from torch_twin import torch

SHAPES = [(1, 2), (3, 2), (2, 6), (7, 4), (5, 16), (6, 18), (33, 10), (3, 130), (64, 2), (1001, 4), (150, 130)]
# Where the loss itself is beyond all numbers, and where it depends on lengths alone.
GROWING = ("poisson", "gamma", "tweedie", "gaussian_nll", "cosine")
SMOOTH = [name for name in NAMES if ROWS[name].smooth]


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
def test_the_gradient_is_that_of_the_value(name: str, settings: dict, weighted: bool, rng: np.random.Generator) -> None:
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


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_a_class_that_is_nearly_certain_keeps_the_digits_of_the_rest(gamma: float, dtype: np.dtype) -> None:
    """Two classes, q = exp(-gap) / (1 + exp(-gap)): where 1 - p is 0 in the numbers, its power need not be."""
    for gap in (5.0, 20.0, 28.0 if dtype == np.float32 else 60.0):
        for shift in (0.0, 64.0):
            Y = np.array([[gap + shift, shift, shift - 200]], dtype)
            value, dY = fb.losses.focal_cross_entropy(Y, [0], gamma=gamma)
            loss, q = np.log1p(np.exp(-gap)), np.exp(-gap) / (1 + np.exp(-gap))
            slope = q**gamma * (q + gamma * (1 - q) * loss)
            limit = 3e-6 if dtype == np.float32 else 2e-14
            assert value == pytest.approx(q**gamma * loss, rel=limit, abs=0)
            np.testing.assert_allclose(dY[0], [-slope, slope, 0], rtol=limit, atol=limit * slope)


def test_focal_cross_entropy_without_focus_is_cross_entropy(dtype: np.dtype, rng: np.random.Generator) -> None:
    Y, t, w = outputs("cross_entropy", 37, 5, dtype, rng), rng.integers(5, size=37), [1.0, 0.5, 2.0, 0.0, 3.0]
    got = fb.losses.focal_cross_entropy(Y, t, gamma=0, alpha=w, label_smoothing=0.1)
    assert_loss(got, fb.losses.cross_entropy(Y, t, class_weight=w, label_smoothing=0.1), dtype)


def test_a_cosine_without_a_direction_is_1_and_flat(dtype: np.dtype) -> None:
    value, dY = fb.losses.cosine(np.zeros((2, 3), dtype), np.ones((2, 3)))
    assert value == 1
    assert (dY == 0).all()


# What losses of any kind have in common


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_the_loss_is_a_mean_over_the_rows(name: str, kind: str, dtype: np.dtype, rng: np.random.Generator) -> None:
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
    assert weighted == pytest.approx(repeated * counts.sum() / len(counts), rel=1e-13)
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
        fb.losses.cross_entropy(row, np.array([k]))[0] for row, k in ((Y[:1, ::2].copy(), 0), (Y[1:, 1:].copy(), 1))
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
