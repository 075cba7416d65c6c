"""One row at a time, from dicts: the bits of batches of one row; what is new makes the net grow and spoils nothing.

`Trainer.step` is the specification, and NumPy the oracle of what a larger net must give.
"""

import numpy as np
import pytest

import fastbp as fb

INPUTS, UNITS = 5, 7
NAMES = [f"f{k}" for k in range(INPUTS)]


def net(dtype, outputs: int = 1, inputs: int = INPUTS) -> fb.Sequential:
    layers = [fb.Dense(UNITS, "tanh"), fb.Dropout(0.1), fb.Dense(outputs)]
    return fb.Sequential(fb.Input(inputs), *layers, dtype=dtype, seed=3)


def rows(count: int = 40) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(count, INPUTS))


def as_dict(row: np.ndarray) -> dict:
    return dict(zip(NAMES, row.tolist(), strict=True))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(
    ("loss", "outputs", "y"),
    [
        ("mse", 1, lambda k: 0.5 * k),
        ("cross_entropy", 3, lambda k: ("a", "b", "c")[k % 3]),
        ("binary_cross_entropy", 1, lambda k: k % 3 == 0),
        ("mse", 2, lambda k: [k, -k]),
    ],
)
def test_a_row_is_a_batch_of_one(loss: str, outputs: int, y, optimizer: str, dtype: np.dtype) -> None:
    one, other = (fb.Trainer(net(dtype, outputs), loss, optimizer) for _ in range(2))
    for k, row in enumerate(rows()):
        assert one.learn_one(as_dict(row), y(k)) is None
        target = np.array([k % 3]) if loss == "cross_entropy" else np.array([y(k)], dtype).reshape(1, outputs)
        other.step(row[None], target)
    np.testing.assert_array_equal(one.net.params, other.net.params)
    np.testing.assert_array_equal(one.chain.states, other.chain.states)
    assert one.net.draws == other.net.draws == 40
    Y = other.net.predict(rows())
    for row, wanted in zip(rows(), Y, strict=True):
        got = one.predict_one(as_dict(row))
        if loss == "mse":
            np.testing.assert_array_equal(got, wanted if outputs > 1 else wanted[0])
        elif loss == "cross_entropy":
            assert got == "abc"[wanted.argmax()]
            shares = np.exp(wanted.astype(float) - wanted.max())
            np.testing.assert_allclose(list(one.predict_proba_one(as_dict(row)).values()), shares / shares.sum())
        else:
            assert got is bool(wanted[0] > 0)
            assert one.predict_proba_one(as_dict(row))[True] == pytest.approx(1 / (1 + np.exp(-float(wanted[0]))))


def test_numbers_of_any_kind_and_features_that_lack(dtype: np.dtype) -> None:
    one, other = (fb.Trainer(net(dtype), "mse", "sgd") for _ in range(2))
    dicts = [{"f1": True, "f0": np.float32(0.5)}, {}, {"f2": 3, "f4": np.int64(-2)}, {"f3": 2.0}]
    values = [[0, 1, 0.5, 0, 0, 0], [0] * 6, [0, 0, 0, 3, -2, 0], [0, 0, 0, 0, 0, 2]]
    for x, row in zip(dicts, values, strict=True):
        one.learn_one(x, np.float64(1.5))
        other.step(np.array([row[1:]]), [[1.5]])
    np.testing.assert_array_equal(one.net.params, other.net.params)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", fb.SGD(0.01, momentum=0.9)])
def test_a_new_feature(optimizer, dtype: np.dtype) -> None:
    trainer = fb.Trainer(net(dtype), "mse", optimizer)
    for k, row in enumerate(rows()):
        trainer.learn_one(as_dict(row), k / 40)
    old, before = trainer.net, trainer.net.params.copy()
    wanted = [trainer.predict_one(as_dict(row)) for row in rows()]
    assert trainer.predict_one({**as_dict(rows()[0]), "new": 5.0}) == wanted[0], "asking does not grow"
    x = {**as_dict(rows()[0]), "new": 0.5, "newer": -1.0}
    trainer.optimizer.lr, lr = 0.0, trainer.optimizer.lr
    trainer.learn_one(x, 1.0)
    assert trainer.net.inputs[0].width == INPUTS + 2
    assert [trainer.predict_one(as_dict(row)) for row in rows()] == wanted
    np.testing.assert_array_equal(old.params, before)
    W = trainer.net["dense_1"].W.copy()
    np.testing.assert_array_equal(W[:INPUTS], old["dense_1"].W)
    assert (W[INPUTS:] != 0).all(), "new weights start as the initializer says"
    assert np.abs(W[INPUTS:]).max() <= np.sqrt(6 / (INPUTS + 2 + UNITS)), "Glorot's bound"
    assert trainer.chain.t == 41
    trainer.optimizer.lr = lr
    trainer.learn_one(x, 1.0)
    assert (trainer.net["dense_1"].W[INPUTS:] != W[INPUTS:]).any(axis=1).all()


