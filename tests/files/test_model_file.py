"""Model files: what is saved comes back bit for bit, training goes on exactly, others can read it.

Damage to the container is tested in test_safetensors.py; here a well-formed file says something that is no
model.
"""

import json
import os
import stat

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import fastbp as fb
from fastbp.files.safetensors import read, write

OPTIMIZERS = {
    "sgd": lambda: fb.SGD(lr=0.02, weight_decay=0.01),
    "momentum": lambda: fb.SGD(lr=0.02, momentum=0.9, nesterov=True),
    "adam": lambda: fb.Adam(lr=0.01, betas=(0.8, 0.99), eps=1e-7),
    "adamw": lambda: fb.AdamW(lr=0.01),
}


def stack(dtype: str = "float32") -> fb.Sequential:
    return fb.Sequential(
        fb.Input(4, name="pixels"),
        fb.Dense(7, activation="leaky_relu", alpha=0.2, name="first"),
        fb.Dropout(0.3),
        fb.Activation("tanh"),
        fb.Dense(3, bias=False),
        dtype=dtype,
        seed=11,
    )


def graph(dtype: str = "float32") -> fb.Model:
    a, b = fb.Input(4), fb.Input(5)
    shared = fb.Dense(4, activation="tanh")
    h = shared(shared(a))
    return fb.Model([a, b], [fb.Dense(3)(h), h, fb.Dense(2, activation="softmax")(b)], dtype=dtype, seed=11)


def data(rows: int = 37) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.normal(size=(rows, 4)), rng.integers(3, size=rows)


@pytest.mark.parametrize("build", [stack, graph])
def test_a_model_comes_back_bit_for_bit(build, dtype: np.dtype, tmp_path, rng: np.random.Generator) -> None:
    net = build(dtype.name)
    net.params[...] = rng.normal(size=len(net.params))
    net.save(tmp_path / "net.safetensors")
    again = fb.load(tmp_path / "net.safetensors")
    assert type(again) is type(net)
    assert again.dtype == dtype
    assert again.seed == net.seed
    assert again.summary() == net.summary()
    np.testing.assert_array_equal(again.params, net.params)
    xs = tuple(rng.normal(size=(6, node.width)) for node in net.inputs)
    ys, wanted = (n.predict(xs if len(xs) > 1 else xs[0]) for n in (again, net))
    for got, truth in zip(*((y,) if isinstance(y, np.ndarray) else y for y in (ys, wanted)), strict=True):
        np.testing.assert_array_equal(got, truth)


def test_a_path_may_be_text(tmp_path) -> None:
    stack().save(str(tmp_path / "net.safetensors"))
    assert fb.load(str(tmp_path / "net.safetensors")).summary() == stack().summary()


