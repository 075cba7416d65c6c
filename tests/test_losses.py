"""Every loss of the engine's table: value and gradient against the formulas, and against each other.

A loss documented as a mean and computed as a sum passes a test of its gradient alone; so each value is
differentiated numerically and compared with the gradient that is given out with it.
"""

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp import _engine

NAMES = sorted(_engine.LOSSES)
KINDS = [
    (name, kind) for name in NAMES for kind in ("indices", "values") if getattr(_engine.LOSSES[name], kind)
]
SHAPES = [(1, 2), (3, 2), (2, 5), (7, 3), (5, 16), (6, 17), (33, 10), (3, 130), (64, 1), (257, 4)]


def targets(kind: str, rows: int, outputs: int, dtype: np.dtype, rng: np.random.Generator) -> np.ndarray:
    if kind == "indices":
        return rng.integers(outputs, size=rows)
    return reference.softmax(rng.normal(size=(rows, outputs))).astype(dtype)


def logits(rows: int, outputs: int, dtype: np.dtype, rng: np.random.Generator) -> np.ndarray:
    return (rng.normal(size=(rows, outputs)) * 3).astype(dtype)


def test_every_row_of_the_table_has_a_reference_line() -> None:
    assert set(_engine.LOSSES) == set(reference.LOSSES)
    assert {"mse", "cross_entropy", "binary_cross_entropy"} <= set(NAMES)


def test_every_loss_takes_some_target() -> None:
    assert {name for name, _ in KINDS} == set(NAMES)


