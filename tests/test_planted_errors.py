"""A wrong derivative is caught: a factor of 1.001 planted in each place makes the suite's own checks fail.

A check that cannot fail is none. What is planted is small enough to hide in a loose tolerance, and each
check is first shown to pass without it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp import _engine, schedules as s
from nets import assert_gradients, changed
from rates import SCHEDULES, assert_rates, wanted
from whole_batch import (
    METHODS,
    assert_derivatives,
    assert_exact,
    assert_normal_equations,
    given_to_scipy,
    two_headed,
)

FACTOR = 1.001


def dy_and_z(name: str) -> tuple[np.ndarray, np.ndarray, fb.activations.ActivationFunction]:
    rng = np.random.default_rng(3)
    return rng.uniform(0.5, 2.0, size=(5, 3)), rng.normal(size=(5, 3)), fb.activations.resolve(name)


@pytest.mark.parametrize("name", sorted(_engine.ACTIVATIONS))
def test_in_the_slope_of_an_activation(name: str) -> None:
    dY, Z, f = dy_and_z(name)
    dZ = fb.functional.activation_backward(dY, Z, f(Z), f)

    def objective(A: np.ndarray) -> float:
        return float((dY * f(A)).sum())

    reference.assert_gradient(objective, Z, dZ)
    with pytest.raises(AssertionError, match="off by"):
        reference.assert_gradient(objective, Z, dZ * FACTOR)


@pytest.mark.parametrize("name", sorted(_engine.LOSSES))
def test_in_the_gradient_or_the_value_of_a_loss(name: str) -> None:
    rng = np.random.default_rng(3)
    Y, t, loss = rng.normal(size=(5, 6)), reference.targets(name, 5, 6, rng), getattr(fb.losses, name)
    dY = loss(Y, t)[1]
    reference.assert_gradient(lambda A: loss(A, t)[0], Y, dY)
    with pytest.raises(AssertionError, match="off by"):
        reference.assert_gradient(lambda A: loss(A, t)[0], Y, dY * FACTOR)
    with pytest.raises(AssertionError, match="off by"):
        reference.assert_gradient(lambda A: FACTOR * loss(A, t)[0], Y, dY)


def net_and_batch() -> tuple[fb.Sequential, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    layers = (fb.Dense(7, activation="tanh"), fb.Dense(6, activation="sigmoid"), fb.Dense(3))
    net = fb.Sequential(fb.Input(4), *layers, dtype="float64", seed=1)
    return net, rng.normal(size=(5, 4)), rng.integers(3, size=5)


@pytest.mark.parametrize("block", range(6))
def test_in_one_block_of_a_nets_gradient(block: int) -> None:
    net, X, y = net_and_batch()
    _, g = net.value_and_grad(net.params.copy(), X, y, loss="cross_entropy")

    def objective() -> float:
        return net.value_and_grad(net.params.copy(), X, y, loss="cross_entropy")[0]

    assert_gradients(net, objective, g)
    ends = np.cumsum([0, *(view.size for view in net.arrays().values())])
    g[ends[block] : ends[block + 1]] *= FACTOR
    with pytest.raises(AssertionError, match=f"{list(net.arrays())[block]} is off by"):
        assert_gradients(net, objective, g)


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("place", ["slope", "dW", "db", "dX"])
def test_in_one_layer_of_a_backward_pass_by_hand(layer: int, place: str) -> None:
    """The whole chain of functions with one derivative spoiled: a gradient at or below it must be off."""
    net, X, y = net_and_batch()
    f = fb.functional
    layers = [(np.array(d.W), np.array(d.b), d.activation) for d in net.layers]

    def forward() -> tuple[list[np.ndarray], float, np.ndarray]:
        ys = [X]
        for W, b, name in layers:
            ys.append(f.dense_forward(ys[-1], W, b, activation=name))
        return ys, *fb.losses.cross_entropy(ys[-1], y)

    def gradients(planted: Callable[[int, str], float]) -> dict[str, np.ndarray]:
        ys, _, d = forward()
        found = {}
        for k in (2, 1, 0):
            W, b, name = layers[k]
            d, found[f"{k}.dW"], found[f"{k}.db"] = f.dense_backward(
                d * planted(k, "slope"), ys[k], W, b, ys[k + 1], activation=name
            )
            d = d * planted(k, "dX")
            found[f"{k}.dW"] *= planted(k, "dW")
            found[f"{k}.db"] *= planted(k, "db")
        found["dX"] = d
        return found

    def check(found: dict[str, np.ndarray]) -> None:
        for k, (W, b, _) in enumerate(layers):
            reference.assert_gradient(lambda _: forward()[1], W, found[f"{k}.dW"], f"dW of layer {k}")
            reference.assert_gradient(lambda _: forward()[1], b, found[f"{k}.db"], f"db of layer {k}")
        reference.assert_gradient(lambda _: forward()[1], X, found["dX"], "dX")

    check(gradients(lambda k, what: 1.0))
    with pytest.raises(AssertionError, match="off by"):
        check(gradients(lambda k, what: FACTOR if (k, what) == (layer, place) else 1.0))


@pytest.mark.parametrize("name", sorted(reference.ACTIVATIONS))
def test_in_the_reference(name: str) -> None:
    dY, Z, f = dy_and_z(name)
    dZ = FACTOR * reference.activation_vjp(name, dY, Z, *f.parameters)
    with pytest.raises(AssertionError, match="off by"):
        reference.assert_gradient(lambda A: float((dY * reference.activation(name, A, *f.parameters)).sum()), Z, dZ)


@pytest.mark.parametrize("rule", sorted(_engine.RULES))
def test_in_an_optimizer_rule(rule: str) -> None:
    """A learning rate that is off by a thousandth is seen after ten steps, far above the limits."""
    rng = np.random.default_rng(0)
    scalars = reference.RULES[rule][1]
    rules, one = [(rule, scalars)], np.ones(9)
    if (reference.RULES[rule][0](one, one, [0 * one] * 4, 1, 0.1, *scalars)[0] == one).all():  # it only hands on
        rules.append(("sgd", ()))
    states = [_engine.RULES[name].states for name, _ in rules]
    ours, wanted = _engine.Chain("float64", [(1.0, rules)], 9), reference.Chain(rules, states, 9)
    p = rng.normal(size=9)
    q = p.copy()
    for _ in range(10):
        g = rng.normal(size=9)
        _engine.functional.update(ours, p, g, 0.01 * FACTOR)
        q = wanted.step(q, g, 0.01)
    assert np.abs(p - q).max() > 1e-9


def spoiled_schedules(schedule: s.Schedule) -> Iterator[tuple[str, s.Schedule]]:
    """The schedule with each of its settings a thousandth, a step or a word off, one at a time."""
    for name, value in schedule.settings.items():
        for other in spoiled_values(value):
            yield f"{name}={other}", type(schedule)(**{**schedule.settings, name: other})


def spoiled_values(value: object) -> Iterator[object]:
    if isinstance(value, s.Schedule):
        yield from (spoiled for _, spoiled in spoiled_schedules(value))
    elif isinstance(value, (list, tuple)):
        for k, one in enumerate(value):
            off = one * FACTOR if isinstance(one, float) else one - 1 if one + 1 in value else one + 1
            yield [*value[:k], off, *value[k + 1 :]]
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, float) and value:
        yield value * FACTOR


def agrees(schedule: s.Schedule, rates: list[float]) -> bool:
    try:
        assert_rates(schedule, rates)
    except AssertionError:
        return False
    return True


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")
@pytest.mark.parametrize("case", SCHEDULES)
def test_in_the_rates_or_a_setting_of_a_schedule(case: str) -> None:
    schedule, rates = SCHEDULES[case][0], wanted(SCHEDULES[case][1])
    assert agrees(schedule, rates)
    assert not agrees(schedule, [FACTOR * rate for rate in rates])
    spoiled = dict(spoiled_schedules(schedule))
    assert spoiled or case == "function"
    assert [name for name, other in spoiled.items() if agrees(other, rates)] == []


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("weighted", [False, True])
def test_in_the_normal_equations(place: int, weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The residuals, J'r or J'J: a step of Levenberg and Marquardt's that is a little off comes to the same end."""
    problem, J, value = two_headed(weighted)
    assert_normal_equations(problem, J, value)
    residuals, equations = problem.residuals, problem.normal_equations
    if place == 0:
        monkeypatch.setattr(problem, "residuals", lambda: [FACTOR * r for r in residuals()])
    else:
        factors = np.where(np.arange(1, 3) == place, FACTOR, 1)
        found = lambda r: tuple(part * factor for part, factor in zip(equations(r), factors, strict=True))  # noqa: E731
        monkeypatch.setattr(problem, "normal_equations", found)
    with pytest.raises(AssertionError):
        assert_normal_equations(problem, J, value)