def test_the_state_of_the_optimizer_moves_with_the_weights(dtype: np.dtype) -> None:
    """Growing between two steps is growing before both, with the same start: columns of zeros change nothing."""
    early, late = (fb.Trainer(net(dtype), "mse", "adam") for _ in range(2))
    for trainer in (early, late):
        for row in rows(3):
            trainer.learn_one(as_dict(row), 1.0)
    late.learn_one({**as_dict(rows()[0]), "new": 0.0}, 1.0)
    early.learn_one(as_dict(rows()[0]), 1.0)
    for name, (part, shape) in early.net.slices.items():
        wanted = early.chain.states[:, part].reshape(-1, *shape)
        grown = late.chain.states[:, late.net.slices[name][0]].reshape(-1, *late.net.slices[name][1])
        np.testing.assert_array_equal(grown[tuple(map(slice, wanted.shape))], wanted)
        if name == "dense_1.W":
            assert not grown[:, INPUTS:].any(), "of new weights it starts at 0, and a feature of 0 leaves it there"
    assert early.chain.states.any()
    np.testing.assert_array_equal(late.net["dense_1"].W[:INPUTS], early.net["dense_1"].W)
    np.testing.assert_array_equal(late.net["dense_2"].W, early.net["dense_2"].W)


def test_a_new_class(dtype: np.dtype) -> None:
    trainer = fb.Trainer(net(dtype, outputs=2), "cross_entropy", "adam")
    for row, label in zip(rows(), ["a", "b"] * 20, strict=True):
        trainer.learn_one(as_dict(row), label)
    before, old = trainer.net.predict(rows()), trainer.net
    trainer.optimizer.lr = 0.0
    trainer.learn_one(as_dict(rows()[0]), ("c", 3))
    assert trainer.net.outputs[0].width == 3
    np.testing.assert_array_equal(trainer.net.predict(rows())[:, :2], before)
    assert trainer.net["dense_2"].b[2] == 0
    assert old.outputs[0].width == 2
    assert set(trainer.predict_proba_one(as_dict(rows()[0]))) == {"a", "b", ("c", 3)}
    trainer.optimizer.lr = 0.01
    for _ in range(200):
        trainer.learn_one(as_dict(rows()[0]), ("c", 3))
    assert trainer.predict_one(as_dict(rows()[0])) == ("c", 3)


def test_classes_that_nobody_has_seen_have_no_share(dtype: np.dtype) -> None:
    trainer = fb.Trainer(net(dtype, outputs=4), "cross_entropy", "sgd")
    assert trainer.predict_one(as_dict(rows()[0])) is None
    assert trainer.predict_proba_one(as_dict(rows()[0])) == {}
    trainer.learn_one(as_dict(rows()[0]), 7)
    trainer.learn_one(as_dict(rows()[1]), 9)
    shares = trainer.predict_proba_one(as_dict(rows()[2]))
    assert list(shares) == [7, 9]
    assert sum(shares.values()) == pytest.approx(1)


def test_words_that_keep_coming(dtype: np.dtype) -> None:
    """A thousand features from nothing: the net grows some dozens of times, and learns which words mean what."""
    rng = np.random.default_rng(0)
    start = fb.Sequential(fb.Input(1), fb.Dense(1), dtype=dtype, seed=0)
    trainer, nets = fb.Trainer(start, "binary_cross_entropy", fb.SGD(0.5)), set()
    for k in range(3000):
        word = f"w{rng.integers(min(1000, k + 2))}"
        trainer.learn_one({word: 1.0, "always": 1.0}, int(word[1:]) % 2 == 0)
        nets.add(id(trainer.net))
    width = trainer.net.inputs[0].width
    assert 800 < width < 1200
    assert len(nets) < 80
    assert trainer.predict_proba_one({"w0": 1.0})[True] > 0.5 > trainer.predict_proba_one({"w1": 1.0})[True]


