"""Initializers: the statistics that their formulas give, and PyTorch's under PyTorch's names.

Every row of the table has its line in FORMULAS; one without fails. PyTorch's weights are (outputs, inputs).
"""

import math
import pickle

import numpy as np
import pytest

import fastbp as fb
from fastbp.initializers import INITIALIZERS

I, O = 320, 200  # inputs, outputs: 64,000 numbers, so a deviation is known to 0.3 %
ROWS = {row.__name__: row for row in INITIALIZERS.values()}


def truncated_deviation(cut: float) -> float:
    """Of a standard normal within +-cut."""
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(1 - 2 * cut * density / math.erf(cut / math.sqrt(2)))


# name: (settings, mean, deviation, bound) of the numbers
FORMULAS = {
    "zeros": [({}, 0, 0, 0)],
    "ones": [({}, 1, 0, 1)],
    "constant": [({"value": -0.3}, -0.3, 0, 0.3), ({}, 0, 0, 0)],
    "uniform": [({}, 0, 0.1 / math.sqrt(12), 0.05), ({"low": 1.0, "high": 3.0}, 2, 2 / math.sqrt(12), 3)],
    "normal": [({}, 0, 0.05, None), ({"mean": 2.0, "std": 3.0}, 2, 3, None)],
    "truncated_normal": [
        ({"std": 0.02}, 0, 0.02 * truncated_deviation(2), 0.04),
        ({"std": 1.0, "cut": 0.7}, 0, truncated_deviation(0.7), 0.7),
    ],
    "glorot_uniform": [({}, 0, math.sqrt(2 / (I + O)), math.sqrt(6 / (I + O))), ({"gain": 3.0}, 0, 0.18605, None)],
    "glorot_normal": [({}, 0, math.sqrt(2 / (I + O)), None), ({"gain": 3.0}, 0, 0.18605, None)],
    "he_uniform": [({}, 0, math.sqrt(2 / I), math.sqrt(6 / I)), ({"alpha": 0.5, "fan": "out"}, 0, 0.08944, None)],
    "he_normal": [({}, 0, math.sqrt(2 / I), None), ({"alpha": 0.5, "fan": "out"}, 0, 0.08944, None)],
    "lecun_uniform": [({}, 0, math.sqrt(1 / I), math.sqrt(3 / I))],
    "lecun_normal": [({}, 0, math.sqrt(1 / I), None)],
    "orthogonal": [({}, 0, math.sqrt(1 / I), None), ({"gain": 2.0}, 0, 2 * math.sqrt(1 / I), None)],
    "identity": [({"gain": gain}, gain / I, gain * math.sqrt(1 / I - 1 / I**2), gain) for gain in (1, 3)],
    "sparse": [({}, 0, 0.01 * math.sqrt(0.1), None), ({"sparsity": 0.5, "std": 2.0}, 0, 2 * math.sqrt(0.5), None)],
}
CASES = [pytest.param(name, *case, id=f"{name}-{case[0]}") for name, cases in FORMULAS.items() for case in cases]


def test_every_initializer_has_its_formula() -> None:
    assert set(FORMULAS) == set(ROWS)


@pytest.mark.parametrize(("name", "settings", "mean", "deviation", "bound"), CASES)
def test_the_numbers_have_the_moments_of_the_formula(name, settings, mean, deviation, bound, rng) -> None:
    W = getattr(fb.initializers, name)(**settings)((I, O), rng)
    assert W.shape == (I, O)
    assert W.dtype == np.float64
    assert W.std() == pytest.approx(deviation, rel=0.015, abs=1e-15)
    assert W.mean() == pytest.approx(mean, abs=5 * deviation / math.sqrt(I * O) + 1e-15)
    if bound is not None:
        assert (0.995 if deviation else 1.0) * bound <= np.abs(W).max() <= bound


