"""ONNX in and out: what onnxruntime computes from our files, and what comes back from them and from skl2onnx's."""

import contextlib
import io
import itertools
import time
import warnings

import numpy as np
import pytest

import converted
import fastbp as fb
import gated
import nets
from fastbp.activations import ActivationFunction
from fastbp.readers import formulas
from fastbp.writers import onnx as onnx_writer

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
OPSETS = (13, 17, 22)


def run(proto, *arrays: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {entry.name: array for entry, array in zip(session.get_inputs(), arrays, strict=True)})


def tolerance_of(net: fb.Model) -> float:
    """For float64 that of float32 where onnxruntime computes erf or Shrink in it."""
    low = any(getattr(layer, "activation", "").endswith(("gelu", "_shrink")) for layer in net.layers)
    return max(TOLERANCE[net.dtype.name], 1e-6 * low)


def assert_there_and_back(net: fb.Model, opset: int) -> fb.Model:
    proto = onnx_writer.model(net, opset, None, False)
    tolerance = tolerance_of(net)
    converted.assert_same(net, lambda *xs: run(proto, *xs), tolerance)
    back = fb.from_onnx(proto)
    converted.assert_same(net, converted.predict(back), tolerance)
    return back


@pytest.mark.parametrize("build", converted.READ, ids=lambda build: build.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("opset", OPSETS)
def test_there_and_back(build, dtype: str, opset: int) -> None:
    net = converted.unsettle(build(dtype))
    back = assert_there_and_back(net, opset)
    assert back.dtype == net.dtype or not net.params.size
    assert [node.name for node in back.inputs] == [node.name for node in net.inputs]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("opset", OPSETS)
def test_arithmetic_of_nodes(dtype: str, opset: int) -> None:
    net = converted.unsettle(gated.arithmetic(dtype))
    proto = onnx_writer.model(net, opset, None, False)
    converted.assert_same(net, lambda *xs: run(proto, *xs), tolerance_of(net))


@pytest.mark.parametrize("build", [nets.chain, nets.fan_out, nets.two_inputs, nets.shared], ids=lambda b: b.__name__)
def test_the_structure_comes_back(build) -> None:
    net = build("float32")
    back = fb.from_onnx(onnx_writer.model(net, 17, None, False))
    assert type(back) is type(net)
    assert converted.structure(back) == converted.structure(net)
    np.testing.assert_array_equal(back.params, net.params)


@pytest.mark.parametrize("build", converted.READ, ids=lambda build: build.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_layers_come_back(build, dtype: str) -> None:
    """But those that a file does not tell apart: they change nothing in use, or are sums and products."""
    same = {"Dropout": None, "Average": "Add", "Rescaling": None, "Multiply": None}
    net = converted.unsettle(build(dtype))
    back = fb.from_onnx(onnx_writer.model(net, 17, None, False))
    kinds = [{same.get(type(layer).__name__, type(layer).__name__) for layer in each.layers} for each in (net, back)]
    assert kinds[0] - {None} <= kinds[1]


@pytest.mark.parametrize("opset", range(13, onnx.defs.onnx_opset_version() + 1))
def test_each_opset(opset: int) -> None:
    """Those that onnxruntime does not know yet too: what we write of them is read again."""
    for net in (gated.every_gate("float32"), gated.normalized("float64"), gated.learned_slopes("float32")):
        back = fb.from_onnx(onnx_writer.model(converted.unsettle(net), opset, None, False))
        converted.assert_same(net, converted.predict(back), tolerance_of(net))


@pytest.mark.parametrize("name", converted.ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("opset", OPSETS)
def test_each_activation(name: str, dtype: str, opset: int) -> None:
    """There and back as itself; of slopes that are drawn in training their mean is written."""
    net = converted.activation_net(name, dtype)
    wanted = converted.activations(net)
    if name == "rrelu":
        wanted = [("leaky_relu", (low + high) / 2) for _, low, high in wanted]
    if name == "celu" and dtype == "float64":  # with alpha 1 the two are one, and so are their formulas
        wanted[0] = ("elu", *wanted[0][1:])
    back = assert_there_and_back(net, opset)
    converted.assert_same_activations(converted.activations(back), wanted)
    assert len(back.layers) == len(net.layers) - 1  # which is part of the Dense before it


def test_a_file_and_its_shapes(tmp_path) -> None:
    net = nets.two_inputs("float32")
    net.to_onnx(tmp_path / "net.onnx")
    proto = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 17)]
    for entries, nodes in ((proto.graph.input, net.inputs), (proto.graph.output, net.outputs)):
        assert [entry.name for entry in entries] == [node.name for node in nodes]
        dims = [entry.type.tensor_type.shape.dim for entry in entries]
        assert [(rows.dim_param, width.dim_value) for rows, width in dims] == [("rows", node.width) for node in nodes]
    back = fb.from_onnx(str(tmp_path / "net.onnx"))
    np.testing.assert_array_equal(back.params, net.params)
    net.to_onnx(tmp_path / "net.onnx", opset=20)
    assert onnx.load(tmp_path / "net.onnx").opset_import[0].version == 20


# Classifiers


def fitted(y: np.ndarray):
    from sklearn.neural_network import MLPClassifier

    X = np.random.default_rng(0).normal(size=(len(y), 4)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MLPClassifier((5,), max_iter=40, random_state=0).fit(X, y), X


LABELS = {"ints": [0, 1, 2], "others": [7, -3, 40], "texts": ["no", "yes", "maybe"], "two": [5, 9]}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("zipmap", [False, True])
@pytest.mark.parametrize("logits", [False, True])
def test_classifiers_as_skl2onnx_makes_them(labels: str, zipmap: bool, logits: bool) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    known = np.array(LABELS[labels])
    est, X = fitted(known[np.random.default_rng(1).integers(len(known), size=60)])
    net = fb.from_sklearn(est, logits=logits)
    ours = onnx_writer.model(net, 17, est.classes_, zipmap)
    theirs = skl2onnx.to_onnx(est, X[:1], options={"zipmap": zipmap})
    assert [entry.name for entry in ours.graph.output] == [entry.name for entry in theirs.graph.output]
    assert [str(entry.type)[:30] for entry in ours.graph.output] == [str(e.type)[:30] for e in theirs.graph.output]
    (label, P), (wanted_label, wanted_P) = run(ours, X), run(theirs, X)
    np.testing.assert_array_equal(label, wanted_label)
    assert label.dtype == wanted_label.dtype
    if zipmap:
        assert [list(row) for row in P] == [list(row) for row in wanted_P]
        P, wanted_P = ([list(row.values()) for row in rows] for rows in (P, wanted_P))
    np.testing.assert_allclose(P, wanted_P, atol=1e-5)


def test_files_of_skl2onnx_are_read() -> None:
    """MatMul and Add become layers, labels are left out."""
    skl2onnx = pytest.importorskip("skl2onnx")
    for y in (np.arange(60) % 3, np.arange(60) % 2):
        est, X = fitted(y)
        for zipmap in (True, False):
            net = fb.from_onnx(skl2onnx.to_onnx(est, X[:1], options={"zipmap": zipmap}))
            np.testing.assert_allclose(net.predict(X), est.predict_proba(X), atol=1e-6)
            assert [type(layer).__name__ for layer in net.layers][:2] == ["Dense", "Dense"]


@pytest.mark.parametrize("opset", [13, 21])
def test_pipelines_and_linear_models_of_skl2onnx(opset: int) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn import linear_model, neural_network, pipeline, preprocessing

    X = np.random.default_rng(3).normal(2.0, 3.0, size=(60, 4)).astype(np.float32)
    y = X[:, 0] - np.abs(X[:, 1:3]).T
    mlp = neural_network.MLPRegressor(hidden_layer_sizes=(5,), solver="lbfgs", max_iter=9, tol=1e9)
    for scaler in (preprocessing.StandardScaler(), preprocessing.MinMaxScaler(), preprocessing.MaxAbsScaler()):
        est = pipeline.make_pipeline(scaler, mlp).fit(X, y[0])
        net = fb.from_onnx(skl2onnx.to_onnx(est, X[:1], target_opset=opset))
        np.testing.assert_allclose(net.predict(X)[:, 0], est.predict(X), atol=2e-5)
    for target in (y[0], y.T):
        est = linear_model.LinearRegression().fit(X, target)
        net = fb.from_onnx(skl2onnx.to_onnx(est, X[:1], target_opset=opset))
        np.testing.assert_allclose(net.predict(X).reshape(target.shape), est.predict(X), atol=2e-5)
        assert [type(layer).__name__ for layer in net.layers] == ["Dense"]


def exported(module, *arrays: np.ndarray, opset: int):
    """What PyTorch's exporter makes of a module."""
    torch = pytest.importorskip("torch")
    file, names = io.BytesIO(), [f"x{k}" for k in range(len(arrays))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is the older of the two, which needs no package beside
        torch.onnx.export(
            module, tuple(map(torch.from_numpy, arrays)), file, dynamo=False, opset_version=opset, input_names=names,
            output_names=["y"], dynamic_axes={name: {0: "rows"} for name in names},
        )  # fmt: skip
    return onnx.load_from_string(file.getvalue())


NO_EXPORT = {"threshold"}  # PyTorch writes it for a value of 0 alone


@pytest.mark.parametrize("name", [name for name in converted.ACTIVATIONS if name not in NO_EXPORT])
@pytest.mark.parametrize("opset", [14, 20])
def test_activations_as_pytorchs_older_exporter_writes_them(name: str, opset: int) -> None:
    net = converted.activation_net(name, "float32")
    back = fb.from_onnx(exported(net.to_torch(), *converted.rows(net), opset=opset))
    converted.assert_same(net, converted.predict(back), 1e-5)
    found = [name for name, *_ in converted.activations(back)]
    assert set(found) <= {name, "leaky_relu" if name == "rrelu" else name}
    assert len(back.layers) <= len(net.layers) + (name == "softplus")  # which has beta 1 without a number


@pytest.mark.parametrize(
    "build", [build for build in converted.READ if build is not gated.normalized], ids=lambda build: build.__name__
)
def test_graphs_as_pytorchs_older_exporter_writes_them(build) -> None:
    """But for RMSNorm, which it cannot write."""
    net = converted.unsettle(build("float32"))
    proto = exported(net.to_torch(), *converted.rows(net), opset=17)
    converted.assert_same(net, converted.predict(fb.from_onnx(proto)), 1e-5)


def test_what_pytorch_exports_today() -> None:
    """Its newer exporter, which needs onnxscript: activations that it spells otherwise in one net, normalizations."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    names = sorted({name for name, _ in formulas.SPELLINGS} | {"squareplus", "threshold"})
    stack = [fb.Dense(3, ActivationFunction(name, *nets.other_parameters(name))) for name in names]
    net = converted.unsettle(fb.Sequential(fb.Input(5), *stack, fb.Dense(3, "softplus"), dtype="float32", seed=1))
    for each in (net, converted.unsettle(gated.normalized("float32"))):
        (X,) = converted.rows(each)
        rows = {0: torch.export.Dim("rows")}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = torch.onnx.export(each.to_torch(), (torch.from_numpy(X),), dynamic_shapes=(rows,), verbose=False)
        back = fb.from_onnx(made.model_proto)
        converted.assert_same(each, converted.predict(back), 1e-5)
        converted.assert_same_activations(converted.activations(back), converted.activations(each))
        assert len(back.layers) == len(each.layers)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1], "labels must be 3 .*, got 2"),
        ([0, 1, 1], "different integers or texts"),
        ([0.5, 1, 2], "different integers or texts"),
    ],
)
def test_labels_that_are_wrong(tmp_path, labels: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        nets.small_net().to_onnx(tmp_path / "net.onnx", labels=labels)
    assert not list(tmp_path.iterdir())


# Graphs by other hands


def proto_of(nodes: list, arrays: dict, width: int = 4, outputs: tuple = ("y",), opset: int = 17):
    h = onnx.helper
    return h.make_model(
        h.make_graph(
            nodes,
            "g",
            [h.make_tensor_value_info("x", 1, ["n", width])],
            [h.make_tensor_value_info(name, 1, [None, None]) for name in outputs],
            [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
        ),
        opset_imports=[h.make_opsetid("", opset)],
        ir_version=8,
    )


def vector(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def matrix(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


def node(kind: str, inputs: str, outputs: str = "y", **attributes):
    return onnx.helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


GRAPHS = {
    "gemm": ([node("Gemm", "x W c", transB=1, alpha=0.5, beta=2.0)], {"W": matrix(3, 4), "c": matrix(1, 3)}),
    "matmul_add": ([node("MatMul", "x W", "z"), node("Add", "c z", "t"), node("Tanh", "t")],
                   {"W": matrix(4, 3), "c": matrix(3)}),
    "transposed": ([node("Transpose", "V", "W", perm=[1, 0]), node("MatMul", "x W")], {"V": matrix(3, 4)}),
    "standardised": ([node("Sub", "x m", "z"), node("Div", "z s")], {"m": matrix(4), "s": vector(1, 2, 3, 4)}),
    "arithmetic": ([node("Neg", "x", "a"), node("Sub", "one a", "b"), node("Mul", "b x", "c"), node("Add", "c a")],
                   {"one": np.float32(1.5)}),
    "extremes": ([node("Max", "x c", "a"), node("Min", "a d x")], {"c": np.float32(0.1), "d": vector(0.9)}),
    "clip": ([node("Clip", "x low high")], {"low": np.float32(-0.3), "high": np.float32(0.4)}),
    "split": ([node("Split", "x n", "a b", axis=1), node("Concat", "b a", axis=-1)], {"n": np.array([1, 3])}),
    "gather": ([node("Gather", "x k", axis=1)], {"k": np.array([3, 0, -3, 2])}),
    "reverse": ([node("Slice", "x from to axis step")],
                {"from": np.array([-1]), "to": np.array([-(2**31)]), "axis": np.array([1]), "step": np.array([-2])}),
    "reshape": ([node("Flatten", "x", "a"), node("Reshape", "a s")], {"s": np.array([-1, 4])}),
    "dropout": ([node("Dropout", "x r")], {"r": np.float32(0.4)}),
    "mean": ([node("Relu", "x", "a"), node("Sigmoid", "x", "b"), node("Mean", "a b x")], {}),
    "constant": ([onnx.helper.make_node("Constant", [], ["c"], value_float=2.5), node("Mul", "x c")], {}),
    "layer_norm": ([node("LayerNormalization", "x g", axis=1, epsilon=0.01)], {"g": matrix(4)}),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_of(name: str) -> None:
    proto = proto_of(*GRAPHS[name])
    net = fb.from_onnx(proto)
    assert net.dtype == "float32"
    converted.assert_same(net, lambda *xs: run(proto, *xs), 1e-6)
    if name in ("matmul_add", "standardised", "transposed", "gemm", "reverse", "dropout"):
        assert len(net.layers) == 1


@pytest.mark.parametrize(
    ("nodes", "arrays", "words"),
    [
        ([node("Conv", "x W", name="deep")], {"W": matrix(2, 4, 3)}, [r"node 'deep' (Conv)", "known: ", "Gemm"]),
        ([node("Einsum", "x x", equation="ij,ij->i")], {}, ["node 'y' (Einsum)"]),
        ([node("Div", "x W")], {"W": matrix(3, 4)}, ["(Div)"]),
        ([node("Softmax", "x", axis=0)], {}, ["(Softmax)"]),
        ([node("Concat", "x x", axis=0)], {}, ["(Concat)"]),
        ([node("Tan", "x")], {}, ["node 'y' (Tan)"]),
        ([node("MatMul", "W x")], {"W": matrix(3, 4)}, ["(MatMul)"]),
        ([node("Identity", "W")], {"W": matrix(3, 4)}, ["constant"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and isinstance(value[0], str) else "",
)
def test_operators_without_counterpart_are_named(nodes: list, arrays: dict, words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the words are compared below)
        fb.from_onnx(proto_of(nodes, arrays))
    for word in words:
        assert word in str(caught.value)


def test_broken_files(tmp_path) -> None:
    path = tmp_path / "net.onnx"
    nets.small_net("float32").to_onnx(path)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for k in range(150):
        broken = bytearray(data[: rng.integers(1, len(data))] if k % 3 == 0 else data)
        for at in rng.integers(len(broken), size=rng.integers(1, 9)):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        with contextlib.suppress(ValueError):  # most changes are harmless or change the numbers alone
            try:
                fb.from_onnx(path)
            except UnicodeError:
                pytest.fail("an error that does not name the file")
    path.write_bytes(b"")
    with pytest.raises(fb.ModelFormatError, match=r"net\.onnx"):
        fb.from_onnx(path)
    with pytest.raises(FileNotFoundError):
        fb.from_onnx(tmp_path / "none.onnx")


def test_a_graph_that_doubles_or_never_ends_is_read_quickly() -> None:
    """Squares of squares, whose formula would have 2**60 factors; and a chain deeper than Python's stack."""
    begin = time.perf_counter()
    names = ["x", *(f"v{k}" for k in range(59)), "y"]
    squares = [node("Mul", f"{before} {before}", after) for before, after in itertools.pairwise(names)]
    assert len(fb.from_onnx(proto_of(squares, {})).layers) == 60
    names = ["x", *(f"v{k}" for k in range(1499)), "y"]
    chain = [node(("Tanh", "Neg")[k % 2], *pair) for k, pair in enumerate(itertools.pairwise(names))]
    assert len(fb.from_onnx(proto_of(chain, {})).layers) == 1500
    assert time.perf_counter() - begin < 20


def test_nothing_outside_the_file_is_read(tmp_path) -> None:
    proto = onnx_writer.model(nets.small_net("float32"), 17, None, False)
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(fb.ModelFormatError):
        fb.from_onnx(tmp_path / "net.onnx")


def test_arguments_that_are_wrong(tmp_path, python) -> None:
    net = nets.small_net()
    for opset in (12, 999):
        with pytest.raises(ValueError, match=rf"opset must be in 13 \.\.\. \d+, got {opset}"):
            net.to_onnx(tmp_path / "net.onnx", opset=opset)
    x = fb.Input(3)
    wave = fb.Model(x, fb.Lambda(np.sin, lambda dY, X, Y: dY * np.cos(X), name="wave")(x))
    with pytest.raises(ValueError, match="<Lambda wave> cannot be written as ONNX"):
        wave.to_onnx(tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
    done = python(
        "-c",
        "import sys; sys.modules['onnx'] = None\nimport fastbp as fb\n"
        "try: fb.from_onnx('net.onnx')\nexcept ImportError as error: print(error)\n",
    )
    assert done.stdout.strip() == "from_onnx needs onnx: pip install onnx", done.stderr