def test_the_file_is_the_same_bytes_every_time(tmp_path) -> None:
    for name in ("one", "two"):
        stack().save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_safetensors_package_reads_it(dtype: np.dtype, tmp_path) -> None:
    net = stack(dtype.name)
    net.save(tmp_path / "net.safetensors", metadata={"note": "héllo"})
    arrays = safetensors.numpy.load_file(tmp_path / "net.safetensors")
    assert set(arrays) == {"first.W", "first.b", "dense_1.W"}
    assert arrays["first.W"].shape == (4, 7)
    np.testing.assert_array_equal(arrays["first.W"], net["first"].W)
    np.testing.assert_array_equal(arrays["dense_1.W"], net["dense_1"].W)
    with safetensors.safe_open(tmp_path / "net.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    assert metadata["format"] == "fastbp"
    assert metadata["fastbp.version"] == "1"
    assert metadata["note"] == "héllo"
    assert json.loads(metadata["fastbp.graph"]) == net.config()


def test_a_file_of_the_safetensors_package_is_read(tmp_path) -> None:
    net = stack()
    net.save(tmp_path / "net.safetensors")
    arrays, metadata = read(tmp_path / "net.safetensors")
    safetensors.numpy.save_file(arrays, tmp_path / "theirs.safetensors", metadata=metadata)
    np.testing.assert_array_equal(fb.load(tmp_path / "theirs.safetensors").params, net.params)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_exactly(optimizer: str, dtype: np.dtype, tmp_path) -> None:
    X, y = data()
    settings = {"loss": "cross_entropy", "metrics": ["accuracy"], "seed": 5}
    straight = fb.Trainer(stack(dtype.name), optimizer=OPTIMIZERS[optimizer](), **settings)
    straight.fit(X, y, epochs=2, batch_size=10)
    straight.save(tmp_path / "trainer.safetensors")
    wanted = straight.fit(X, y, epochs=3, batch_size=10)
    resumed = fb.Trainer.load(tmp_path / "trainer.safetensors")
    history = resumed.fit(X, y, epochs=3, batch_size=10)
    np.testing.assert_array_equal(resumed.net.params, straight.net.params)
    assert history.history == wanted.history
    assert resumed.step(X, y) == straight.step(X, y)
    assert repr(resumed.optimizer) == repr(straight.optimizer)


def test_training_goes_on_in_another_process(tmp_path, python) -> None:
    X, y = data()
    straight = fb.Trainer(stack(), loss="cross_entropy", optimizer="adam", seed=5)
    straight.fit(X, y, epochs=2, batch_size=10)
    straight.save(tmp_path / "trainer.safetensors")
    straight.fit(X, y, epochs=3, batch_size=10)
    np.savez(tmp_path / "data.npz", X=X, y=y)
    done = python(
        "-c",
        "import sys, numpy as np, fastbp as fb, pathlib\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "trainer = fb.Trainer.load(folder / 'trainer.safetensors')\n"
        "data = np.load(folder / 'data.npz')\n"
        "trainer.fit(data['X'], data['y'], epochs=3, batch_size=10)\n"
        "np.save(folder / 'params.npy', trainer.net.params)\n",
        str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "params.npy"), straight.net.params)


def test_a_trainer_of_several_outputs_goes_on(tmp_path, rng: np.random.Generator) -> None:
    def build() -> fb.Model:
        x = fb.Input(4)
        h = fb.Dense(5, activation="tanh")(x)
        return fb.Model(x, [fb.Dense(3)(h), fb.Dense(2)(h)], seed=1)

    X, labels, values = rng.normal(size=(20, 4)), rng.integers(3, size=20), rng.normal(size=(20, 2))
    straight = fb.Trainer(build(), loss=("cross_entropy", "mse"), optimizer="adam")
    straight.step(X, (labels, values))
    straight.save(tmp_path / "t")
    resumed = fb.Trainer.load(tmp_path / "t")
    assert resumed.step(X, (labels, values)) == straight.step(X, (labels, values))
    np.testing.assert_array_equal(resumed.net.params, straight.net.params)


def test_a_trainers_file_is_a_model_too(tmp_path) -> None:
    X, y = data()
    trainer = fb.Trainer(stack(), loss="cross_entropy")
    trainer.fit(X, y)
    trainer.save(tmp_path / "trainer.safetensors")
    np.testing.assert_array_equal(fb.load(tmp_path / "trainer.safetensors").params, trainer.net.params)


def test_a_model_alone_is_no_trainer(tmp_path) -> None:
    stack().save(tmp_path / "net.safetensors")
    with pytest.raises(fb.ModelFormatError, match=r"net\.safetensors.*trainer"):
        fb.Trainer.load(tmp_path / "net.safetensors")


def test_python_functions_are_not_saved(tmp_path) -> None:
    trainer = fb.Trainer(stack(), loss=lambda Y, t: (0.0, Y))
    with pytest.raises(TypeError, match="loss"):
        trainer.save(tmp_path / "trainer.safetensors")
    assert os.listdir(tmp_path) == []


