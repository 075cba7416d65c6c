"""Arithmetic of nodes in PyTorch and ONNX: read and compared with the original, or refused by name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb

torch = pytest.importorskip("torch")

# Of two tensors of 5 columns, h within -1 ... 1 and g within 0 ... 1.
READ: dict[str, Callable] = {
    "divide": lambda h, g: h / (g + 1.5),
    "a number divided": lambda h, g: 2 / (g + 1.0),
    "a vector divided": lambda h, g: torch.arange(1.0, 6.0) / (g + 1),
    "powers": lambda h, g: (g + 0.5) ** 2.5 - h**2 + h**3,
    "negative powers": lambda h, g: (g + 1) ** -1 + torch.pow(g + 1, -2.5),
    "functions": lambda h, g: torch.log(g + 1) * torch.exp(h) + torch.sqrt(g) + torch.abs(h),
    "waves": lambda h, g: torch.sin(h) * torch.cos(g) + h.sin(),
    "reciprocals": lambda h, g: torch.rsqrt(g + 0.1) + torch.reciprocal(g + 2),
    "sums": lambda h, g: g * h.sum(dim=1, keepdim=True) + (h + g).mean(-1, keepdim=True),
    "dot product": lambda h, g: g * (h * g).sum(1, keepdim=True),
    "unit length": lambda h, g: h / ((h**2).sum(1, keepdim=True) + 1).sqrt(),
    "variance": lambda h, g: g * ((h - h.mean(1, keepdim=True)) ** 2).mean(1, keepdim=True),
    "deviation": lambda h, g: g * (h - h.mean(1, keepdim=True)),
    "quotient of means": lambda h, g: h / (g.mean(1, keepdim=True) + 0.5),
}
REFUSED: dict[str, tuple[Callable, str]] = {
    "sum of all": (lambda h, g: h * h.sum(), r"sum_1\) cannot be read from PyTorch: dim is None"),
    "without columns": (lambda h, g: h * h.sum(1)[:, None], "keepdim is False"),
    "of rows": (lambda h, g: h * h.mean(0, keepdim=True), "mean.*dim is 0"),
    "exponent": (lambda h, g: 2**h, "pow.*not of 2, 5 columns"),
    "exponents": (lambda h, g: h ** torch.arange(1.0, 6.0), "pow.*a tensor of shape"),
    "rounding": (lambda h, g: torch.div(h, g, rounding_mode="floor"), "rounding_mode is 'floor'"),
    "product": (lambda h, g: g + torch.prod(h, 1, keepdim=True), "prod.*cannot be read"),
}


class Net(torch.nn.Module):
    """A formula between layers of other widths."""

    def __init__(self, formula: Callable) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = torch.nn.Linear(4, 5), torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)
        self.formula = formula

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(self.formula(torch.tanh(self.a(x)), torch.sigmoid(self.b(x))))


def exported(net: Net, path: Path) -> Path:
    pytest.importorskip("onnxruntime")
    options = {"dynamo": False, "input_names": ["x"], "dynamic_axes": {"x": {0: "rows"}}, "opset_version": 17}
    torch.onnx.export(net, torch.randn(3, 4), path, **options)
    return path


@pytest.mark.parametrize("name", READ)
def test_read_from_pytorch(name: str) -> None:
    module = Net(READ[name]).double()
    X = np.random.default_rng(1).normal(size=(7, 4))
    want = module(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(fb.from_torch(module).predict(X), want, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", READ)
def test_read_from_onnx(name: str, tmp_path: Path) -> None:
    module = Net(READ[name])
    net = fb.from_onnx(exported(module, tmp_path / "net.onnx"))
    X = np.random.default_rng(1).normal(size=(7, 4)).astype(np.float32)
    want = module(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(net.predict(X), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name_from_pytorch(name: str) -> None:
    formula, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        fb.from_torch(Net(formula))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name_from_onnx(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"node .*(Reduce\w+|Pow|Floor).*cannot be read from ONNX"):
        fb.from_onnx(exported(Net(REFUSED[name][0]), tmp_path / "net.onnx"))


def test_what_we_write_is_read_again(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    x = fb.Input(4)
    h, g = fb.Dense(5, "tanh")(x), fb.Dense(5, "sigmoid")(x)
    y = fb.log(g + 1) / (h + 2) + fb.sqrt(g) ** 3 + fb.dot(h, g) * fb.mean(g) + fb.sin(h) * fb.exp(g) - 1 / (g + 1)
    net = fb.Model(x, fb.Dense(3)(y), dtype="float64", seed=0)
    net.to_onnx(tmp_path / "net.onnx")
    X = np.random.default_rng(1).normal(size=(7, 4))
    for other in (fb.from_onnx(tmp_path / "net.onnx"), fb.from_torch(net.to_torch())):
        np.testing.assert_allclose(other.predict(X), net.predict(X), rtol=1e-9)