@pytest.mark.parametrize("method", METHODS[1:])
def test_in_what_scipy_is_given(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, product, theta = given_to_scipy(method, monkeypatch)

    def spoiled(at: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = function(at)
        return value, gradient * FACTOR

    assert_derivatives(function, product, theta)
    with pytest.raises(AssertionError, match="off by"):
        assert_derivatives(spoiled, None, theta)
    if product is not None:
        with pytest.raises(AssertionError):
            assert_derivatives(function, lambda *at: FACTOR * product(*at), theta)


@pytest.mark.parametrize(
    ("method", "place"),
    [
        (method, place)
        for method in METHODS
        for place in ("loss", "target", "weight of a row")
        if (method, place) != ("newton-cg", "weight of a row")  # it takes none
    ],
)
def test_in_what_minimize_finds(method: str, place: str) -> None:
    def spoiled(net: fb.Model, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None, **settings):
        if place == "target":
            y = changed(y, ((4, 1), y[4, 1] * FACTOR))
        if place == "weight of a row":
            sample_weight = changed(sample_weight, (4, sample_weight[4] * FACTOR))
        found = fb.minimize(net, X, y, sample_weight=sample_weight, **settings)
        return replace(found, loss=found.loss * FACTOR) if place == "loss" else found

    assert_exact(method, "float64")
    with pytest.raises(AssertionError):
        assert_exact(method, "float64", spoiled)


def test_a_relative_error_of_one_unit_too_many_is_seen() -> None:
    """The measure of accuracy itself: the neighbour five places on is five units off."""
    for dtype in (np.float32, np.float64):
        wanted = np.array([1.5, -3e-20, 1e30], dtype=dtype)
        got = wanted.copy()
        for _ in range(5):
            got = np.nextafter(got, np.array(np.inf, dtype=dtype))
        np.testing.assert_allclose(reference.ulps(got, wanted), 5, rtol=1e-3)
        assert (reference.ulps(wanted, wanted) == 0).all()