def test_saving_over_a_file_replaces_it_whole(tmp_path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"x" * 100_000)
    stack().save(path)
    fb.load(path)
    assert os.listdir(tmp_path) == ["net.safetensors"]


def test_a_failed_save_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / "net.safetensors"
    stack().save(path)
    before = path.read_bytes()
    with pytest.raises((TypeError, ValueError)):
        stack().save(path, metadata={"note": 3})
    with pytest.raises(ValueError, match="format"):
        stack().save(path, metadata={"format": "other"})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["net.safetensors"]


def test_a_folder_that_is_not_there(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        stack().save(tmp_path / "nowhere" / "net.safetensors")
    with pytest.raises(FileNotFoundError):
        fb.load(tmp_path / "nowhere.safetensors")


def test_a_saved_file_may_be_read_by_the_umask_of_the_user(tmp_path) -> None:
    old = os.umask(0o022)
    try:
        stack().save(tmp_path / "net.safetensors")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "net.safetensors").stat().st_mode) == 0o644


# A well-formed file that is no model


def parts(tmp_path) -> tuple[dict, dict, dict]:
    trainer = fb.Trainer(stack(), loss="cross_entropy", optimizer="adam")
    trainer.fit(*data(), epochs=1)
    trainer.save(tmp_path / "good")
    arrays, metadata = read(tmp_path / "good")
    return dict(arrays), dict(metadata), json.loads(metadata["fastbp.graph"])


def drop(key: str):
    return lambda graph: graph.pop(key)


def put(value, *path):
    def change(graph) -> None:
        for step in path[:-1]:
            graph = graph[step]
        graph[path[-1]] = value

    return change


HOSTILE_GRAPHS = {
    **{f"no {key}": drop(key) for key in ("class", "dtype", "seed", "layers", "nodes", "inputs", "outputs")},
    "unknown model": put("os.system", "class"),
    "a class that is no model": put("Network.__init__", "class"),
    "unknown layer": put("Exec", "layers", 0, "class"),
    "unknown activation": put("eval", "layers", 0, "activation"),
    "unknown setting": put(1, "layers", 0, "surprise"),
    "unknown dtype": put("float16", "dtype"),
    "object dtype": put("O", "dtype"),
    "negative units": put(-3, "layers", 0, "units"),
    "no units": put(0, "layers", 0, "units"),
    "fractional units": put(2.5, "layers", 0, "units"),
    "units of another size": put(8, "layers", 0, "units"),
    "gigantic units": put(10**15, "layers", 0, "units"),
    "units beyond any integer": put(10**30, "layers", 0, "units"),
    "gigantic input": put(10**15, "nodes", 0, "width"),
    "input of another size": put(5, "nodes", 0, "width"),
    "text for a number": put("seven", "layers", 0, "units"),
    "a list for a name": put([1], "layers", 0, "name"),
    "twice the same name": put("first", "layers", 3, "name"),
    "rate of one": put(1.0, "layers", 1, "rate"),
    "NaN rate": put(float("nan"), "layers", 1, "rate"),
    "parent to come": put([3], "nodes", 1, "parents"),
    "parent of its own": put([1], "nodes", 1, "parents"),
    "parent nowhere": put([99], "nodes", 1, "parents"),
    "two parents": put([0, 0], "nodes", 1, "parents"),
    "no parents": put([], "nodes", 1, "parents"),
    "unknown layer in a node": put("third", "nodes", 1, "layer"),
    "output nowhere": put([99], "outputs"),
    "no outputs": put([], "outputs"),
    "no inputs": put([], "inputs"),
    "input that is none": put([1], "inputs"),
    "nodes as a number": put(7, "nodes"),
    "layers as null": put(None, "layers"),
    "negative seed": put(-1, "seed"),
    "text as seed": put("abc", "seed"),
}