def test_a_file_keeps_features_and_labels(tmp_path, dtype: np.dtype) -> None:
    trainer = fb.Trainer(net(dtype, outputs=2, inputs=2), "cross_entropy", "adam")
    for k, row in enumerate(rows()):
        trainer.learn_one(as_dict(row), "abc"[k % 3])
    trainer.save(tmp_path / "trainer.safetensors")
    other = fb.Trainer.load(tmp_path / "trainer.safetensors")
    for each in (trainer, other):
        each.learn_one({"f4": 1.0, "f0": -1.0, "more": 2.0}, "d")
    np.testing.assert_array_equal(trainer.net.params, other.net.params)
    assert trainer.predict_proba_one(as_dict(rows()[1])) == other.predict_proba_one(as_dict(rows()[1]))
    trainer.learn_one({("a", 1): 1.0}, "a")
    with pytest.raises(TypeError, match=r"features and labels that are strings or numbers, got \('a', 1\)"):
        trainer.save(tmp_path / "trainer.safetensors")


HOSTILE = """
import json, sys
import fastbp as fb
from fastbp.files.safetensors import read, write

for online in (
    {"features": [f"f{k}" for k in range(200_000)], "labels": ["wet"]},
    {"features": ["f"] * 200_000, "labels": ["wet"]},
    {"features": ["f"], "labels": [f"l{k}" for k in range(200_000)]},
    {"features": [["f"]], "labels": []},
    {"features": 3, "labels": []},
    {"features": ["f"]},
):
    trainer = fb.Trainer(fb.Sequential(fb.Input(1), fb.Dense(1), seed=0), "cross_entropy", "sgd")
    trainer.learn_one({"f": 1.0}, "wet")
    trainer.save(sys.argv[1])
    arrays, metadata = read(sys.argv[1])
    state = json.loads(metadata["fastbp.trainer"]) | {"online": online}
    write(sys.argv[1], arrays, {**metadata, "fastbp.trainer": json.dumps(state)})
    for work in (fb.Trainer.load, trainer.restore):
        try:
            work(sys.argv[1])
            trainer.predict_one({f"f{k}": 1.0 for k in range(200_000)})
        except fb.ModelFormatError:
            continue
        sys.exit(f"{str(online)[:80]} was taken")
    assert trainer.predict_one({"f": 1.0}) == "wet"
print("survived")
"""


def test_a_file_cannot_claim_more_features_than_the_net_has_columns(python, tmp_path) -> None:
    done = python("-c", HOSTILE, str(tmp_path / "bad.safetensors"))
    assert done.stdout == "survived\n", (done.returncode, done.stdout, done.stderr)


def test_it_goes_on_with_batches(dtype: np.dtype) -> None:
    trainer = fb.Trainer(net(dtype), "mse", "adam")
    trainer.learn_one({**as_dict(rows()[0]), "new": 1.0}, 0.5)
    X = np.column_stack([rows(), np.ones(40)])
    trainer.fit(X, np.ones(40), epochs=2)
    assert trainer.step(X, np.ones((40, 1))) >= 0
    trainer.learn_one(as_dict(rows()[0]), 0.5)
    assert trainer.chain.t == 2 + 2 * 2 + 1


def test_divergence_is_told(dtype: np.dtype) -> None:
    trainer = fb.Trainer(net(dtype), "mse", fb.SGD(1e30 if dtype == np.float32 else 1e200))

    def learn() -> None:
        for row in rows():
            trainer.learn_one(as_dict(row), 1.0)

    with pytest.raises(fb.DivergenceError, match="at step"):
        learn()
    assert np.isfinite(trainer.net.params).all()


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        ({"f0": "text"}, 1.0, TypeError, "^feature 'f0' must be a number, got 'text'"),
        ({"f0": None}, 1.0, TypeError, "^feature 'f0' must be a number, got None"),
        ({"f0": [1.0]}, 1.0, TypeError, "^feature 'f0' must be a number"),
        ({"f0": np.nan}, 1.0, ValueError, "^feature 'f0' must be finite, got nan"),
        ({"f0": np.inf, "new": 1.0}, 1.0, ValueError, "^feature 'f0' must be finite, got inf"),
        ({"new": "3"}, 1.0, TypeError, "^feature 'new' must be a number, got '3'"),
        ([1.0, 2.0], 1.0, TypeError, "^x must be a dict from feature to number, got list"),
        (None, 1.0, TypeError, "^x must be a dict"),
        ({"f0": 1.0}, "text", TypeError, "^y must be a number, got 'text'"),
        ({"f0": 1.0, "new": 2.0}, None, TypeError, "^y must be a number, got None"),
        ({"f0": 1.0}, np.nan, ValueError, "^y must be finite, got nan"),
    ],
)
def test_misuse_changes_nothing(x, y, error, message: str, dtype: np.dtype) -> None:
    trainer = fb.Trainer(net(dtype), "mse", "adam")
    trainer.learn_one(as_dict(rows()[0]), 1.0)
    before, old = trainer.net.params.copy(), trainer.net
    with pytest.raises(error, match=message):
        trainer.learn_one(x, y)
    assert trainer.net is old
    np.testing.assert_array_equal(trainer.net.params, before)
    assert trainer.chain.t == 1
    if y == 1.0 and x != {"new": "3"}:
        with pytest.raises((error, ValueError), match=r"feature|x must|NaN|infinity"):
            trainer.predict_one(x)


