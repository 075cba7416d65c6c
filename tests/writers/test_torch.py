"""PyTorch in and out: the same outputs, the same structure, and errors that name what has no counterpart."""

import numpy as np
import pytest

import converted
import fastbp as fb
import gated
import nets

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}


def in_torch(module, *arrays: np.ndarray) -> list[np.ndarray]:
    with torch.no_grad():
        Y = module(*(torch.from_numpy(array) for array in arrays))
    values = Y.values() if isinstance(Y, dict) else [Y] if torch.is_tensor(Y) else Y
    return [tensor.numpy() for tensor in values]


def assert_read(module, *widths: int, **options) -> fb.Model:
    """That from_torch gives a net with the outputs of the module."""
    module = module.eval()
    net = fb.from_torch(module, **options)
    assert tuple(node.width for node in net.inputs) == widths
    converted.assert_same(net, lambda *xs: in_torch(module, *xs), TOLERANCE[net.dtype.name])
    return net


@pytest.mark.parametrize("build", converted.READ, ids=lambda build: build.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_there_and_back(build, dtype: str) -> None:
    net = converted.unsettle(build(dtype))
    module = net.to_torch()
    assert not module.training
    assert {tensor.dtype for tensor in module.parameters()} <= {getattr(torch, dtype)}
    converted.assert_same(net, lambda *xs: in_torch(module, *xs), 3 * TOLERANCE[dtype])
    widths = [node.width for node in net.inputs]
    back = fb.from_torch(module, inputs=nets.one_or_all(widths), dtype=dtype)
    converted.assert_same(net, converted.predict(back), 3 * TOLERANCE[dtype])
    for name, array in net.arrays().items():
        np.testing.assert_array_equal(back.arrays()[name], array)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arithmetic_of_nodes(dtype: str) -> None:
    """A Parameter becomes a parameter of the module, which PyTorch can train."""
    net = converted.unsettle(gated.arithmetic(dtype))
    net["v"].trainable = False
    module = net.to_torch()
    converted.assert_same(net, lambda *xs: in_torch(module, *xs), 3 * TOLERANCE[dtype])
    found = dict(module.named_parameters())
    assert (found["k"].requires_grad, found["v"].requires_grad) == (True, False)
    np.testing.assert_array_equal(found["v"].detach().numpy(), net["v"].value)


@pytest.mark.parametrize("build", [nets.chain, nets.fan_out, nets.two_inputs, nets.shared], ids=lambda b: b.__name__)
def test_the_structure_comes_back(build) -> None:
    net = build()
    back = fb.from_torch(net.to_torch(), inputs=nets.one_or_all([node.width for node in net.inputs]))
    assert type(back) is type(net)
    assert converted.structure(back) == converted.structure(net)
    assert [node.name for node in back.inputs] == [node.name for node in net.inputs] or type(net) is fb.Sequential


@pytest.mark.parametrize("name", converted.ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_activation(name: str, dtype: str) -> None:
    net = converted.activation_net(name, dtype)
    module = net.to_torch()
    converted.assert_same(net, lambda *xs: in_torch(module, *xs), 3 * TOLERANCE[dtype])
    back = fb.from_torch(module)
    converted.assert_same(net, converted.predict(back), 3 * TOLERANCE[dtype])
    converted.assert_same_activations(converted.activations(back), converted.activations(net))


def test_a_sequential_of_all_that_is_common() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(5, 8), nn.BatchNorm1d(8, momentum=0.2), nn.LeakyReLU(0.2), nn.Dropout(0.4),
        nn.Sequential(nn.Linear(8, 6, bias=False), nn.LayerNorm(6), nn.Identity(), nn.Tanh()),
        nn.RMSNorm(6), nn.LayerNorm(6, bias=False), nn.Linear(6, 3), nn.Softmax(dim=1),
    )  # fmt: skip
    module(torch.randn(13, 5))  # moves the running averages
    net = assert_read(module, 5)
    assert type(net) is fb.Sequential
    kinds = "Dense BatchNorm Activation Dropout Dense LayerNorm Activation RMSNorm LayerNorm Dense"
    assert " ".join(type(layer).__name__ for layer in net.layers) == kinds
    assert net["batchnorm_1"].momentum == 0.2
    assert net["activation_1"].alpha == pytest.approx(0.2)
    assert net.dtype == "float32"
    assert assert_read(module.double(), 5).dtype == "float64"


class Forward(nn.Module):
    """What people write in a forward."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(9, 2)
        self.head.requires_grad_(False)
        self.register_buffer("mean", torch.tensor([0.5, -1.0, 2.0, 0.1]))
        self.register_buffer("std", torch.tensor([2.0, 0.5, 3.0, 1.5]))

    def forward(self, x, z):
        x = (x - self.mean) / self.std
        h = F.leaky_relu(self.first(x), 0.3)
        g = torch.sigmoid(self.second(x))
        left, right = (h * g + 2 - h / 3).chunk(2, dim=1)
        wide = torch.cat([left, -right, z[:, 1:4]], dim=-1).view(x.size(0), 9)
        top = torch.maximum(wide, 1 - wide).clamp(min=-0.5, max=3.0)
        top += F.layer_norm(wide, (9,))
        return {"head": self.head(F.dropout(top, 0.2, training=self.training)).softmax(dim=1), "h": h.tanh()}


def test_a_forward_of_ones_own() -> None:
    net = assert_read(Forward(), 4, 6, inputs=(4, 6))
    assert {"first", "second", "head"} <= {layer.name for layer in net.layers}
    assert not net["head"].trainable
    assert net["first"].trainable
    assert [type(layer).__name__ for layer in net.layers].count("BatchNorm") == 1  # (x - mean) / std is one map


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("silu", lambda m, x: x * torch.sigmoid(x)),
        ("mish", lambda m, x: x * torch.tanh(F.softplus(x))),
        ("gelu", lambda m, x: x * 0.5 * (1 + torch.erf(x / 2**0.5))),
        ("gelu_tanh", lambda m, x: 0.5 * x * (1 + torch.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))),
        ("relu", lambda m, x: x.clamp(min=0)),
        ("relu6", lambda m, x: torch.clamp(x, 0, 6)),
        ("leaky_relu", lambda m, x: torch.where(x > 0, x, 0.3 * x)),
        ("threshold", lambda m, x: torch.where(x <= 0.1, -0.7, x)),
        ("softsign", lambda m, x: x / (x.abs() + 1)),
        ("squareplus", lambda m, x: (x + (x**2 + 1.5).sqrt()) / 2),
        ("gaussian", lambda m, x: torch.exp(-x.pow(2))),
        ("softplus", lambda m, x: torch.log(1 + torch.exp(-x.abs())) + x.relu()),
        ("tanh_shrink", lambda m, x: x - m.tanh(x)),
        ("softmin", lambda m, x: (-x).softmax(dim=1)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_formulas_are_known_for_what_they_are(name: str, work) -> None:
    module = Odd(lambda m, x: work(m, m.linear(x)))
    module.tanh = nn.Tanh()
    net = assert_read(module, 3)
    assert [layer.activation for layer in net.layers] == [name]


def test_what_is_nearly_a_formula_is_not_taken_for_it() -> None:
    for work in (lambda x: x * torch.sigmoid(x + 1), lambda x: x.clamp(0, 6) * 1.001, lambda x: x - 1.001 * x.tanh()):
        net = assert_read(Odd(lambda m, x, work=work: work(m.linear(x))), 3)
        assert len(net.layers) > 1
    with pytest.raises(ValueError, match="erf"):
        fb.from_torch(Odd(lambda m, x: x * (1 + torch.erf(x / 1.4))), inputs=3)
    with pytest.raises(ValueError, match="lgamma"):
        fb.from_torch(Odd(lambda m, x: x + torch.lgamma(x * x - 1)), inputs=3)


def test_widths_are_found_where_layers_say_them() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.linear = nn.LayerNorm(3), nn.Linear(7, 2)

        def forward(self, a, b):
            return self.norm(torch.relu(a * 2)), self.linear(b + 1)

    assert_read(Late(), 3, 7)
    with pytest.raises(ValueError, match=r"how wide input 'input' is: .*inputs="):
        fb.from_torch(nn.ReLU())
    assert_read(nn.ReLU(), 3, inputs=3)
    assert_read(nn.Linear(3, 2), 3)


class Odd(nn.Module):
    def __init__(self, forward) -> None:
        super().__init__()
        self.linear, self.odd = nn.Linear(3, 4), nn.Bilinear(3, 3, 4)
        self.work = forward

    def forward(self, x):
        return self.work(self, x)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Sequential(nn.Linear(3, 4), nn.Conv1d(4, 2, 3)), ["layer '1' (Conv1d(", "known: ", "Linear", "LeakyReLU"]),
        (Odd(lambda m, x: m.odd(x, x)), ["layer 'odd' (Bilinear("]),
        (Odd(lambda m, x: torch.fft.fft(m.linear(x))), ["fft_fft"]),
        (Odd(lambda m, x: m.linear(x).sum()), ["sum"]),
        (Odd(lambda m, x: torch.cat([x, m.linear(x)], dim=0)), ["cat"]),
        (Odd(lambda m, x: m.linear(x) // m.linear(x)), ["floordiv"]),
        (Odd(lambda m, x: x.view(-1, 1)), ["view"]),
        (Odd(lambda m, x: m.linear(x).softmax(dim=0)), ["softmax"]),
        (Odd(lambda m, x: m.linear(x) if x.sum() > 0 else x), ["torch.fx cannot trace Odd"]),
        (Odd(lambda m, x: (m.linear(x), 3)), ["output"]),
        (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False)), ["layer '1' (BatchNorm1d("]),
        (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=None)), ["layer '1' (BatchNorm1d("]),
    ],
    ids=lambda value: "" if isinstance(value, list) else type(value).__name__,
)
def test_what_has_no_counterpart_is_named(module, words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the words are compared below)
        fb.from_torch(module, inputs=3)
    for word in words:
        assert word in str(caught.value)


# State dicts


def stack() -> nn.Sequential:
    torch.manual_seed(1)
    layers = []
    for inputs, units in ((4, 7), (7, 5), (5, 6), (6, 9), (9, 8), (8, 3)):
        layers += [nn.Linear(inputs, units), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def test_a_state_dict() -> None:
    module = stack()
    net = fb.from_torch(module.state_dict(), "tanh")
    converted.assert_same(net, lambda *xs: in_torch(module, *xs), 1e-6)
    ends = fb.from_torch(module.state_dict(), ["tanh"] * 5 + ["softmax"])
    converted.assert_same(ends, lambda *xs: in_torch(nn.Sequential(module, nn.Softmax(1)), *xs), 1e-6)
    same = fb.from_torch(module.state_dict(), "tanh", output_activation="softmax")
    assert converted.structure(same) == converted.structure(ends)


def test_a_file_of_a_state_dict(tmp_path) -> None:
    """Its names are sorted as texts, and 10.weight comes before 2.weight."""
    module = stack().double()
    path = tmp_path / "net.safetensors"
    pytest.importorskip("safetensors.torch").save_file(module.state_dict(), str(path))
    net = fb.from_torch(path, "tanh")
    assert net.dtype == "float64"
    converted.assert_same(net, lambda *xs: in_torch(module, *xs), 1e-13)
    with pytest.raises(fb.ModelFormatError, match="from_torch"):
        fb.load(path)


def test_a_state_dict_with_normalizations() -> None:
    module = nn.Sequential(nn.Linear(4, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 5), nn.LayerNorm(5), nn.ReLU(),
                           nn.Linear(5, 3))  # fmt: skip
    module(torch.randn(9, 4))
    net = fb.from_torch(module.state_dict(), "relu")
    module.eval()
    converted.assert_same(net, lambda *xs: in_torch(module, *xs), 1e-6)


def test_a_half_precision_state_dict_becomes_float32() -> None:
    state = {name: tensor.to(torch.bfloat16) for name, tensor in stack().state_dict().items()}
    net = fb.from_torch(state, "tanh")
    assert net.dtype == "float32"
    np.testing.assert_array_equal(net["dense_1"].W.T, state["0.weight"].float().numpy())


A = np.ones


@pytest.mark.parametrize(
    ("state", "options", "words"),
    [
        ({"0.weight": A((3, 2)), "1.weight": A((4, 3))}, {}, "a state dict has no activations"),
        ({"0.weight": A((3, 2)), "1.weight": A((4, 5))}, {"activation": "relu"}, "1 wants 5 columns"),
        ({"0.weight": A((3, 2)), "1.weight": A((4, 3))}, {"activation": ["relu"]}, "tuple of 2, got 1"),
        ({"0.weight": A((3, 2))}, {"output_activation": "rulo"}, "unknown activation 'rulo'"),
        ({"c.weight": A((3, 2, 5))}, {}, r"c with weight \(3, 2, 5\) cannot be .*; known: .*Linear"),
        ({"a.odd": A((3, 2))}, {}, "a with odd"),
        ({"0.weight": A((3, 2)), "0.bias": A(4)}, {}, "b of <Dense.* must have shape"),
        ({"0.weight": np.full((3, 2), np.nan)}, {}, "NaN"),
        ({}, {}, "no Linear layer"),
    ],
)
def test_state_dicts_that_are_wrong(state: dict, options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fb.from_torch(state, **options)


def test_arguments_that_are_wrong(tmp_path) -> None:
    with pytest.raises(TypeError, match="wants a module, a state dict or a path, got int"):
        fb.from_torch(3)
    with pytest.raises(ValueError, match=r"torch\.load"):
        fb.from_torch("net.pt")
    with pytest.raises(ValueError, match="own activations"):
        fb.from_torch(nn.Linear(2, 3), "relu")
    nets.small_net().save(tmp_path / "own.safetensors")
    with pytest.raises(ValueError, match=r"fb\.load reads it"):
        fb.from_torch(tmp_path / "own.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense" * 5)
    with pytest.raises(fb.ModelFormatError):
        fb.from_torch(tmp_path / "broken.safetensors", "relu")
    x = fb.Input(3)
    net = fb.Model(x, fb.Lambda(np.sin, lambda dY, X, Y: dY * np.cos(X), name="wave")(x))
    with pytest.raises(ValueError, match=r"<Lambda wave> cannot be written as PyTorch.*NumPy only"):
        net.to_torch()


def test_without_pytorch(python) -> None:
    done = python(
        "-c",
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np, fastbp as fb\n"
        "net = fb.from_torch({'0.weight': np.ones((1, 2))})\n"
        "try: net.to_torch()\n"
        "except ImportError as error: print(error)\n",
    )
    assert done.stdout.strip() == "to_torch needs torch: pip install torch", done.stderr