@pytest.mark.parametrize("fault", HOSTILE_GRAPHS)
def test_a_graph_that_is_none(fault: str, tmp_path) -> None:
    arrays, metadata, graph_ = parts(tmp_path)
    HOSTILE_GRAPHS[fault](graph_)
    path = tmp_path / "bad.safetensors"
    write(path, arrays, {**metadata, "fastbp.graph": json.dumps(graph_)})
    for reader in (fb.load, fb.Trainer.load):
        with pytest.raises(fb.ModelFormatError, match=r"bad\.safetensors"):
            reader(path)


HOSTILE_NODES = {
    **{fault: change for fault, change in HOSTILE_GRAPHS.items() if "class" not in fault and fault != "unknown model"},
    "a node as a number": put(7, "nodes", 1),
    "a layer as text": put("first", "layers", 0),
}


@pytest.mark.parametrize("fault", HOSTILE_NODES)
def test_a_graph_that_is_none_is_not_restored(fault: str, tmp_path) -> None:
    arrays, metadata, graph_ = parts(tmp_path)
    HOSTILE_NODES[fault](graph_)
    path = tmp_path / "bad.safetensors"
    write(path, arrays, {**metadata, "fastbp.graph": json.dumps(graph_)})
    trainer = fb.Trainer(stack(), loss="cross_entropy", optimizer="adam")
    before = trainer.net.params.copy()
    with pytest.raises(ValueError, match=r"bad\.safetensors"):
        trainer.restore(path)
    np.testing.assert_array_equal(trainer.net.params, before)


WIDE = """
import json, sys
import numpy as np
import fastbp as fb
from fastbp.files.safetensors import read, write

for middle in (fb.Broadcast(8), lambda x: fb.Concatenate()(x, fb.Constant(1.0, 8)())):
    x = fb.Input(1)
    fb.Model(x, fb.Dense(2)(middle(x)[:, :1]), name="it").save(sys.argv[1])
    arrays, metadata = read(sys.argv[1])
    for width in (2**40, 2**61, 2**62, 2**63 - 1, 2**64):
        graph = metadata["fastbp.graph"].replace('"width": 8', f'"width": {width}')
        write(sys.argv[1], arrays, {**metadata, "fastbp.graph": graph})
        try:
            net = fb.load(sys.argv[1])
        except fb.ModelFormatError:
            continue
        for work in (net.predict, net.forward, lambda X: fb.jacobian(net, X), lambda X: fb.Trainer(net).step(X, X)):
            try:
                work(np.ones((1, 1), net.dtype))
            except (MemoryError, ValueError):
                continue
            sys.exit(f"{width} columns were computed")
x = fb.Input(3)
fb.Model(x, fb.Dense(1)(fb.Embedding(5, 2)(x[:, :1])), name="it").save(sys.argv[1])
arrays, metadata = read(sys.argv[1])
graph = metadata["fastbp.graph"].replace('"width": 3', f'"width": {10**13}')
write(sys.argv[1], arrays, {**metadata, "fastbp.graph": graph})
try:
    fb.load(sys.argv[1]).predict(np.ones((1, 3)))
except ValueError as error:
    assert "(rows, 10000000000000)" in str(error)
print("survived")
"""


