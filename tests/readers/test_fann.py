"""FANN's files: networks against the definition of the format, computed neuron by neuron; and training data."""

import math
from collections.abc import Callable

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine
from fastbp.readers.fann import ACTIVATIONS

# FANN's functions of steepness times sum, from the description of fann_activationfunc_enum, by number.
FUNCTIONS: dict[int, Callable[[float], float]] = {
    0: lambda v: v,
    3: lambda v: 1 / (1 + math.exp(-2 * v)),
    4: lambda v: 1 / (1 + math.exp(-2 * v)),
    5: lambda v: 2 / (1 + math.exp(-2 * v)) - 1,
    6: lambda v: 2 / (1 + math.exp(-2 * v)) - 1,
    7: lambda v: math.exp(-v * v),
    8: lambda v: 2 * math.exp(-v * v) - 1,
    10: lambda v: v / 2 / (1 + abs(v)) + 0.5,
    11: lambda v: v / (1 + abs(v)),
    12: lambda v: min(max(v, 0), 1),
    13: lambda v: min(max(v, -1), 1),
    14: math.sin,
    15: math.cos,
    16: lambda v: math.sin(v) / 2 + 0.5,
    17: lambda v: math.cos(v) / 2 + 0.5,
}
KNOWN = [number for number in FUNCTIONS if ACTIVATIONS[number].activation in _engine.ACTIVATIONS]


class Network:
    """A network of FANN's in its own terms: neurons one after the other, each with its connections."""

    def __init__(self, sizes, functions, *, shortcut=False, rate=1.0, seed=0) -> None:
        rng = np.random.default_rng(seed)
        self.shortcut, self.sizes = shortcut, [size + (not shortcut or k == 0) for k, size in enumerate(sizes)]
        self.neurons, layers, first = [], [], 0
        for k, size in enumerate(self.sizes):
            numbers = list(range(first, first + size))
            first += size
            before = [n for layer in layers[0 if shortcut else -1 :] for n in layer]
            for number in numbers:
                is_bias = number == numbers[-1] and (not shortcut or k == 0)
                found = [] if k == 0 or is_bias else [n for n in before if n == before[-1] or rng.random() < rate]
                function = functions[number % len(functions)] if found else 0
                steepness = float(np.round(rng.uniform(0.3, 1.2), 3)) if found else 0.0
                weights = np.round(rng.normal(size=len(found)), 4).tolist()
                self.neurons.append((function, steepness, list(zip(found, weights, strict=True))))
            layers.append(numbers)

    def text(self, version: str = "FANN_FLO_2.1") -> str:
        neurons = " ".join(f"({len(c)}, {f}, {s:.20e})" for f, s, c in self.neurons)
        connections = " ".join(f"({n}, {w:.20e})" for _, _, found in self.neurons for n, w in found)
        lines = [
            version,
            f"num_layers={len(self.sizes)}",
            "learning_rate=0.700000",
            "connection_rate=1.000000",
            f"network_type={int(self.shortcut)}",
            "learning_momentum=0.000000",
            "cascade_activation_functions_count=2",
            "cascade_activation_functions=3 5 ",
            f"layer_sizes={' '.join(map(str, self.sizes))} ",
            *(["scale_included=0"] if version.endswith("1") else []),
            f"neurons (num_inputs, activation_function, activation_steepness)={neurons} ",
            f"connections (connected_to_neuron, weight)={connections} ",
        ]
        return "\n".join(lines) + "\n"

    def run(self, row: np.ndarray) -> list[float]:
        values = [*row.tolist(), 1.0]
        for function, steepness, found in self.neurons[len(values) :]:
            total = sum(values[n] * w for n, w in found)
            values.append(FUNCTIONS[function](steepness * total) if found else 1.0)
        last = values[-self.sizes[-1] :]
        return last if self.shortcut else last[:-1]


def assert_read(network: Network, path, text: str | None = None) -> fb.Model:
    path.write_text(network.text() if text is None else text)
    net = fb.from_fann(path, dtype="float64")
    X = np.random.default_rng(1).normal(size=(11, network.sizes[0] - 1))
    np.testing.assert_allclose(net.predict(X), [network.run(row) for row in X], rtol=1e-12, atol=1e-12)
    return net


@pytest.mark.parametrize("number", KNOWN)
def test_each_activation(number: int, tmp_path) -> None:
    net = assert_read(Network([3, 5, 4, 2], [number]), tmp_path / "a.net")
    assert type(net) is fb.Sequential


def test_layers_of_several_activations(tmp_path) -> None:
    assert_read(Network([3, 9, 7, 5], KNOWN), tmp_path / "a.net")


@pytest.mark.parametrize("seed", range(4))
def test_shortcuts_and_sparse_networks(seed: int, tmp_path) -> None:
    assert_read(Network([3, 1, 1, 2, 4], [5, 3, 0], shortcut=True, seed=seed), tmp_path / "a.net")
    assert_read(Network([3, 6, 5, 2], [5, 0, 3], rate=0.4, seed=seed), tmp_path / "a.net")


def test_both_versions(tmp_path) -> None:
    network = Network([4, 6, 3], [5])
    net = assert_read(network, tmp_path / "a.net", network.text("FANN_FLO_2.0"))
    assert [layer.activation for layer in net.layers] == ["tanh", "tanh"]
    assert fb.from_fann(str(tmp_path / "a.net")).dtype == "float32"


def stepwise(v: float, knots: list, values: list, low: float, high: float) -> float:
    return low if v < knots[0] else high if v >= knots[-1] else float(np.interp(v, knots, values))


