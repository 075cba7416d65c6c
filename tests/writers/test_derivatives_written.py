"""Nets with derivatives in C and ONNX: the numbers are ours; what has no form there is refused by name."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.writers.derivative_steps import SLOPES


def derived(name: str) -> fb.Model:
    """Derivatives up to the third order through an activation."""
    x = fb.Input(2)
    u = fb.Dense(3)(fb.Dense(5, name)(fb.Dense(4, "tanh")(x)))
    third = fb.diff(fb.diff(fb.diff(u, x[:, 0]), x[:, 1]), x[:, 0])
    return fb.Model(x, [fb.jac(u, x), fb.laplacian(u, x), third], dtype="float64", seed=1)


def normalized() -> fb.Model:
    """Reverse mode, normalizations, columns."""
    x = fb.Input(3)
    h = fb.LayerNorm()(fb.Dense(5, "tanh")(x)) * fb.BatchNorm(trainable=False)(fb.Dense(5, "sigmoid")(x))
    u = fb.Dense(1)(fb.Concatenate()(h, h[:, 1:3]))
    return fb.Model(x, [u, fb.grad(u, x, mode="reverse"), fb.laplacian(u, x[:, 1:])], dtype="float64", seed=1)


BUILDS = [*(lambda name=name: derived(name) for name in [*SLOPES, "softmax", "log_softmax"]), normalized]


def data(net: fb.Model) -> tuple[np.ndarray, tuple]:
    X = np.random.default_rng(0).normal(size=(4, net.inputs[0].width))
    return X, net.predict(X)


def assert_same(got: list, want: tuple) -> None:
    for mine, ours in zip(got, want, strict=True):
        np.testing.assert_allclose(mine, ours, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("build", BUILDS)
def test_in_onnx(build: Callable, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    net = build()
    X, want = data(net)
    net.to_onnx(tmp_path / "net.onnx")
    assert_same(runtime.InferenceSession(str(tmp_path / "net.onnx")).run(None, {net.inputs[0].name: X}), want)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize("build", BUILDS)
def test_in_c(build: Callable, tmp_path: Path) -> None:
    net = build()
    X, want = data(net)
    net.to_c(tmp_path / "net.c")
    library = tmp_path / "net.so"
    options = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
    subprocess.run(["gcc", *options, "-o", str(library), str(tmp_path / "net.c"), "-lm"], check=True)
    predict = ctypes.CDLL(str(library)).predict
    got = [np.zeros((len(X), node.width)) for node in net.outputs]
    for n in range(len(X)):
        predict(*(ctypes.c_void_p(array.ctypes.data) for array in (X[n], *(y[n] for y in got))))
    assert_same(got, want)


def test_what_has_no_form_is_refused_by_name(tmp_path: Path) -> None:
    x = fb.Input(2)
    for node, words in (
        (fb.diff(fb.Dense(1)(fb.Dense(3, "gelu")(x)), x[:, 0]), "derivatives of gelu have no form"),
        (fb.logdet(fb.Dense(2, "tanh")(x), x), "log_det of a derivative"),
        (fb.jac(fb.Dense(2, "prelu")(x), x), "derivatives of a prelu have no form"),
        (fb.jac(fb.maximum(x, 2 * x), x), "winner"),
    ):
        net = fb.Model(x, node)
        with pytest.raises(ValueError, match=words):
            net.to_c(tmp_path / "net.c")
    with pytest.raises(ValueError, match="cannot be written as PyTorch: derivatives as nodes are not written"):
        net.to_torch()
