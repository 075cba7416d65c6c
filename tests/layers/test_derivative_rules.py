"""Derivatives as nodes: an error in any rule is seen, and what has no derivative is refused by its name."""

import warnings

import numpy as np
import pytest

import fastbp as fb
from derivative_nets import assert_as_torch
from fastbp import _engine
from fastbp._engine import reverse_graph

# What an error in a rule does


def moved(kind: str) -> fb.Model:
    """A net whose derivatives need the rule of a kind of op."""
    x = fb.Input(2)
    h = fb.Dense(2, "tanh")(x) * fb.Dense(2, "sigmoid")(x)
    if kind in ("reciprocal_root", "scale", "sum", "broadcast"):
        h = fb.LayerNorm()(fb.Dense(4)(h))
    if kind == "prelu":
        h = fb.PReLU(init=0.3)(h)
    if kind in ("divide", "power", "log"):
        h = fb.log(h + 2) ** 1.5 / (h * h + 1)
    if kind in ("log_det", "inverse", "interleave"):
        z = h + 2 * x
        u = fb.logdet(z, x) + fb.Dense(1)(fb.jac(z, x, mode="forward"))
    else:
        parts = fb.Dense(3, "tanh")(h), fb.maximum(h, 0.1)[:, :1] * h[:, 1:] - h[:, :1] + fb.Dense(1)(h)
        u = fb.Dense(1)(fb.Concatenate()(*parts))
    G = fb.grad(u, x, mode="reverse")
    outs = [G, fb.jac(G, x), fb.laplacian(u, x, mode="nested")]
    if kind == "slope":
        outs += [fb.diff(fb.diff(fb.diff(fb.diff(u, x[:, 0]), x[:, 1]), x[:, 0]), x[:, 0])]
    return fb.Model(x, outs, dtype="float64", seed=1)


RULES = ["dense", "multiply", "concatenate", "slice", "subtract", "maximum", "jet", "slope", "transposed", "prelu"]
RULES += ["scatter", "reciprocal_root", "scale", "sum", "broadcast", "log_det", "inverse", "interleave"]
RULES += ["divide", "power", "log"]


@pytest.mark.filterwarnings("ignore:.*second derivative is 0")
@pytest.mark.parametrize("kind", RULES)
def test_an_error_planted_in_a_tangent_rule_is_caught(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_as_torch(moved(kind))
    rule = _engine.TANGENT_RULES[kind]

    def wrong(graph, *arguments):
        Y, T = rule(graph, *arguments)
        return Y, graph.scaled(T, 1.001)

    monkeypatch.setitem(_engine.TANGENT_RULES, kind, wrong)
    with pytest.raises(AssertionError):
        assert_as_torch(moved(kind))


REVERSED = [
    "dense",
    "activation",
    "multiply",
    "concatenate",
    "slice",
    "subtract",
    "maximum",
    "prelu",
    "sum",
    "broadcast",
]
REVERSED += ["reciprocal_root", "scale", "log_det", "interleave", "add"]
REVERSED += ["divide", "power", "log"]


@pytest.mark.filterwarnings("ignore:.*second derivative is 0")
@pytest.mark.parametrize("kind", REVERSED)
def test_an_error_planted_in_a_gradient_rule_is_caught(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = reverse_graph.GRADIENT_RULES[kind]

    def wrong(graph, *arguments):
        return [graph.scaled(G, 1.001) for G in rule(graph, *arguments)]

    monkeypatch.setitem(reverse_graph.GRADIENT_RULES, kind, wrong)
    with pytest.raises(AssertionError):
        assert_as_torch(moved(kind))


# What is refused


def test_bad_input_is_refused_by_name() -> None:
    x, y = fb.Input(3, name="x"), fb.Input(2, name="y")
    h = fb.Dense(3, "tanh", name="h")(x)
    u = fb.Dense(1, name="u")(h)
    for call, error, words in (
        (lambda: fb.diff(u, h), ValueError, "diff is by an input or columns of one.*h, width 3"),
        (lambda: fb.grad(u, h[:, 0]), ValueError, "grad is by an input"),
        (lambda: fb.diff(u, x), ValueError, "diff wants one column, got <Input x, width 3>"),
        (lambda: fb.diff(u, x[:, :2]), ValueError, "diff wants one column"),
        (lambda: fb.diff(u, y[:, 0]), ValueError, "diff: .*u, width 1.* does not depend on .*y, width 2"),
        (lambda: fb.grad(h, x), ValueError, "grad wants a node of width 1.*h, width 3.*jac"),
        (lambda: fb.logdet(u, x), ValueError, "square Jacobian, got 1 outputs by 3 columns"),
        (lambda: fb.directional(u, x, [1.0]), ValueError, "a direction of 3 finite numbers"),
        (lambda: fb.directional(u, x, [1.0, np.nan, 0.0]), ValueError, "3 finite numbers"),
        (lambda: fb.directional(u, x, y), ValueError, "a direction of width 3.*y, width 2"),
        (lambda: fb.grad(u, x, mode="backward"), ValueError, "unknown mode 'backward'; known: auto, forward, reverse"),
        (lambda: fb.diff(3.0, x[:, 0]), TypeError, "what diff differentiates must be a Node"),
        (lambda: fb.diff(u, 0), ValueError, "by an input or columns of one.*got 0"),
    ):
        with pytest.raises(error, match=words):
            call()


def test_nodes_without_derivatives_are_refused_by_name() -> None:
    x = fb.Input(3, name="x")
    for layer, words in (
        (fb.Dropout(0.5, name="mask"), "mask>, which is random"),
        (fb.Lambda(lambda X: X, lambda dY, X, Y: dY, name="own"), "own>, whose functions are Python's"),
        (fb.Embedding(4, 3, name="table"), "table>, whose inputs are numbers of rows"),
        (fb.BatchNorm(name="norm"), "norm>, which couples the rows.*trainable=False"),
        (fb.Activation("rrelu", name="drawn"), "drawn>, since rrelu is random"),
    ):
        u = fb.Dense(1)(layer(x))
        with pytest.raises(ValueError, match=f"grad: no derivative goes through <.*{words}"):
            fb.grad(u, x)
    beside = fb.Dense(1)(fb.Dropout(0.5)(fb.Dense(4)(fb.Input(2))) * fb.Dense(4, "tanh")(x))
    assert fb.grad(beside, x).width == 3


def test_orders_beyond_the_kernels_and_second_derivatives_of_kinks() -> None:
    x = fb.Input(1)
    u = fb.Dense(1)(fb.Dense(3, "tanh", name="h")(x))
    for _ in range(4):
        u = fb.diff(u, x)
    with pytest.raises(ValueError, match=r"diff: a derivative of order 5 goes through <Dense tanh h>.*end at 4"):
        fb.diff(u, x)
    u = fb.Dense(1)(fb.Dense(3, "relu", name="kinked")(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ux = fb.diff(u, x)
    with pytest.warns(UserWarning, match="order 2 goes through <Dense relu kinked>, whose second derivative is 0"):
        fb.diff(ux, x)
    with pytest.warns(UserWarning, match="laplacian: a derivative of order 2"):
        fb.laplacian(u, x)