def test_stepwise_functions_are_as_near_as_is_said() -> None:
    """Their knots lie where the function that is meant has these values."""
    shares = np.array([0.005, 0.05, 0.25, 0.75, 0.95, 0.995])
    knots = (np.log(shares / (1 - shares)) / 2).tolist()
    grid = np.linspace(-6, 6, 4001)
    off = [abs(stepwise(v, knots, shares.tolist(), 0, 1) - FUNCTIONS[4](v)) for v in grid]
    assert 0.03 < max(off) < 0.04
    both = [abs(stepwise(v, knots, (2 * shares - 1).tolist(), -1, 1) - FUNCTIONS[6](v)) for v in grid]
    assert 0.06 < max(both) < 0.07


GOOD = Network([2, 3, 1], [5]).text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "begins with ''"),
        ("FANN_FIX_2.1\n" + GOOD, "FANN_FIX_2.1.*known: FANN_FLO_2.0"),
        (GOOD[: GOOD.index("connections")], "no connections"),
        (GOOD.replace("layer_sizes=3 4 2", "layer_sizes=3 4 3"), "10 neurons, 9 are listed"),
        (GOOD.replace("layer_sizes=3 4 2", "layer_sizes=9"), "fewer than two layers"),
        (GOOD.replace("layer_sizes=3 4 2", "layer_sizes=1 6 2"), "layer 0 has no neuron"),
        (GOOD.replace("(3, 5,", "(4, 5,", 1), "14 connections, 13 are listed"),
        (GOOD.replace("weight)=(0,", "weight)=(77,"), "neuron 77, there are 9"),
        (GOOD.replace("weight)=(0,", "weight)=(5,"), "leads from layer 1"),
        (GOOD.replace("weight)=(0,", "weight)=(x,"), "'x' is not a number"),
        (GOOD.replace("weight)=(0,", "weight)=(0, 1,"), "groups of 2 numbers"),
        (GOOD.replace("e-01)", "e+999)", 1), "out of range"),
        (GOOD.replace("layer_sizes=3", "layer_sizes=-3"), "out of range"),
        (GOOD.replace("(3, 5,", f"({10**30}, 5,", 1), "out of range"),
    ],
)
def test_broken_files(text: str, words: str, tmp_path) -> None:
    path = tmp_path / "bad.net"
    path.write_text(text)
    with pytest.raises(fb.ModelFormatError, match=rf"bad\.net.*{words}"):
        fb.from_fann(path)


@pytest.mark.parametrize("number", [1, 2, 9, 99])
def test_activations_without_counterpart(number: int, tmp_path) -> None:
    (tmp_path / "a.net").write_text(Network([2, 3, 1], [5]).text().replace(", 5, ", f", {number}, "))
    with pytest.raises(ValueError, match=f"function {number} cannot be read from FANN; known: .*SIGMOID"):
        fb.from_fann(tmp_path / "a.net")


def test_a_huge_layer_of_few_connections_is_refused(tmp_path) -> None:
    many = 20_000
    neurons = "(0, 0, 0) " * (many + 1) + "(1, 5, 1) " * many + "(0, 0, 0) " + "(1, 5, 1) (0, 0, 0) "
    connections = "(0, 1) " * many + f"({many + 1}, 1)"
    text = f"FANN_FLO_2.1\nnetwork_type=0\nlayer_sizes={many + 1} {many + 1} 2\nneurons (a)={neurons}\n"
    (tmp_path / "a.net").write_text(text + f"connections (b)={connections}\n")
    with pytest.raises(fb.ModelFormatError, match="out of proportion to its size"):
        fb.from_fann(tmp_path / "a.net")


# Training data


def test_training_data(tmp_path) -> None:
    X, y = np.random.default_rng(0).normal(size=(7, 4)), np.arange(14.0).reshape(7, 2)
    pairs = "\n".join(" ".join(map(repr, values.tolist())) for pair in zip(X, y, strict=True) for values in pair)
    (tmp_path / "a.train").write_text(f"7 4 2\n{pairs}\n")
    got_X, got_y = fb.datasets.read_fann(tmp_path / "a.train")
    np.testing.assert_array_equal(got_X, X)
    np.testing.assert_array_equal(got_y, y)
    assert got_X.dtype == got_y.dtype == np.float64


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "begins with"),
        ("2 x 1\n1 2", "begins with"),
        ("0 1 1\n", "begins with"),
        ("2 2 1\n1 2\n3\n4 5\n", "6 numbers, got 5"),
        ("1 1 1\n1\n2 3", "2 numbers, got 3"),
        ("99999999999 9999999 1\n1", "numbers, got 1"),
        ("1 1 1\n1 two", "'two'"),
    ],
)
def test_broken_training_data(text: str, words: str, tmp_path) -> None:
    (tmp_path / "bad.train").write_text(text)
    with pytest.raises(fb.ModelFormatError, match=rf"bad\.train.*{words}"):
        fb.datasets.read_fann(tmp_path / "bad.train")


def test_the_net_is_compared_with_the_neurons(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.net"
    neurons = "(0, 0, 0) (0, 0, 0) (0, 0, 0) (3, 5, 0.5) (0, 0, 0)"
    path.write_text(
        f"FANN_FLO_2.1\nnetwork_type=0\nlayer_sizes=3 2\nneurons={neurons}\nconnections=(0, 1) (1, 1) (2, 0.5)\n"
    )
    assert fb.from_fann(path).predict([[1.0, 2.0]])[0, 0] == pytest.approx(np.tanh(1.75))
    made = lambda draft, *rest: draft.add(fb.Dense(1), 0, W=np.ones((2, 1)), b=np.zeros(1))  # noqa: E731
    monkeypatch.setattr("fastbp.readers.fann._layer", made)
    with pytest.raises(ValueError, match=r"differs from the original's: by .* in column 0"):
        fb.from_fann(path)
    assert fb.from_fann(path, check=False).outputs[0].width == 1