def test_labels_that_are_none(dtype: np.dtype) -> None:
    trainer = fb.Trainer(net(dtype, outputs=2), "cross_entropy", "sgd")
    for label in (None, [1], np.nan):
        with pytest.raises(TypeError, match="y must be a label, got"):
            trainer.learn_one({"f0": 1.0}, label)
    with pytest.raises(ValueError, match=r"1\.5"):
        fb.Trainer(net(dtype), "binary_cross_entropy", "sgd").learn_one({"f0": 1.0}, 1.5)


def test_nets_that_cannot() -> None:
    a, b = fb.Input(2), fb.Input(2)
    with pytest.raises(ValueError, match="learn_one wants a net of one input and one output"):
        fb.Trainer(fb.Model([a, b], fb.Dense(1)(a + b))).learn_one({}, 1.0)
    with pytest.raises(ValueError, match="learn_one wants a loss of fastbp's own"):
        fb.Trainer(net("float32"), lambda Y, t: fb.losses.mse(Y, t)).learn_one({}, 1.0)
    with pytest.raises(ValueError, match="predict_proba_one wants a loss of classes"):
        fb.Trainer(net("float32"), "mse").predict_proba_one({})
    soft = fb.Sequential(fb.Input(1), fb.Dense(1), fb.Activation("tanh"))
    trainer = fb.Trainer(soft, "cross_entropy")
    trainer.learn_one({"a": 1.0}, 0)
    with pytest.raises(ValueError, match="a new class wants a Dense of its own as the last layer"):
        trainer.learn_one({"a": 1.0}, 1)
    trainer.learn_one({"a": 1.0}, 0)
    x = fb.Input(2)
    fixed = fb.Trainer(fb.Model(x, fb.Dense(1)(x * fb.Dense(2)(x))), "mse")
    with pytest.raises(ValueError, match="width"):
        fixed.learn_one({"a": 1.0, "b": 1.0, "c": 1.0}, 1.0)


@pytest.mark.parametrize(("x", "name"), [({"new": 1e39}, "feature 'new'"), ({"x": -1e300}, "feature 'x'")])
def test_a_number_beyond_the_dtype_changes_nothing(x: dict, name: str) -> None:
    trainer = fb.Trainer(fb.Sequential(fb.Input(1), fb.Dense(1), seed=0), "mse", "sgd")
    trainer.learn_one({"x": 1.0}, 1.0)
    net, params, known = trainer.net, trainer.net.params.copy(), list(trainer.online.columns)
    with pytest.raises(ValueError, match=f"{name} must be finite as float32|X has an infinity"):
        trainer.learn_one(x, 1.0)
    assert trainer.net is net
    assert list(trainer.online.columns) == known
    np.testing.assert_array_equal(net.params, params)


@pytest.mark.parametrize("first", [True, False])
def test_a_sample_that_diverges_leaves_the_net_that_was(first: bool) -> None:
    """The sample brings features and a label for which the network has grown."""
    trainer = fb.Trainer(
        fb.Sequential(fb.Input(1), fb.Dense(2), dtype="float64", seed=0), "cross_entropy", fb.Adam(1e308)
    )
    if not first:
        trainer.optimizer.lr = 0.1
        trainer.learn_one({"a": 1.0}, "x")
        trainer.learn_one({"a": 2.0}, "y")
        trainer.optimizer.lr = 1e308
    net, params, steps, states = trainer.net, trainer.net.params.copy(), trainer.chain.t, trainer.chain.states.copy()
    with pytest.raises(fb.DivergenceError):
        trainer.learn_one({"a": 1e300, "b": 1e300, "c": -1e300}, "new")
    assert trainer.net is net
    assert trainer.chain.t == steps
    np.testing.assert_array_equal(trainer.chain.states, states)
    np.testing.assert_array_equal(net.params, params)
    known = {} if first else {"x": 0, "y": 1}
    assert trainer.online.labels == known
    assert list(trainer.online.columns) == ([] if first else ["a"])
    trainer.optimizer.lr = 0.1
    trainer.learn_one({"b": 1.0}, "z")
    assert list(trainer.online.columns) == (["b"] if first else ["a", "b"])
    assert trainer.net is not net or first
