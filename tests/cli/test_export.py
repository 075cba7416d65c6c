"""`fastbp export`: another system computes from the file what `fastbp predict` says."""

import subprocess

import numpy as np
import pytest

import fastbp as fb
from command_line import error_of, run, trained
from fastbp.cli import export
from fastbp.data import csv_file, encoding
from fastbp.files import model_file, safetensors

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_export_to_torch(capsys, flowers):
    torch = pytest.importorskip("torch")
    trained(capsys, flowers, "--target", "kind", "--epochs", 2, "--hidden", "7", "--activation", "tanh", "--dropout", 0)
    code, out, err = run(capsys, "export", "net.safetensors", "--to", "torch")
    assert (code, err) == (0, "")
    assert "Linear(in_features=6, out_features=7" in out
    assert "its 6 inputs" in out
    arrays, _ = safetensors.read("net.torch.safetensors")
    names = list(arrays)
    linear = torch.nn.Linear(6, 7), torch.nn.Linear(7, 3)
    for layer, at in zip(linear, ("dense_1", "dense_2"), strict=True):
        layer.load_state_dict({name: torch.tensor(arrays[f"{at}.{name}"]) for name in ("weight", "bias")})
    assert len(names) == 4
    X = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    with torch.no_grad():
        wanted = linear[1](torch.tanh(linear[0](torch.tensor(X)))).numpy()
    np.testing.assert_allclose(fb.load("net.safetensors").predict(X), wanted, rtol=1e-5, atol=1e-6)


def test_export_to_onnx(capsys, flowers, houses):
    """A runtime gives the labels and probabilities of `fastbp predict`, or the standardised numbers."""
    runtime = pytest.importorskip("onnxruntime")
    trained(capsys, flowers, "--target", "kind", "--epochs", 20, "--hidden", "7")
    assert "6 inputs" in run(capsys, "export", "net.safetensors", "--to", "onnx", "--out", "flowers.onnx")[1]
    columns = encoding.Encoding.from_json(model_file.load("net.safetensors").metadata[encoding.METADATA_KEY])
    X = columns.encode(csv_file.read(flowers))
    session = runtime.InferenceSession("flowers.onnx", providers=["CPUExecutionProvider"])
    label, shares = session.run(["label", "probabilities"], {session.get_inputs()[0].name: X})
    wanted = columns.decode(fb.load("net.safetensors").predict(X))
    assert label.tolist() == wanted["prediction"]
    kinds = [wanted[f"probability_{kind}"] for kind in columns.target.values]
    np.testing.assert_allclose(shares.T, kinds, rtol=1e-5, atol=1e-6)
    trained(capsys, houses, "--target", "price", "--epochs", 2)
    assert "standardised too" in run(capsys, "export", "net.safetensors", "--to", "onnx")[1]
    session = runtime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    X = X[:, :2]
    (Y,) = session.run(None, {session.get_inputs()[0].name: X})
    np.testing.assert_allclose(Y, fb.load("net.safetensors").predict(X), rtol=1e-5, atol=1e-6)


@pytest.mark.skipif("c" not in export.FORMATS, reason="a Model has no to_c")
def test_export_to_c(capsys, houses):
    trained(capsys, houses, "--target", "price", "--epochs", 2, "--hidden", "5")
    assert "written to house.c" in run(capsys, "export", "net.safetensors", "--to", "c", "--out", "house.c")[1]
    with open("main.c", "w") as file:
        file.write(
            '#include <stdio.h>\n#include "house.c"\n'
            'int main(void) { float x[2] = {0.5f, -1.5f}, y[1]; predict(x, y); printf("%.9g", y[0]); return 0; }\n'
        )
    subprocess.run(["cc", "-std=c99", "-o", "house", "main.c", "-lm"], check=True, timeout=60)
    printed = subprocess.run(["./house"], capture_output=True, text=True, check=True, timeout=60).stdout
    wanted = fb.load("net.safetensors").predict(np.array([[0.5, -1.5]]))
    assert float(printed) == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("form", sorted(export.FORMATS))
def test_what_export_refuses(capsys, flowers, form):
    trained(capsys, flowers, "--target", "kind", "--epochs", 1)
    assert "missing" in error_of(capsys, "export", "net.safetensors", "--to", form, "--out", "missing/file")
    assert "nothing" in error_of(capsys, "export", "nothing.safetensors", "--to", form)
    assert "torch" in error_of(capsys, "export", "net.safetensors", "--to", "fann", code=2)
