"""The C file: compiled under all warnings, called from Python and from a program of its own."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import converted
import fastbp as fb
from fastbp.writers import c as c_writer

CC = shutil.which("cc")
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"]
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}
pytestmark = pytest.mark.skipif(CC is None, reason="there is no C compiler")


def compiled(net: fb.Model, folder: Path, *flags: str):
    """The function of a net as lists of arrays in and out."""
    net.to_c(folder / "net.c")
    command = [CC, *FLAGS, *flags, "-shared", "-fPIC", str(folder / "net.c"), "-o", str(folder / "net.so"), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    predict = ctypes.CDLL(str(folder / "net.so")).predict
    predict.restype = None

    def run(*xs: np.ndarray) -> list[np.ndarray]:
        ys = [np.full((len(xs[0]), node.width), np.nan, net.dtype) for node in net.outputs]
        for row in range(len(xs[0])):
            predict(*(ctypes.c_void_p(array[row].ctypes.data) for array in (*xs, *ys)))
        return ys

    return run


@pytest.mark.parametrize("build", converted.NETS, ids=lambda build: build.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_outputs_are_the_same(build, dtype: str, tmp_path: Path) -> None:
    net = converted.unsettle(build(dtype))
    converted.assert_same(net, compiled(net, tmp_path), TOLERANCE[dtype] * 5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_activation(dtype: str, tmp_path: Path) -> None:
    """In one file, on rows from -90 to 90, after a layer and by itself."""
    x = fb.Input(7)
    by_itself = [fb.Activation(name)(x) for name in converted.ACTIVATIONS if name != "exp"]
    layers = [fb.Dense(5, name)(x) for name in converted.ACTIVATIONS]
    net = fb.Model(x, by_itself + layers, dtype=dtype, seed=3)
    run = compiled(net, tmp_path)
    steps = np.concatenate([np.linspace(-90, 90, 70), np.linspace(-7, 7, 700)]).reshape(-1, 7).astype(dtype)
    for rows, scale in ((steps[:10], 1e-2), (steps[10:], 1.0)):
        for X, count in ((rows, len(by_itself)), (rows * scale, len(net.outputs))):
            X = np.ascontiguousarray(X, dtype)
            for node, Y, wanted in list(zip(net.outputs, run(X), net.predict(X), strict=True))[:count]:
                size = np.maximum(1, np.abs(wanted))
                np.testing.assert_array_less(np.abs(Y - wanted) / size, 4 * TOLERANCE[dtype], str(node))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_are_exact(dtype: str, tmp_path: Path) -> None:
    """A layer without sums gives its weights back bit by bit: subnormal, largest, with all their digits."""
    info = np.finfo(dtype)
    rng = np.random.default_rng(0)
    W = rng.normal(size=(1, 40)) * 10.0 ** rng.integers(-30, 30, 40)
    W[0, :4] = info.max, info.tiny, info.tiny / 8, -0.1
    net = fb.Sequential(fb.Input(1), fb.Dense(40, weights=W.astype(dtype), bias=False), dtype=dtype)
    (Y,) = compiled(net, tmp_path)(np.ones((1, 1), dtype))
    np.testing.assert_array_equal(Y, net["dense_1"].W)


MAIN = r"""
#include <stdio.h>
void classify(const double *x, double *y);
int main(void)
{
    double x[5], y[3];
    while (scanf("%lf %lf %lf %lf %lf", x, x + 1, x + 2, x + 3, x + 4) == 5) {
        classify(x, y);
        printf("%.17g %.17g %.17g\n", y[0], y[1], y[2]);
    }
    return 0;
}
"""


def test_a_program_of_its_own(tmp_path: Path) -> None:
    """With another name, and with its buffers in static memory."""
    hidden = fb.Dense(8, "relu"), fb.LayerNorm(), fb.Dense(6, "tanh"), fb.Dense(3, "softmax")
    net = fb.Sequential(fb.Input(5), *hidden, dtype="float64", seed=0)
    net.to_c(tmp_path / "net.c", name="classify")
    (tmp_path / "main.c").write_text(MAIN)
    program = str(tmp_path / "main")
    sources = [str(tmp_path / name) for name in ("net.c", "main.c")]
    subprocess.run([CC, *FLAGS, "-DPREDICT_STORAGE=static", *sources, "-o", program, "-lm"], check=True)
    X = converted.rows(net)[0]
    text = "\n".join(" ".join(map(repr, row)) for row in X.tolist())
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    Y = np.array([line.split() for line in done.stdout.splitlines()], float)
    np.testing.assert_allclose(Y, net.predict(X), rtol=1e-12)
    assert "malloc" not in (tmp_path / "net.c").read_text()


def test_buffers_are_used_again() -> None:
    layers = [fb.Dense(20 + k, "tanh") for k in range(12)]
    net = fb.Sequential(fb.Input(5), *layers)
    assert c_writer.source(net).count("PREDICT_STORAGE real") == 2


def test_names_cannot_leave_their_comments(tmp_path: Path) -> None:
    x = fb.Input(2, name="*/ int broken[ \\")
    net = fb.Model(x, fb.Dense(3, name="??/\n*/ # \u00e9")(x), name="/* */ evil */", seed=0)
    converted.assert_same(net, compiled(net, tmp_path), 1e-6)


@pytest.mark.parametrize("name", ["", "1st", "two words", "int", "while", None, "f();"])
def test_names_that_are_no_identifiers(name, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="identifier"):
        fb.Sequential(fb.Input(2), fb.Dense(3)).to_c(tmp_path / "net.c", name=name)
    x = fb.Input(3)
    wave = fb.Model(x, fb.Lambda(np.sin, lambda dY, X, Y: dY * np.cos(X), name="wave")(x))
    with pytest.raises(ValueError, match="<Lambda wave> cannot be written as C"):
        wave.to_c(tmp_path / "net.c")
    assert not list(tmp_path.iterdir())
