"""Files that somebody made to do harm: one error, in time and memory that go with the size of the file."""

import io
import json
import resource
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.files import safetensors

# Keras's own, of its weights in NumPy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def quickly(read: Callable, path: Path, error: type[Exception] | None, seconds: float = 2.0, most: int = 120) -> str:
    """Read a file within CPU seconds and MB; the words of its error."""
    tracemalloc.start()
    begin, words = time.process_time(), ""
    try:
        if error is None:
            read(path)
        else:
            with pytest.raises(error) as caught:
                read(path)
            words = str(caught.value)
        assert tracemalloc.get_traced_memory()[1] < most * 2**20
    finally:
        tracemalloc.stop()
    assert time.process_time() - begin < 4 * seconds  # tracing takes most of it
    return words


def _onnx(nodes, width: int, arrays: dict) -> bytes:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    x, y = (helper.make_tensor_value_info(name, 1, ["N", size]) for name, size in (("x", width), ("y", None)))
    made = [helper.make_node(kind, inputs.split(), outputs.split(), **more) for kind, inputs, outputs, more in nodes]
    graph = helper.make_graph(made, "g", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString()


ONES = np.ones((1, 64), np.float32)
DOUBLED = [("Concat", f"c{k} c{k}", f"c{k + 1}", {"axis": 1}) for k in range(26)]
WIDER = [("Concat", f"a{k} a{k}" if k else "x x", f"a{k + 1}", {"axis": 1}) for k in range(40)]
SLOPES = [("Gemm", "x w", f"g{k}", {"alpha": 1 + k / 7}) for k in range(2000)]
BOMBS = {
    "split": ([("Split", "x", "y z", {"axis": 1})], 10**9, {}),
    "neg": ([("Neg", "x", "y", {})], 10**9, {}),
    "huge": ([("Neg", "x", "y", {})], 2**62, {}),
    "split of nothing": ([("Split", "x", "y z", {"axis": 1, "num_outputs": 0})], 4, {}),
    "doubled constants": ([*DOUBLED, ("Relu", "x", "y", {})], 3, {"c0": ONES}),
    "doubled columns": ([*WIDER, ("Relu", "a40", "y", {})], 3, {}),
    "broadcast": ([("Add", "a b", "c", {}), ("Relu", "x", "y", {})], 3,
                  {"a": np.ones((30000, 1), np.float32), "b": np.ones((1, 30000), np.float32)}),
    "gathered": ([("Gather", "a i", "c", {}), ("Relu", "x", "y", {})], 3,
                 {"a": np.ones((1, 30000), np.float32), "i": np.zeros(30000, np.int64)}),
    "where": ([("Where", "t a b", "c", {}), ("Relu", "x", "y", {})], 3,
              {"t": np.array(True), "a": np.ones((30000, 1), np.float32), "b": np.ones((1, 30000), np.float32)}),
    "weights again and again": ([*SLOPES, ("Sum", " ".join(f"g{k}" for k in range(2000)), "y", {})], 100,
                                {"w": np.ones((100, 100), np.float32)}),
    "constant of shape": ([("ConstantOfShape", "s", "c", {}), ("Add", "x c", "y", {})], 3,
                          {"s": np.array([-1, 10**9])}),
    "expanded": ([("Expand", "x s", "y", {})], 1, {"s": np.array([1, 10**9])}),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_onnx_files(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "bomb.onnx"
    path.write_bytes(_onnx(*BOMBS[name]))
    words = quickly(fb.from_onnx, path, fb.ModelFormatError)
    assert "bomb.onnx is no sound ONNX model" in words


def _fann(sizes: list[int], neurons: list[str], connections: str, more: str = "") -> str:
    head = f"FANN_FLO_2.1\nnetwork_type=0\n{more}layer_sizes={' '.join(map(str, sizes))}\n"
    return f"{head}neurons={' '.join(neurons)}\nconnections={connections}\n"


def test_fann_files(tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    wide = ["(0, 3, 1)"] * 22002
    wide[11001] = "(1, 3, 1)"
    path.write_text(_fann([11001, 11001], wide, "(0, 1)"))
    assert "out of proportion" in quickly(fb.from_fann, path, fb.ModelFormatError)
    deep = ["(0, 0, 0)"] * 2 + ["(2, 3, 1)", "(0, 0, 0)"] * 2999
    path.write_text(_fann([2] * 3000, deep, " ".join(f"({2 * k}, 0.1) ({2 * k + 1}, 0.1)" for k in range(2999))))
    quickly(fb.from_fann, path, None, seconds=3.0)
    path.write_text(_fann([2, 2], ["(0, 0, 0)"] * 2 + ["(2, 3, 1)", "(0, 0, 0)"], "(0, 1) (1, 1)", "surprise=3\n"))
    with pytest.raises(ValueError, match="field 'surprise' cannot be read from FANN"):
        fb.from_fann(path)


def _config(layers: list, nodes: list, outputs: list, **more) -> dict:
    config = {"class": "Model", "name": "m", "dtype": "float32", "seed": 0, "layers": layers, "nodes": nodes}
    return {**config, "inputs": [0], "outputs": outputs, **more}


def _save(path: Path, config: dict, arrays: dict | None = None) -> None:
    metadata = {"format": "fastbp", "fastbp.version": "1", "fastbp.graph": json.dumps(config)}
    safetensors.write(path, arrays or {}, metadata)


def test_model_files_take_time_that_goes_with_their_size(tmp_path: Path) -> None:
    path, count = tmp_path / "m.safetensors", 8000
    tanh = [{"class": "Activation", "name": f"a{k}", "activation": "tanh", "alpha": None} for k in range(count)]
    chain = [{"input": "i", "width": 1}, *({"layer": f"a{k}", "parents": [k]} for k in range(count))]
    _save(path, _config(tanh, chain, [count]))
    quickly(fb.load, path, None)
    inputs = [{"input": f"i{k}", "width": 1} for k in range(count)]
    joined = [*inputs, {"layer": "c", "parents": list(range(count))}]
    _save(path, _config([{"class": "Concatenate", "name": "c"}], joined, [count], inputs=list(range(count))))
    quickly(fb.load, path, None)


def test_model_files_claim_nothing_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    nodes = [{"input": "i", "width": 2**31}, {"layer": "d", "parents": [0]}]
    _save(path, _config([{"class": "Dense", "name": "d", "units": 5}], nodes, [1]))
    assert "there is no array 'd.W'" in quickly(fb.load, path, fb.ModelFormatError)
    deep: list = []
    for _ in range(400):
        deep = [deep]
    _save(path, _config([{"class": "Dense", "name": "d", "units": 5, "weights": deep}], nodes, [1]))
    assert "nested deeper than 50" in quickly(fb.load, path, fb.ModelFormatError)


def test_settings_of_a_trainer_file_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    fb.Trainer(fb.Sequential(fb.Input(2), fb.Dense(2), seed=0), optimizer=fb.Muon()).save(path)
    arrays, metadata = safetensors.read(path)
    state = json.loads(metadata["fastbp.trainer"])
    for value in (10**9, 2**70, -1, "5", 1e300, None):
        state["optimizer"]["ns_steps"] = value
        safetensors.write(path, arrays, {**metadata, "fastbp.trainer": json.dumps(state)})
        quickly(fb.Trainer.load, path, fb.ModelFormatError)
    with pytest.raises(ValueError, match="ns_steps must be at most 100, got 101"):
        fb.Muon(ns_steps=101)


@pytest.mark.parametrize(
    "name", ["victim.txt", "../victim.txt", "other/mine-1.safetensors", "..", "mine-x/../victim.txt"]
)
def test_a_checkpoint_deletes_no_file_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    home = tmp_path / "home"
    (home / "other").mkdir(parents=True)
    monkeypatch.chdir(home)
    victims = [tmp_path / "victim.txt", home / "victim.txt", home / "other" / "mine-1.safetensors"]
    for victim in victims:
        victim.write_text("precious")

    def fit(epochs: int, **more) -> None:
        net = fb.Sequential(fb.Input(4), fb.Dense(1), seed=0)
        net.fit(
            np.eye(4),
            np.zeros(4),
            epochs=epochs,
            callbacks=[fb.ModelCheckpoint("mine-{epoch}.safetensors", keep=2)],
            **more,
        )

    fit(2)
    arrays, metadata = safetensors.read("mine-2.safetensors")
    state = json.loads(metadata["fastbp.fit"])
    assert state["callbacks"][0][1]["written"] == ["mine-1.safetensors", "mine-2.safetensors"]
    state["callbacks"][0][1]["written"][:0] = [name, str((tmp_path / name).resolve())]
    safetensors.write("hostile.safetensors", arrays, {**metadata, "fastbp.fit": json.dumps(state)})
    fit(5, resume="hostile.safetensors")
    assert all(victim.read_text() == "precious" for victim in victims)
    assert sorted(path.name for path in home.glob("mine-*")) == ["mine-4.safetensors", "mine-5.safetensors"]


STATES = {
    "no dimensions": {"0.weight": np.zeros(())},
    "a bias without dimensions": {"0.weight": np.zeros((3, 2)), "0.bias": np.zeros(())},
    "another bias": {"0.weight": np.zeros((3, 2)), "0.bias": np.zeros(2)},
    "complex": {"0.weight": np.zeros((3, 2), np.complex64)},
    "truth values": {"0.weight": np.zeros((3, 2), bool)},
    "empty": {"0.weight": np.zeros((0, 2))},
    "three dimensions": {"0.weight": np.zeros((2, 2, 2))},
    "no layer": {"": np.zeros((3, 2))},
    "statistics": {"0.weight": np.zeros((3, 2)), "1.running_mean": np.zeros(3), "1.running_var": np.zeros(2)},
    "more": {
        "0.weight": np.zeros((3, 2)),
        "1.running_mean": np.zeros(3),
        "1.running_var": np.ones(3),
        "1.a": np.zeros(3),
    },
    "gamma": {"0.weight": np.zeros((3, 2)), "1.weight": np.zeros(3), "1.bias": np.zeros(2)},
    "NaN": {"0.weight": np.full((3, 2), np.nan)},
    "nothing": {},
    "a bias alone": {"0.bias": np.zeros(3)},
}


@pytest.mark.parametrize("name", STATES)
def test_state_dicts(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        fb.from_torch(STATES[name], "relu")
    safetensors.write(tmp_path / "s.safetensors", STATES[name], {})
    with pytest.raises(ValueError, match=r"\w"):
        fb.from_torch(tmp_path / "s.safetensors", "relu")


@pytest.fixture
def keras():
    module = pytest.importorskip("keras")
    yield module
    module.backend.clear_session()


def _packed(path: Path, members: dict[str, bytes], **options) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _members(keras, path: Path) -> dict[str, bytes]:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.BatchNormalization()])
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _changed(members: dict[str, bytes], change: Callable) -> dict[str, bytes]:
    config = json.loads(members["config.json"])
    change(config, config["config"]["layers"])
    return {**members, "config.json": json.dumps(config).encode()}


def _set(**more) -> Callable:
    return lambda config, layers: layers[1].update(more)


def _set_config(**more) -> Callable:
    return lambda config, layers: layers[1]["config"].update(more)


LAMBDA = {"class_name": "__lambda__", "config": {"value": "", "defaults": None, "closure": None}}
CONFIGS = {
    "a function of a module": _set(module="os", class_name="system", config={"command": "true"}),
    "a module of Keras's": _set(module="keras.src.utils.file_utils", class_name="get_file"),
    "a layer that calls": _set(class_name="Lambda", config={"function": LAMBDA}),
    "another's class": _set(registered_name="mine>Dense"),
    "a class without a module": lambda config, layers: layers[1].pop("module"),
    "an activation": _set_config(activation={"module": "builtins", "class_name": "function", "config": "exec"}),
    "a lambda": _set_config(activation=LAMBDA),
    "a list of words": _set(class_name="StringLookup", config={"vocabulary": "/etc/passwd"}),
    "a model of tensorflow's": _set(class_name="TFSMLayer", config={"filepath": "/tmp/x"}),
    "many units": _set_config(units=10**9),
    "many inputs": _set(build_config={"input_shape": [None, 10**9]}),
    "no shape": lambda config, layers: layers[1].pop("build_config"),
    "a wide input": lambda config, layers: layers[0]["config"].update(batch_shape=[None, 10**9]),
    "no integer": _set_config(units="3"),
    "no config": _set(config=3),
    "an initializer of another module": _set_config(
        kernel_initializer={"module": "os", "class_name": "Zeros", "config": {}}
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_keras_files_that_name_what_is_not_read(name: str, keras, tmp_path: Path, monkeypatch) -> None:
    members = _changed(_members(keras, tmp_path / "a.keras"), CONFIGS[name])
    monkeypatch.setattr(keras.saving, "load_model", lambda *a, **k: pytest.fail("Keras saw it"))
    path = _packed(tmp_path / "b.keras", members)
    assert str(path) in quickly(fb.from_keras, path, fb.ModelFormatError)


def _epsilon(config: dict) -> None:
    config["config"]["layers"][2]["config"]["epsilon"] = {}


def _list_of_tensors(config: dict) -> None:
    node = config["config"]["layers"][1]["inbound_nodes"][0]
    node["args"] = [node["args"]]


@pytest.mark.parametrize("change", [_epsilon, _list_of_tensors])
def test_keras_files_of_models_that_keras_loads_and_nobody_would_make(change: Callable, keras, tmp_path: Path) -> None:
    x = keras.Input((4,))
    keras.Model(x, keras.layers.LayerNormalization()(keras.layers.Dense(3)(x))).save(tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    path = _packed(tmp_path / "b.keras", {**members, "config.json": json.dumps(config).encode()})
    with pytest.raises(fb.ModelFormatError, match=r"b\.keras"):
        fb.from_keras(path)


def test_keras_archives(keras, tmp_path: Path, monkeypatch) -> None:
    h5py = pytest.importorskip("h5py")
    members = _members(keras, tmp_path / "a.keras")
    assert fb.from_keras(_packed(tmp_path / "same.keras", members)).outputs[0].width == 3
    monkeypatch.setattr(keras.saving, "load_model", lambda *a, **k: pytest.fail("Keras saw it"))

    def weights(change: Callable) -> dict[str, bytes]:
        data = io.BytesIO(members["model.weights.h5"])
        with h5py.File(data, "r+") as file:
            change(file, file["layers/dense/vars"])
        return {**members, "model.weights.h5": data.getvalue()}

    def external(file, group):
        del group["0"]
        group.create_dataset("0", (4, 3), "f4", external=[("/etc/passwd", 0, 48)])

    def linked(file, group):
        del group["0"]
        group["0"] = h5py.ExternalLink("/etc/passwd", "/x")

    def soft(file, group):
        group["2"] = h5py.SoftLink("/layers")

    def around(file, group):
        group["2"] = file["layers"]

    def packed(file, group):
        group.create_dataset("2", (10**6,), "f4", compression="gzip", fillvalue=1.0)

    hostile = [
        {**members, "../evil.txt": b"x"},
        {**members, "assets/words.txt": b"x"},
        {"config.json": members["config.json"]},
        {**members, "config.json": b"[" * 10**5},
        {**members, "config.json": b'{"a":' * 500 + b"1" + b"}" * 500},
        {**members, "config.json": b" " * (2**24 + 1)},
        {**members, "model.weights.h5": b"no weights"},
        *map(weights, (external, linked, soft, around, packed)),
    ]
    for entries in hostile:
        path = _packed(tmp_path / "b.keras", entries, compression=zipfile.ZIP_DEFLATED)
        quickly(fb.from_keras, path, fb.ModelFormatError)
    bomb = _packed(
        tmp_path / "b.keras", {**members, "model.weights.h5": bytes(2**27)}, compression=zipfile.ZIP_DEFLATED
    )
    assert "unpacks to" in quickly(fb.from_keras, bomb, fb.ModelFormatError)


def test_a_sound_file_of_a_graph_is_read(keras, tmp_path: Path) -> None:
    x = keras.Input((4,))
    h = keras.layers.Dense(3, "gelu", kernel_constraint="non_neg", kernel_regularizer="l2")(x)
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3), keras.layers.PReLU()])
    y = keras.ops.concatenate([h * keras.ops.sigmoid(h) + 1.0, inner(h), keras.ops.leaky_relu(x[:, 1:3], 0.3)], axis=1)
    model = keras.Model(x, [keras.layers.Normalization(mean=0.0, variance=2.0)(y), keras.ops.clip(y, 0, 6)])
    model.compile("adam", "mse")
    model.save(tmp_path / "a.keras")
    assert [node.width for node in fb.from_keras(tmp_path / "a.keras").outputs] == [8, 8]


@pytest.mark.parametrize("version", ["3.0.5", "3.8.0", "3.11.3", "2.15.0"])
def test_older_versions_of_keras_see_no_file(version: str, keras, tmp_path: Path, monkeypatch) -> None:
    _members(keras, tmp_path / "a.keras")
    monkeypatch.setattr(keras, "__version__", version)
    monkeypatch.setattr(keras.saving, "load_model", lambda *a, **k: pytest.fail("Keras saw it"))
    with pytest.raises(ImportError, match=rf"Keras 3.12 or later, got {version}, which can be led to run code"):
        fb.from_keras(tmp_path / "a.keras")


def test_the_memory_is_measured() -> None:
    """The limit of this file's tests is of what Python and NumPy ask for."""
    with pytest.raises(AssertionError):
        quickly(lambda path: np.zeros(2**25), Path(), None, most=100)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
