"""Who calls native functions: numba, Cython, C. Each is installed or left out; docs/native.md has longer loops."""

import ctypes
import importlib
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb

LOOP = """
typedef int predict_function(void *handle, const void *x, void *y);
int loop(predict_function *predict, void *handle, const void *x, void *y, int times)
{
    int status = 0;
    for (int k = 0; k < times; k++)
        status |= predict(handle, x, y);
    return status;
}
"""
CYTHON = """
cimport fastbp

def run(native, const float[:, ::1] x, const float[:, ::1] t, double lr):
    cdef fastbp.step_function step = fastbp.step_of(native)
    cdef void* handle = fastbp.handle_of(native)
    cdef double loss = 0
    cdef int status
    with nogil:
        status = step(handle, &x[0, 0], &t[0, 0], lr, &loss)
    return status, loss
"""


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 4)).astype("f4"), rng.normal(size=(7, 2)).astype("f4")


def trainer() -> fb.Trainer:
    return fb.Trainer(fb.Sequential(fb.Input(4), fb.Dense(33, "tanh"), fb.Dense(2), seed=0), "mse", fb.Adam(0.01))


def test_numba_predicts_and_trains_in_two_threads() -> None:
    numba = pytest.importorskip("numba")
    own, others = trainer(), [trainer() for _ in range(2)]
    (X, T), wanted = data(), []
    for _ in range(50):
        wanted.append(own.step(X, T))
        wanted.append(float(own.net.predict(X)[3, 1]))

    @numba.njit(nogil=True)
    def loop(predict, step, handle, X, T, out):
        Y, loss = np.empty_like(T), np.empty(1)
        refused = 0
        for k in range(50):
            refused += step(handle, X.ctypes, T.ctypes, 0.01, loss.ctypes)
            refused += predict(handle, X.ctypes, Y.ctypes)
            out[2 * k], out[2 * k + 1] = loss[0], Y[3, 1]
        return refused

    results = [np.zeros(100) for _ in range(2)]
    handles = [other.native(7) for other in others]
    refused = [-1, -1]

    def run(k: int) -> None:
        native = handles[k]
        refused[k] = loop(native.predict, native.step, native.handle, X, T, results[k])

    run(0)  # compiles; goes on from there
    others[0].net.params = trainer().net.params
    others[0].chain.states[:] = 0
    others[0].chain.t = 0
    threads = [threading.Thread(target=run, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == [0, 0]
    for result in results:
        np.testing.assert_array_equal(result, wanted)


def test_a_cfunc_of_numba_calls_a_net() -> None:
    numba = pytest.importorskip("numba")
    integrate = pytest.importorskip("scipy.integrate")
    scipy = pytest.importorskip("scipy")
    net = fb.Sequential(fb.Input(1), fb.Dense(5, "tanh"), fb.Dense(1), dtype="float64", seed=1)
    native = net.native()
    predict, handle = native.predict, native.handle

    @numba.cfunc("float64(float64)")
    def squared(x):
        at, y = np.full(1, x), np.empty(1)
        predict(handle, at.ctypes, y.ctypes)
        return y[0] * y[0]

    value, _ = integrate.quad(scipy.LowLevelCallable(squared.ctypes), -1, 1)
    points, weights = np.polynomial.legendre.leggauss(60)
    assert value == pytest.approx(float((net.predict(points[:, None])[:, 0] ** 2 * weights).sum()), rel=1e-9)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_c_calls_a_net(tmp_path: Path) -> None:
    (tmp_path / "loop.c").write_text(LOOP)
    command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(tmp_path / "loop.so"), str(tmp_path / "loop.c")]
    subprocess.run(command, check=True)
    net, (X, _) = trainer().net, data()
    native, Y = net.native(7), np.empty((7, 2), "f4")
    pointer = ctypes.c_void_p
    loop = ctypes.CDLL(str(tmp_path / "loop.so")).loop
    loop.argtypes = [pointer, pointer, pointer, pointer, ctypes.c_int]
    assert loop(native.addresses["predict"], native.handle, X.ctypes.data, Y.ctypes.data, 100) == 0
    np.testing.assert_array_equal(Y, net.predict(X))


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_cython_calls_a_net(tmp_path: Path) -> None:
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    (tmp_path / "calls.pyx").write_text(CYTHON)
    build = (
        "from setuptools import Extension, setup\nfrom Cython.Build import cythonize\n"
        f"setup(ext_modules=cythonize([Extension('calls', ['calls.pyx'])], language_level=3,"
        f" include_path={[str(Path(fb.__file__).parents[1])]!r}), script_args=['-q', 'build_ext', '--inplace'])"
    )
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True)
    sys.path.insert(0, str(tmp_path))
    try:
        calls = importlib.import_module("calls")
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("calls", None)
    one, other, (X, T) = trainer(), trainer(), data()
    for _ in range(3):
        assert calls.run(one.native(7), X, T, 0.01) == (0, other.step(X, T))
    np.testing.assert_array_equal(one.net.params, other.net.params)
    with pytest.raises(KeyError):
        calls.run(one.net.native(7), X, T, 0.01)
