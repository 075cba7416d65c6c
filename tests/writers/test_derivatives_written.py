"""Nets with derivatives in C, ONNX and PyTorch: the numbers are ours; what has no form there is refused by name."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine
from fastbp.writers.activation_formats import FORMATS
from fastbp.writers.derivative_steps import MOST_MINORS
from nets import other_parameters

pytestmark = pytest.mark.filterwarnings("ignore:.*second derivative is 0")
WRITTEN = [name for name, row in sorted(_engine.ACTIVATIONS.items()) if not row.draws and name != "linear"]
CURVED = [name for name in WRITTEN if _engine.ACTIVATIONS[name].curved]
FUNCTIONS = [fb.activations.ActivationFunction(name) for name in WRITTEN] + [
    fb.activations.ActivationFunction(name, *other_parameters(name))
    for name in WRITTEN
    if _engine.ACTIVATIONS[name].parameters
]


def derived(activation: str, dtype: str = "float64") -> fb.Model:
    """Derivatives up to the third order through an activation, in all modes, and a determinant."""
    x = fb.Input(2)
    u = fb.Dense(3)(fb.Dense(5, activation)(fb.Dense(4, "tanh")(x)))
    third = fb.diff(fb.diff(fb.diff(u, x[:, 0]), x[:, 1]), x[:, 0])
    outs = [fb.jac(u, x), fb.laplacian(u, x), third, fb.grad(u[:, 0], x, mode="reverse"), fb.hess(u, x, mode="reverse")]
    return fb.Model(x, outs, dtype=dtype, seed=1)


def normalized(dtype: str = "float64") -> fb.Model:
    """Reverse mode, normalizations, columns."""
    x = fb.Input(3)
    h = fb.LayerNorm()(fb.Dense(5, "tanh")(x)) * fb.BatchNorm(trainable=False)(fb.Dense(5, "sigmoid")(x))
    u = fb.Dense(1)(fb.Concatenate()(h, h[:, ::-2]))
    return fb.Model(x, [u, fb.grad(u, x, mode="reverse"), fb.laplacian(u, x[:, 1:])], dtype=dtype, seed=1)


def routed(dtype: str = "float64") -> fb.Model:
    """Layers of straight pieces, with ties."""
    x = fb.Input(3)
    h = fb.PReLU(init=0.3)(fb.Dense(4)(x))
    u = fb.Dense(2)(fb.PReLU(1, init=0.2)(fb.maximum(h, fb.minimum(2 * h, h))))
    return fb.Model(x, [u, fb.jac(u, x, mode="forward"), fb.jac(u, x, mode="reverse")], dtype=dtype, seed=2)


def fourth(activation: str, dtype: str = "float64") -> fb.Model:
    """The fourth order."""
    x = fb.Input(1)
    u = fb.Dense(2)(fb.Activation(activation)(fb.Dense(4)(x)))
    for _ in range(4):
        u = fb.diff(u, x)
    return fb.Model(x, u, dtype=dtype, seed=3)


def flow(size: int, dtype: str = "float64") -> fb.Model:
    """Determinants, and the derivatives of one."""
    x = fb.Input(size)
    z = x + 0.4 * fb.Dense(size)(fb.Dense(size + 2, "tanh")(x))
    ld = fb.logdet(z, x)
    outs = [ld, fb.logdet(z[:, :2], x[:, 1:3]), fb.grad(ld, x), fb.grad(ld, x, mode="reverse")]
    outs += [fb.laplacian(ld, x)] if size < 4 else []
    along = fb.directional(z, x, z), fb.directional(z, x[:, 1:], np.arange(1.0, size))
    return fb.Model(x, [*outs, *along, fb.hess(z, x[:, :2])], dtype=dtype, seed=4)


BUILDS: dict[str, Callable] = {
    **{f"{f!r}": lambda dtype="float64", f=f: derived(f, dtype) for f in FUNCTIONS},
    **{f"fourth {name}": lambda dtype="float64", name=name: fourth(name, dtype) for name in CURVED},
    "normalized": normalized,
    "routed": routed,
    "logdet of 3": lambda dtype="float64": flow(3, dtype),
    "logdet of 5": lambda dtype="float64": flow(5, dtype),
}
SINGLE = {f"{f!r}" for f in FUNCTIONS if f.name in ("gelu", "elu")} | {
    "fourth tanh",
    "routed",
    "normalized",
    "logdet of 3",
}  # in float32 as well
each_build = pytest.mark.parametrize("name", BUILDS)
each_case = pytest.mark.parametrize(
    ("name", "dtype"), [(name, "float64") for name in BUILDS] + [(name, "float32") for name in SINGLE & BUILDS.keys()]
)


def data(net: fb.Model) -> tuple[np.ndarray, tuple]:
    X = np.random.default_rng(0).normal(size=(4, net.inputs[0].width)).astype(net.dtype)
    want = net.predict(X)
    return X, want if isinstance(want, tuple) else (want,)


def assert_same(got: list, want: tuple, limit: float) -> None:
    for mine, ours in zip(got, want, strict=True):
        assert np.abs(mine - ours).max() <= limit * max(1, np.abs(ours).max())


def test_each_activation_has_its_slope_in_other_formats() -> None:
    by_rows = {name for name in WRITTEN if _engine.ACTIVATIONS[name].by_rows}
    assert set(WRITTEN) - by_rows == {name for name, formats in FORMATS.items() if formats.slope}


@each_case
def test_in_onnx(name: str, tmp_path: Path, dtype: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    net = BUILDS[name](dtype)
    X, want = data(net)
    net.to_onnx(tmp_path / "net.onnx")
    got = runtime.InferenceSession(str(tmp_path / "net.onnx")).run(None, {net.inputs[0].name: X})
    # onnxruntime has the error function in float32 only.
    limit = 1e-6 if "gelu" in name and "_" not in name else 1e-9
    assert_same(got, want, 1e-5 if dtype == "float32" else limit)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@each_case
def test_in_c(name: str, tmp_path: Path, dtype: str) -> None:
    net = BUILDS[name](dtype)
    X, want = data(net)
    net.to_c(tmp_path / "net.c")
    library = tmp_path / "net.so"
    options = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
    subprocess.run(["gcc", *options, "-o", str(library), str(tmp_path / "net.c"), "-lm"], check=True)
    predict = ctypes.CDLL(str(library)).predict
    got = [np.zeros((len(X), node.width), net.dtype) for node in net.outputs]
    for n in range(len(X)):
        predict(*(ctypes.c_void_p(array.ctypes.data) for array in (X[n], *(y[n] for y in got))))
    assert_same(got, want, 1e-5 if dtype == "float32" else 1e-9)


@each_build
def test_in_pytorch(name: str) -> None:
    """Values, and the gradients of a loss by inputs and parameters."""
    torch = pytest.importorskip("torch")
    from fastbp.writers.torch import MODULES

    net = BUILDS[name]()
    X, want = data(net)
    module, tensor = net.to_torch(), torch.tensor(X, requires_grad=True)
    outs = module(tensor)
    outs = outs if isinstance(outs, tuple) else (outs,)
    assert_same([out.detach().numpy() for out in outs], want, 1e-9)
    rng = np.random.default_rng(1)
    dys = tuple(rng.normal(size=y.shape) for y in want)
    moving = [(out, torch.tensor(dy)) for out, dy in zip(outs, dys, strict=True) if out.requires_grad]
    if moving:  # a fourth derivative may be 0
        torch.autograd.backward(*zip(*moving, strict=True))
    net.forward(X, training=False)
    dX = np.zeros_like(X) if tensor.grad is None else tensor.grad.numpy()
    assert_same([dX], (net.backward(dys if len(dys) > 1 else dys[0]),), 1e-9)
    theirs = dict(module.named_parameters())
    for layer in net.layers:
        for parameter in layer.parameters if layer.trainable else ():
            mine = net.grads[net.slices[f"{layer.name}.{parameter}"][0]]
            found = theirs.get(f"{layer.name}.{MODULES[layer.kind].states[parameter]}")
            if found is None or found.grad is None:
                assert not mine.any()
                continue
            g = found.grad.numpy()
            assert_same([(g.T if layer.kind == "dense" else g).reshape(-1)], (mine,), 1e-9)


def test_slopes_at_kinks_are_ours(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    x = fb.Input(1)
    named = [name for name in WRITTEN if not _engine.ACTIVATIONS[name].by_rows and name != "gelu"]
    outs = []
    for name in named:
        u = fb.Activation(name)(x)
        outs += [fb.diff(u, x), *([fb.diff(fb.diff(u, x), x)] if name in CURVED else [])]
    net = fb.Model(x, outs, dtype="float64")
    X = np.array([[0.0], [-0.0], [3.0], [-3.0], [1.0], [-1.0], [0.5], [-0.5], [6.0]])
    net.to_onnx(tmp_path / "net.onnx")
    got = runtime.InferenceSession(str(tmp_path / "net.onnx")).run(None, {"input_1": X})
    assert_same(got, net.predict(X), 1e-12)


def test_what_has_no_form_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    size = MOST_MINORS + 1
    x = fb.Input(size)
    net = fb.Model(x, fb.logdet(fb.Dense(size, "tanh")(x), x))
    with pytest.raises(ValueError, match=f"a logdet of {size} columns has no form"):
        net.to_onnx(tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()
    net.to_c(tmp_path / "net.c")