@pytest.mark.parametrize(
    ("ours", "torchs", "settings"),
    [
        ("xavier_uniform", "xavier_uniform_", {"gain": 2.0}),
        ("xavier_normal", "xavier_normal_", {"gain": 2.0}),
        ("kaiming_uniform", "kaiming_uniform_", {"alpha": 0.3}),
        ("kaiming_normal", "kaiming_normal_", {"alpha": 0.3, "fan": "out"}),
        ("orthogonal", "orthogonal_", {"gain": 2.0}),
        ("eye", "eye_", {}),
        ("sparse", "sparse_", {"sparsity": 0.7, "std": 0.3}),
        ("trunc_normal", "trunc_normal_", {"std": 0.02}),
    ],
)
def test_pytorch_names_do_what_pytorch_does(ours: str, torchs: str, settings: dict, rng) -> None:
    """Deviation and bound, and for what is drawn without chance each number."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    names = {"alpha": "a", "fan": "mode"}
    theirs = {names.get(key, key): f"fan_{v}" if key == "fan" else v for key, v in settings.items()}
    if torchs == "trunc_normal_":
        theirs |= {"a": -0.04, "b": 0.04}
    W = INITIALIZERS[ours](**settings)((I, O), rng)
    wanted = getattr(torch.nn.init, torchs)(torch.empty(O, I, dtype=torch.float64), **theirs).numpy().T
    assert W.std() == pytest.approx(wanted.std(), rel=0.02)
    assert np.abs(W).max() == pytest.approx(np.abs(wanted).max(), rel=0.2)
    assert (W == 0).mean() == pytest.approx((wanted == 0).mean(), abs=1e-3)
    if ours == "eye":
        np.testing.assert_array_equal(W, wanted)


@pytest.mark.parametrize("shape", [(7, 7), (9, 4), (4, 9)])
def test_orthogonal_is(shape: tuple[int, int], rng) -> None:
    W = fb.initializers.orthogonal(gain=3.0)(shape, rng)
    small = W.T @ W if shape[0] >= shape[1] else W @ W.T
    np.testing.assert_allclose(small, 9 * np.eye(min(shape)), rtol=0, atol=1e-13)


def test_orthogonal_is_uniform(rng) -> None:
    """Half of all 3 by 3 are rotations; each number has the deviation 1/sqrt(3), and none leads."""
    drawn = np.array([fb.initializers.orthogonal((3, 3), rng) for _ in range(3000)])
    assert (np.linalg.det(drawn) > 0).mean() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose(drawn.std(axis=0), 1 / math.sqrt(3), atol=0.03)


@pytest.mark.parametrize(("sparsity", "zeros"), [(0.0, 0), (0.7, 7), (0.75, 8), (1.0, 10)])
def test_each_output_has_its_share_of_zeros(sparsity: float, zeros: int, rng) -> None:
    W = fb.initializers.sparse(sparsity=sparsity)((10, 6), rng)
    assert ((W == 0).sum(axis=0) == zeros).all()
    if zeros == 7:
        assert len({tuple(column) for column in (W == 0).T}) > 1


@pytest.mark.parametrize("name", sorted(ROWS))
def test_ways_to_say_it_in_a_layer(name: str) -> None:
    row = getattr(fb.initializers, name)
    nets = [
        fb.Sequential(fb.Input(4), fb.Dense(3, weights=start), dtype="float64", seed=2)
        for start in (name, row, row(), lambda shape, rng: row(shape, rng))
    ]
    for net in nets:
        np.testing.assert_array_equal(net.params, nets[0].params)
    np.testing.assert_array_equal(nets[0]["dense_1"].W, row((4, 3), np.random.default_rng(2)))


@pytest.mark.parametrize(("start", "wanted"), [("ones", 1), (0.25, 0.25), (fb.initializers.constant(-2), -2)])
def test_biases_too(start, wanted: float) -> None:
    net = fb.Sequential(fb.Input(4), fb.Dense(3, biases=start), seed=0)
    assert (net["dense_1"].b == wanted).all()
    drawn = fb.Sequential(fb.Input(4), fb.Dense(3, biases=fb.initializers.uniform(1, 2)), seed=0)["dense_1"].b
    assert ((drawn >= 1) & (drawn < 2)).all()


def test_what_is_configured_can_be_shown_compared_and_pickled(rng) -> None:
    start = fb.initializers.truncated_normal(std=0.02)
    assert repr(start) == "truncated_normal(std=0.02)"
    assert start.settings == {"mean": 0.0, "std": 0.02, "cut": 2.0}
    again = pickle.loads(pickle.dumps(start))
    assert again == start
    assert again != fb.initializers.truncated_normal(std=0.03)
    np.testing.assert_array_equal(*(it((3, 2), np.random.default_rng(1)) for it in (start, again)))
    assert fb.initializers.kaiming_normal is fb.initializers.he_normal


BAD = {
    "negative std": (lambda: fb.initializers.normal(std=-1), ValueError, ["std", "-1"]),
    "text std": (lambda: fb.initializers.normal(std="a"), TypeError, ["std", "'a'"]),
    "unknown setting": (lambda: fb.initializers.normal(stddev=1), TypeError, ["stddev", "std", "mean", "normal"]),
    "turned round": (lambda: fb.initializers.uniform(2, 1), ValueError, ["low", "high", "2", "1"]),
    "sparser than all": (lambda: fb.initializers.sparse(sparsity=1.1), ValueError, ["sparsity", "1.1"]),
    "unknown fan": (lambda: fb.initializers.he_normal(fan="fan_in"), ValueError, ["fan", "'fan_in'", "in, out"]),
    "a tight cut": (lambda: fb.initializers.truncated_normal(cut=0.1), ValueError, ["cut", "0.5", "0.1"]),
    "infinite value": (lambda: fb.initializers.constant(math.inf), ValueError, ["value", "inf"]),
    "too many settings": (lambda: fb.initializers.constant(1, 2), TypeError, ["constant", "1", "2"]),
    "an orthogonal bias": (
        lambda: fb.Sequential(fb.Input(2), fb.Dense(3, biases="orthogonal")),
        ValueError,
        ["orthogonal", "matrix", "(3,)"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_refused_when_made(case: str) -> None:
    call, error, words = BAD[case]
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