def test_widths_that_no_memory_has_are_refused_before_anything_is_written(python, tmp_path) -> None:
    done = python("-c", WIDE, str(tmp_path / "wide.safetensors"))
    assert done.stdout == "survived\n", (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", "3", '"x"', "[" * 100_000, "{}", '{"class": "Sequential"}', "NaN"]
)
def test_a_graph_that_is_no_json_object(text: str, tmp_path) -> None:
    arrays, metadata, _ = parts(tmp_path)
    path = tmp_path / "bad.safetensors"
    write(path, arrays, {**metadata, "fastbp.graph": text})
    with pytest.raises(fb.ModelFormatError, match=r"bad\.safetensors"):
        fb.load(path)


@pytest.mark.parametrize("key", ["format", "fastbp.version", "fastbp.graph"])
@pytest.mark.parametrize("value", [None, "", "other", "2"])
def test_metadata_that_is_not_ours(key: str, value: str | None, tmp_path) -> None:
    arrays, metadata, _ = parts(tmp_path)
    metadata.pop(key)
    path = tmp_path / "bad.safetensors"
    write(path, arrays, metadata if value is None else {**metadata, key: value})
    with pytest.raises(fb.ModelFormatError, match=r"bad\.safetensors"):
        fb.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda A: A.pop("first.W"),
        lambda A: A.update({"first.W": A["first.W"].T.copy()}),
        lambda A: A.update({"first.W": A["first.W"].astype(np.float64)}),
        lambda A: A.update({"first.W": A["first.W"].astype(np.int32)}),
        lambda A: A.update({"first.b": A["first.b"][:-1].copy()}),
        lambda A: A.update({"first.b": A["first.b"].reshape(1, -1)}),
        lambda A: A.update({"first.W": np.zeros((0, 7), dtype=np.float32)}),
    ],
)
def test_arrays_that_do_not_fit(change, tmp_path) -> None:
    arrays, metadata, _ = parts(tmp_path)
    change(arrays)
    path = tmp_path / "bad.safetensors"
    write(path, arrays, metadata)
    with pytest.raises(fb.ModelFormatError, match=r"bad\.safetensors.*first\."):
        fb.load(path)


HOSTILE_STATES = {
    "unknown optimizer": put("os.system", "optimizer", "name"),
    "unknown setting": put(1, "optimizer", "surprise"),
    "negative lr": put(-1.0, "optimizer", "lr"),
    "unknown loss": put("eval", "loss"),
    "unknown metric": put(["eval"], "metrics"),
    "negative steps": put(-1, "steps"),
    "text as steps": put("x", "steps"),
    "gigantic steps": put(10**30, "steps"),
    "negative draws": put(-1, "draws"),
    "gigantic draws": put(10**30, "draws"),
    "no generator": drop("rng"),
    "another generator": put({"bit_generator": "os.system"}, "rng"),
    "a generator of text": put("x", "rng"),
    "a broken generator": put({"bit_generator": "PCG64", "state": {}}, "rng"),
    **{f"no {key}": drop(key) for key in ("optimizer", "loss", "metrics", "steps", "draws")},
}


@pytest.mark.parametrize("fault", HOSTILE_STATES)
def test_a_trainer_that_is_none(fault: str, tmp_path) -> None:
    arrays, metadata, _ = parts(tmp_path)
    state = json.loads(metadata["fastbp.trainer"])
    HOSTILE_STATES[fault](state)
    path = tmp_path / "bad.safetensors"
    write(path, arrays, {**metadata, "fastbp.trainer": json.dumps(state)})
    with pytest.raises(fb.ModelFormatError, match=r"bad\.safetensors"):
        fb.Trainer.load(path)
    fb.load(path)


@pytest.mark.parametrize(
    "states",
    [None, np.zeros((2, 3), np.float32), np.zeros((1, 56), np.float32), np.zeros((2, 56), np.float64)],
)
def test_optimizer_states_that_do_not_fit(states: np.ndarray | None, tmp_path) -> None:
    arrays, metadata, _ = parts(tmp_path)
    assert arrays["optimizer.states"].shape == (2, 56)
    arrays.pop("optimizer.states")
    path = tmp_path / "bad.safetensors"
    write(path, arrays if states is None else {**arrays, "optimizer.states": states}, metadata)
    with pytest.raises(fb.ModelFormatError, match=r"bad\.safetensors"):
        fb.Trainer.load(path)


def test_parameters_that_are_not_finite_are_loaded_as_they_are(tmp_path) -> None:
    """A file may hold a net that went wrong; it is read, and says so when used."""
    net = stack()
    net.params[0] = np.nan
    net.save(tmp_path / "net.safetensors")
    assert np.isnan(fb.load(tmp_path / "net.safetensors").params[0])