@pytest.mark.parametrize(("name", "kind"), KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradient(
    name: str, kind: str, shape: tuple[int, int], weighted: bool, dtype: np.dtype
) -> None:
    rng = np.random.default_rng(shape)
    Y, t = logits(*shape, dtype, rng), targets(kind, *shape, dtype, rng)
    w = rng.uniform(0.1, 3.0, size=shape[0]).astype(dtype) if weighted else None
    got, dY = _engine.loss(name, Y, t, w)
    wanted, gradient = reference.loss(name, Y, t, w)
    limit = 2e-6 if dtype == np.float32 else 1e-13
    assert isinstance(got, float)
    assert dY.dtype == dtype
    assert dY.shape == shape
    assert abs(got - wanted) <= limit * (1 + abs(wanted))
    np.testing.assert_allclose(dY, gradient, rtol=0, atol=limit * max(np.abs(gradient).max(), 1 / shape[0]))


@pytest.mark.parametrize(("name", "kind"), KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_is_that_of_the_value(
    name: str, kind: str, weighted: bool, rng: np.random.Generator
) -> None:
    Y, t = logits(5, 3, np.float64, rng), targets(kind, 5, 3, np.float64, rng)
    w = rng.uniform(0.1, 3.0, size=5) if weighted else None
    dY = _engine.loss(name, Y, t, w)[1]
    reference.assert_gradient(lambda A: _engine.loss(name, A, t, w)[0], Y.copy(), dY, name)


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_itself_is_right(name: str, rng: np.random.Generator) -> None:
    Y, t, w = (
        logits(5, 3, np.float64, rng),
        targets("values", 5, 3, np.float64, rng),
        rng.uniform(0.1, 3.0, size=5),
    )
    reference.assert_gradient(
        lambda A: reference.loss(name, A, t, w)[0], Y.copy(), reference.loss(name, Y, t, w)[1]
    )


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_the_loss_is_a_mean_over_the_rows(
    name: str, kind: str, dtype: np.dtype, rng: np.random.Generator
) -> None:
    Y, t = logits(6, 4, dtype, rng), targets(kind, 6, 4, dtype, rng)
    once, dY = _engine.loss(name, Y, t, None)
    twice, dY2 = _engine.loss(name, np.concatenate([Y, Y]), np.concatenate([t, t]), None)
    assert once == pytest.approx(twice, rel=1e-6)
    np.testing.assert_allclose(dY2[:6] * 2, dY, rtol=1e-6)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_weight_counts_as_so_many_rows(name: str, kind: str, rng: np.random.Generator) -> None:
    Y, t = logits(4, 3, np.float64, rng), targets(kind, 4, 3, np.float64, rng)
    counts = np.array([2, 0, 1, 3])
    weighted, dY = _engine.loss(name, Y, t, counts.astype(np.float64))
    repeated, _ = _engine.loss(name, np.repeat(Y, counts, axis=0), np.repeat(t, counts, axis=0), None)
    assert weighted == pytest.approx(repeated, rel=1e-13)
    assert (dY[1] == 0).all()


@pytest.mark.parametrize("name", [name for name, kind in KINDS if kind == "indices"])
def test_indices_are_one_hot_values(name: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    Y, t = logits(9, 4, dtype, rng), rng.integers(4, size=9)
    if not _engine.LOSSES[name].values:
        return
    by_index, dY = _engine.loss(name, Y, t, None)
    by_value, dY2 = _engine.loss(name, Y, np.eye(4, dtype=dtype)[t], None)
    assert by_index == pytest.approx(by_value, rel=1e-6)
    np.testing.assert_allclose(dY, dY2, atol=1e-7)


@pytest.mark.parametrize(("name", "kind"), KINDS)
@pytest.mark.parametrize("scale", [1e-30, 1e-4, 50.0, 1e4])
def test_huge_and_tiny_outputs(
    name: str, kind: str, scale: float, dtype: np.dtype, rng: np.random.Generator
) -> None:
    Y = (np.array([[1, -1, 0.5], [-1, 0, 1], [1, 1, 1], [-1, -1, -0.5]]) * scale).astype(dtype)
    t = targets(kind, 4, 3, dtype, rng)
    got, dY = _engine.loss(name, Y, t, None)
    wanted, gradient = reference.loss(name, Y, t)
    assert got == pytest.approx(wanted, rel=1e-5 if dtype == np.float32 else 1e-13)
    np.testing.assert_allclose(dY, gradient, rtol=1e-4 if dtype == np.float32 else 1e-12, atol=1e-7)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("cross_entropy")])
def test_entropies_stand_logits_of_any_size(name: str, dtype: np.dtype) -> None:
    Y = np.array([[1e30, -1e30], [-1e30, 1e30]], dtype=dtype)
    t = np.array([[1, 0], [1, 0]], dtype=dtype)
    value, dY = _engine.loss(name, Y[:1], t[:1], None)
    assert value == 0
    assert (dY == 0).all()
    value, dY = _engine.loss(name, Y[1:], t[1:], None)
    assert value == pytest.approx(reference.loss(name, Y[1:], t[1:])[0], rel=1e-6)
    np.testing.assert_allclose(dY, reference.loss(name, Y[1:], t[1:])[1], rtol=1e-6)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_nan_output_is_a_nan_loss(name: str, kind: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    for position in [(0, 0), (2, 1), (5, 18), (6, 36)]:
        Y, t = logits(7, 37, dtype, rng), targets(kind, 7, 37, dtype, rng)
        Y[position] = np.nan
        assert np.isnan(_engine.loss(name, Y, t, None)[0])


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
    value, dY = _engine.loss("cross_entropy", Y, t, None)
    moved, moved_dY = _engine.loss("cross_entropy", Y + dtype.type(shift), t, None)
    assert moved == pytest.approx(value, rel=1e-5 if dtype == np.float32 else 1e-13)
    np.testing.assert_allclose(moved_dY, dY, rtol=1e-5)


def test_a_class_that_is_ruled_out_counts_nothing(dtype: np.dtype) -> None:
    Y = np.array([[0.5, -np.inf, 2.0], [-np.inf, 1.0, 1.5]], dtype=dtype)
    value, dY = _engine.loss("cross_entropy", Y, np.array([0, 2]), None)
    without = [
        _engine.loss("cross_entropy", row, np.array([k]), None)[0]
        for row, k in ((Y[:1, ::2].copy(), 0), (Y[1:, 1:].copy(), 1))
    ]
    assert value == pytest.approx(np.mean(without), rel=1e-6)
    assert dY[0, 1] == dY[1, 0] == 0


@pytest.mark.parametrize("kind", ["indices", "values"])
def test_an_infinite_logit_is_no_finite_loss(kind: str, dtype: np.dtype) -> None:
    for row in ([0.5, np.inf, 2.0], [0.5, -np.inf, 2.0], [np.inf, np.inf, 0.0], [-np.inf] * 3):
        t = np.array([1]) if kind == "indices" else np.eye(3, dtype=dtype)[[1]]
        assert not np.isfinite(_engine.loss("cross_entropy", np.array([row], dtype=dtype), t, None)[0])


def test_mse_is_a_mean_and_no_half_of_it() -> None:
    value, dY = fb.losses.mse(np.array([[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), np.zeros((3, 2)))
    assert value == 9 / 6
    assert dY[0, 0] == 2 * 3 / 6


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_the_public_losses_are_the_same_kernels(
    name: str, kind: str, dtype: np.dtype, rng: np.random.Generator
) -> None:
    Y, t = logits(6, 4, dtype, rng), targets(kind, 6, 4, dtype, rng)
    w = rng.uniform(0.1, 3.0, size=6).astype(dtype)
    public = getattr(fb.losses, name)
    for weights in (None, w):
        value, dY = public(Y, t, sample_weight=weights)
        same, dY2 = _engine.loss(name, Y, t, weights)
        assert value == same
        np.testing.assert_array_equal(dY, dY2)


def test_the_losses_module_lists_the_table() -> None:
    assert set(NAMES) <= set(dir(fb.losses))
    with pytest.raises(AttributeError):
        _ = fb.losses.no_such_loss


def test_targets_of_one_output_may_be_flat(dtype: np.dtype, rng: np.random.Generator) -> None:
    Y, t = logits(6, 1, dtype, rng), rng.normal(size=6).astype(dtype)
    flat, dY = fb.losses.mse(Y, t)
    column, dY2 = fb.losses.mse(Y, t[:, None])
    assert flat == column
    np.testing.assert_array_equal(dY, dY2)


def test_soft_targets_that_are_no_distribution(rng: np.random.Generator) -> None:
    """Refused, or differentiated as they are: never a value of one kind and a gradient of another."""
    Y, t = logits(5, 3, np.float64, rng), rng.uniform(0.1, 0.9, size=(5, 3))
    try:
        dY = fb.losses.cross_entropy(Y, t)[1]
    except ValueError:
        return
    reference.assert_gradient(lambda A: fb.losses.cross_entropy(A, t)[0], Y.copy(), dY)
