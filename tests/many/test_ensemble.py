"""Ensembles: means and spreads, files, ONNX and C; the means of NumPy are the oracle."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb

X = np.random.default_rng(3).normal(size=(7, 4))


def some(dtype: str = "float64") -> list[fb.Sequential]:
    return [
        fb.Sequential(fb.Input(4), fb.Dense(width, "tanh"), fb.Dense(3), dtype=dtype, seed=width) for width in (5, 6, 8)
    ]


def shares(Z: np.ndarray, kind: str) -> np.ndarray:
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-Z))
    E = np.exp(Z - Z.max(axis=-1, keepdims=True))
    return E / E.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("activation", [None, "softmax", "sigmoid"])
def test_mean_and_spread(activation: str | None, dtype: np.dtype, tmp_path: Path) -> None:
    nets = some(dtype.name)
    ensemble = fb.Ensemble(nets, activation=activation)
    each = np.stack([net.predict(X).astype(float) for net in nets])
    each = each if activation is None else shares(each, activation)
    close = {"rtol": 1e-12 if dtype == np.float64 else 1e-5, "atol": 1e-13 if dtype == np.float64 else 1e-6}
    mean, std = ensemble.predict(X, std=True)
    np.testing.assert_allclose(ensemble.predict_each(X), each, **close)
    np.testing.assert_allclose(mean, each.mean(axis=0), **close)
    np.testing.assert_allclose(ensemble.predict(X), each.mean(axis=0), **close)
    np.testing.assert_allclose(std, each.std(axis=0), **close)
    np.testing.assert_allclose(ensemble.to_model().predict(X), each.mean(axis=0), **close)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(1.001 * mean, each.mean(axis=0), **close)
    assert mean.dtype == std.dtype == dtype
    ensemble.save(tmp_path / "e.safetensors")
    again = fb.Ensemble.load(tmp_path / "e.safetensors")
    np.testing.assert_array_equal(again.predict_each(X), ensemble.predict_each(X))
    assert (len(again), again.activation) == (3, activation)


def test_onnx_and_c(tmp_path: Path) -> None:
    ensemble = fb.Ensemble(some("float32"), activation="softmax")
    wanted = ensemble.predict(X)
    if compiler := shutil.which("cc"):
        ensemble.to_c(tmp_path / "e.c", name="mean_of_all")
        main = '#include <stdio.h>\n#include "e.c"\nint main(void) { float x[4], y[3];\n'
        main += 'while (scanf("%f %f %f %f", x, x + 1, x + 2, x + 3) == 4) { mean_of_all(x, y);\n'
        main += 'printf("%.9g %.9g %.9g\\n", y[0], y[1], y[2]); } return 0; }\n'
        (tmp_path / "main.c").write_text(main)
        subprocess.run([compiler, "main.c", "-lm", "-o", "main"], cwd=tmp_path, check=True)
        rows = "\n".join(" ".join(f"{x:.9g}" for x in row) for row in X)
        done = subprocess.run([tmp_path / "main"], input=rows, capture_output=True, text=True, check=True)
        np.testing.assert_allclose(np.loadtxt(done.stdout.splitlines()), wanted, rtol=1e-5, atol=1e-6)
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    ensemble.to_onnx(tmp_path / "e.onnx")
    session = runtime.InferenceSession(str(tmp_path / "e.onnx"))
    got = session.run(None, {session.get_inputs()[0].name: X.astype(np.float32)})[0]
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_one_net_is_an_ensemble() -> None:
    net = some()[0]
    np.testing.assert_array_equal(fb.Ensemble([net]).predict(X), net.predict(X))
    np.testing.assert_allclose(fb.Ensemble([net]).to_model().predict(X), net.predict(X), rtol=1e-14)


def test_what_does_not_belong_together(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        fb.Ensemble([])
    with pytest.raises(ValueError, match=r"nets\[1\].*\[2\]"):
        fb.Ensemble([some()[0], fb.Sequential(fb.Input(4), fb.Dense(2), dtype="float64")])
    with pytest.raises(ValueError, match="float32"):
        fb.Ensemble([some()[0], some("float32")[0]])
    with pytest.raises(ValueError, match=r"known: .*softmax"):
        fb.Ensemble(some(), activation="softmux")
    a = fb.Input(4)
    with pytest.raises(ValueError, match="one output"):
        fb.Ensemble([fb.Model(a, [fb.Dense(2)(a), fb.Dense(2)(a)])])
    some()[0].save(tmp_path / "net.safetensors")
    with pytest.raises(fb.ModelFormatError, match=r"fb\.load"):
        fb.Ensemble.load(tmp_path / "net.safetensors")
    custom = fb.Sequential(fb.Input(4), fb.Lambda(np.sin, lambda dY, X, Y: dY * np.cos(X)))
    with pytest.raises(TypeError, match="Python functions"):
        fb.Ensemble([custom]).save(tmp_path / "e.safetensors")
    assert not (tmp_path / "e.safetensors").exists()


def test_a_damaged_file_is_one_error(tmp_path: Path) -> None:
    from fastbp.files import safetensors

    fb.Ensemble(some()).save(tmp_path / "e.safetensors")
    arrays, metadata = safetensors.read(tmp_path / "e.safetensors")
    del arrays["1.dense_1.W"]
    safetensors.write(tmp_path / "e.safetensors", arrays, metadata)
    with pytest.raises(fb.ModelFormatError, match=r"dense_1\.W"):
        fb.Ensemble.load(tmp_path / "e.safetensors")
