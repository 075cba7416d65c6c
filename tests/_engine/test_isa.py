"""Each instruction set that this processor has runs the tests of the kernels, in an interpreter of its own.

The variants come from one source, so what is tested is that the flags and vector widths of each are right,
remainders of the tile included.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import reference
from fastbp import _engine
from fastbp._engine import cpu

TESTS = Path(__file__).parents[1]
SETS = cpu.supported()
CORE = [
    "_engine/test_activations.py",
    "losses/test_losses.py",
    "losses/test_loss_weights.py",
    "_engine/test_updates.py",
    "_engine/test_products.py",
    "_engine/test_program.py",
    "layers/test_dropout.py",
]

NET = """
import json
import numpy as np, fastbp as fb

results = {"isa": fb._engine.isa}
for dtype in ("float32", "float64"):
    x = fb.Input(5)
    h = fb.Dense(37, activation="tanh")(x)
    layers = [fb.Dense(9, activation="softmax")(h), fb.Dense(3)(fb.Activation("sigmoid")(h))]
    net = fb.Model(x, layers, dtype=dtype, seed=0)
    rng = np.random.default_rng(1)
    X, s, t = rng.normal(size=(70, 5)), rng.normal(size=(70, 9)), rng.normal(size=(70, 3))
    value, g = net.value_and_grad(net.params.copy(), X, (s, t), loss=("mse", "mse"))
    history = net.fit(X, (s, t), loss=("mse", "mse"), optimizer="adam", epochs=3, batch_size=16, seed=1)
    results[dtype] = [value, *history.history["loss"]], g.tolist(), net.params.tolist()
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def truth() -> tuple[float, np.ndarray]:
    """Loss and gradient of the net above by the reference."""
    import fastbp as fb

    x = fb.Input(5)
    h = fb.Dense(37, activation="tanh")(x)
    layers = [fb.Dense(9, activation="softmax")(h), fb.Dense(3)(fb.Activation("sigmoid")(h))]
    net = fb.Model(x, layers, dtype="float64", seed=0)
    rng = np.random.default_rng(1)
    X, s, t = rng.normal(size=(70, 5)), rng.normal(size=(70, 9)), rng.normal(size=(70, 3))
    mirror, kept = reference.mirror(net)
    (a, da), (b, db) = (reference.loss("mse", Y, y) for Y, y in zip(mirror.forward(X), (s, t), strict=True))
    _, gradients = mirror.backward(da, db)
    order = [kept.index(layer) for layer in net.layers if layer in kept]
    return a + b, np.concatenate([part.ravel() for key in order for part in gradients[key]])


def test_the_set_in_use_is_one_that_the_processor_has() -> None:
    assert _engine.isa in SETS
    assert "generic" in SETS


@pytest.mark.parametrize("isa", SETS)
def test_a_net_under_each_set(isa: str, python, truth: tuple[float, np.ndarray]) -> None:
    done = python("-c", NET, FASTBP_ISA=isa)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["isa"] == isa
    for dtype, limit in (("float32", 1e-5), ("float64", 1e-12)):
        losses, g, params = results[dtype]
        assert abs(losses[0] - truth[0]) <= limit * truth[0]
        np.testing.assert_allclose(g, truth[1], rtol=0, atol=limit)
        assert losses[-1] < losses[1]
        assert np.isfinite(params).all()


@pytest.mark.parametrize("isa", [isa for isa in SETS if isa != _engine.isa])
def test_the_tests_of_the_kernels_pass_under_each_set(isa: str, python) -> None:
    files = [str(TESTS / name) for name in CORE]
    done = python("-m", "pytest", "-x", "-p", "no:cacheprovider", *files, FASTBP_ISA=isa)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert f"instruction set {isa}" in done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize("name", ["avx1024", "AVX2", " "])
def test_an_unknown_set_is_a_clear_error(name: str, python) -> None:
    done = python("-c", "import fastbp", FASTBP_ISA=name)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "FASTBP_ISA" in last
    assert repr(name) in last
    assert all(isa in last for isa in SETS)


def test_an_empty_setting_is_none(python) -> None:
    done = python("-c", "import fastbp; print(fastbp._engine.isa)", FASTBP_ISA="")
    assert done.stdout.strip() == SETS[0], done.stderr
