"""Every attribute of every ONNX operator that is read, one by one away from its default, and what else a graph can say.

Either the net gives what onnxruntime gives, or the attribute is refused by its name. onnxruntime is the oracle.
"""

import numpy as np
import pytest

import fastbp as fb

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
operators = pytest.importorskip("fastbp.readers.onnx.operators")
T, helper = onnx.TensorProto, onnx.helper
WIDTH = 4
X = (np.random.default_rng(0).normal(size=(16, WIDTH)) * np.geomspace(0.1, 20, 16)[:, None]).astype(np.float32)


def constant(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(0.2, 1.5, shape).astype(np.float32)


# Constant inputs of operators after x; those that take x alone have none.
ROW, COLUMN = constant(WIDTH), np.float32(0.7)
INPUTS: dict[str, list] = {
    "Gemm": [constant(WIDTH, WIDTH), ROW],
    "MatMul": [constant(WIDTH, 3)],
    **{kind: [ROW] for kind in ("Add", "Sub", "Mul", "Div", "PRelu")},
    "Max": [COLUMN],
    "Min": [COLUMN],
    "Pow": [np.float32(2)],
    "Clip": [np.float32(-0.4), np.float32(1.1)],
    "Slice": [np.array([1]), np.array([3]), np.array([1])],
    "Split": [np.array([1, 3])],
    "Gather": [np.array([2, 0])],
    "Expand": [np.array([1, WIDTH])],
    "Reshape": [np.array([-1, WIDTH])],
    "BatchNormalization": [constant(WIDTH)] * 4,
    "LayerNormalization": [ROW, ROW],
    "RMSNormalization": [ROW],
    "ReduceMean": [np.array([1])],
    "ReduceSum": [np.array([1])],
    "Dropout": [np.float32(0.3)],
    "Scaler": [],
}
REQUIRED = {
    "Concat": {"axis": 1},
    "Cast": {"to": T.FLOAT},
    "Gather": {"axis": 1},
    "Split": {"axis": 1},
    "LinearRegressor": {"coefficients": [0.5, 1.0, -1.0, 2.0], "intercepts": [0.3], "targets": 1},
    "Scaler": {"scale": [0.5], "offset": [0.1]},
}
VALUES = {
    "to": [T.DOUBLE, T.FLOAT16, T.INT64, T.INT32, T.BOOL, T.UINT8, T.BFLOAT16, T.INT8],
    "axis": [0, 1, -1, -2],
    "axes": [[0], [1], [-1]],
    "approximate": ["tanh"],
    "num_outputs": [1, 3],
    "epsilon": [0.1],
    "momentum": [0.3],
    "post_transform": ["SOFTMAX", "LOGISTIC"],
    "targets": [2],
    "coefficients": [[1.0, 2.0, 3.0, 4.0]],
    "intercepts": [[0.0]],
    "scale": [[0.1, 0.2, 0.3, 0.4]],
    "offset": [[0.1, 0.2, 0.3, 0.4]],
    "round_mode": ["down"],
    "seed": [3],
    "stash_type": [10],
}
# Those that take no x, or shapes; tried below or in tests/writers/test_onnx.py.
OTHERS = {"Constant", "ConstantOfShape", "Shape", "ZipMap", "Sqrt", "Reciprocal", "ReduceMean"}
KINDS = {**dict.fromkeys(operators.OPERATORS, ""), **dict.fromkeys(operators.ML_OPERATORS, "ai.onnx.ml")}


def graph(nodes, arrays, outputs=("y",), opset: int = 22, kind: int = T.FLOAT, out: int = T.FLOAT):
    tensors = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    entries = [helper.make_tensor_value_info("x", kind, ["N", WIDTH])]
    ends = [helper.make_tensor_value_info(name, out, ["N", None]) for name in outputs]
    versions = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    proto = helper.make_model(helper.make_graph(nodes, "g", entries, ends, tensors), opset_imports=versions)
    proto.ir_version = 10
    return proto


def run(proto, x: np.ndarray = X) -> np.ndarray:
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    session = runtime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run([proto.graph.output[0].name], {"x": x})[0], np.float64)


def agrees_or_is_refused(proto, *words: str, x: np.ndarray = X) -> bool:
    try:
        net = fb.from_onnx(proto, check=False)
    except ValueError as error:
        assert any(word in str(error) for word in words), error  # noqa: PT017  (one of two right answers)
        return False
    try:
        wanted = run(proto, x)
    except Exception as error:  # onnxruntime's have no common base
        pytest.skip(f"onnxruntime does not run it: {str(error)[:80]}")
    got = net.predict(x)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5 * np.nanmax(np.abs(wanted)))
    np.testing.assert_array_equal(fb.from_onnx(proto).params, net.params)
    return True


def sweep() -> list[tuple]:
    found = []
    for kind, domain in KINDS.items():
        if kind in OTHERS:
            continue
        for opset in (13, 22, 24) if not domain else (3,):
            try:
                schema = onnx.defs.get_schema(kind, opset, domain)
            except onnx.defs.SchemaError:
                continue
            for name, attribute in schema.attributes.items():
                default = attribute.default_value
                given = VALUES.get(name)
                if given is None:
                    value = helper.get_attribute_value(default)
                    assert isinstance(value, (int, float)), f"no values for {name} of {kind}"
                    given = [value + 1 if isinstance(value, int) else value * 0.5 + 0.2]
                found += [(kind, opset, name, value) for value in given]
    return list(dict.fromkeys((kind, opset, name, str(value), repr(value)) for kind, opset, name, value in found))


def node_of(kind: str, opset: int, attributes: dict):
    given = INPUTS.get(kind, [])
    if kind == "Split" and "num_outputs" in attributes:
        given = []
    names = [f"c{k}" for k in range(len(given))]
    inputs = ["x", "x"] if kind in ("Concat", "Sum", "Mean") else ["x", *names]
    outputs = ["y", "z"] if kind == "Split" else ["y"]
    return helper.make_node(kind, inputs, outputs, domain=KINDS[kind], **attributes), dict(
        zip(names, given, strict=True)
    )


@pytest.mark.parametrize(("kind", "opset", "name", "_", "value"), sweep())
def test_each_attribute_of_each_operator(kind: str, opset: int, name: str, _: str, value: str) -> None:
    attributes = {**REQUIRED.get(kind, {}), name: eval(value)}
    if kind == "LinearRegressor" and name == "targets":
        attributes["coefficients"], attributes["intercepts"] = [0.5, 1.0, -1.0, 2.0] * 2, [0.3, 0.1]
    node, arrays = node_of(kind, opset, attributes)
    out = attributes["to"] if kind == "Cast" else T.FLOAT
    proto = graph([node], arrays, opset=17 if KINDS[kind] else opset, out=out)
    agrees_or_is_refused(proto, name, "whole numbers")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in OTHERS])
def test_each_operator_as_it_is(kind: str) -> None:
    opset = next((k for k in (22, 24) if onnx.defs.has(kind, k, KINDS[kind])), 24) if not KINDS[kind] else 17
    node, arrays = node_of(kind, opset, REQUIRED.get(kind, {}))
    agrees_or_is_refused(graph([node], arrays, opset=opset), "never refused")


def test_the_sweep_finds_what_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(operators.OPERATORS, "Elu", lambda node, x: node.get("alpha") and node.activate(x, "elu"))
    with pytest.raises(AssertionError):
        test_each_attribute_of_each_operator("Elu", 22, "alpha", "", "0.3")


def n(kind: str, inputs: str, outputs: str = "y", **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


NUMBERS = np.array([-1, 2 * WIDTH])
GRAPHS = {
    "rounded to whole": ([n("Cast", "x", "a", to=T.INT64), n("Cast", "a", to=T.FLOAT)], {}),
    "rounded": ([n("Cast", "x", "a", to=T.INT32), n("Cast", "a", "b", to=T.FLOAT), n("Mul", "x b")], {}),
    "Cast": ([n("Cast", "x", "a", to=T.FLOAT16), n("Cast", "a", to=T.FLOAT)], {}),
    "Floor": ([n("Floor", "x")], {}),
    "outputs after the first": ([n("Dropout", "x", "a m"), n("Cast", "m", "b", to=T.FLOAT), n("Add", "x b")], {}),
    "outputs after the first ": ([n("LayerNormalization", "x g", "a m"), n("Add", "a m")], {"g": ROW}),
    "training_mode": ([n("Dropout", "x r t")], {"r": np.float32(0.5), "t": np.array(True)}),
    "weights are not constant": ([n("Gemm", "x x", transB=1)], {}),
    "(Transpose)": ([n("Transpose", "x", "t", perm=[1, 0]), n("MatMul", "x t")], {}),
    "transA": ([n("Gemm", "w w", "v", transA=1), n("Gemm", "x v", transA=1)], {"w": constant(WIDTH, WIDTH)}),
    "its third input": ([n("Gemm", "x w x")], {"w": constant(WIDTH, WIDTH)}),
    "known here: constants": ([n("PRelu", "x x")], {}),
    "of 4 columns, a constant of shape (4, 1)": ([n("MatMul", "x w", "a"), n("Add", "a c")],
                                                 {"w": constant(WIDTH, WIDTH), "c": constant(4, 1)}),
    "rows of a table": ([n("Cast", "x", "i", to=T.INT64), n("Gather", "w i", "g"), n("Softmax", "g")],
                        {"w": constant(50, 3)}),
    "it is read, but not": ([n("Div", "x x")], {}),
}  # fmt: skip


@pytest.mark.parametrize("words", GRAPHS)
def test_what_a_graph_says_besides(words: str) -> None:
    nodes, arrays = GRAPHS[words]
    proto = graph(nodes, arrays)
    agrees_or_is_refused(proto, *words.strip().split("|"))


def test_a_table_that_is_flattened_is_read() -> None:
    nodes = [n("Cast", "x", "i", to=T.INT64), n("Gather", "w i", "g"), n("Reshape", "g s")]
    proto = graph(nodes, {"w": constant(9, 2), "s": NUMBERS})
    assert agrees_or_is_refused(proto, x=(np.arange(12 * WIDTH).reshape(12, WIDTH) % 9).astype(np.float32))


def test_an_addition_to_a_table_makes_no_dense_layer() -> None:
    nodes = [n("Cast", "x", "i", to=T.INT64), n("Gather", "w i", "g"), n("Add", "g c", "h"), n("Flatten", "h")]
    assert not agrees_or_is_refused(graph(nodes, {"w": constant(9, 2), "c": constant(2)}), "(Add)", "(Gather)")


def test_an_output_without_a_name_is_no_input() -> None:
    node = helper.make_node("Dropout", ["x"], ["a", ""])
    clip = helper.make_node("Clip", ["a", "", "high"], ["y"])
    assert agrees_or_is_refused(graph([node, clip], {"high": np.float32(0.5)}))


def test_a_function_of_the_files_own_is_refused() -> None:
    body = helper.make_function("", "Relu", ["x"], ["y"], [n("Neg", "x")], [helper.make_opsetid("", 22)])
    proto = graph([n("Relu", "x")], {})
    proto.functions.append(body)
    with pytest.raises(ValueError, match=r"a function of its own|no sound ONNX model"):
        fb.from_onnx(proto)


def test_inputs_of_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="'x' cannot be read from ONNX: it is of type BOOL"):
        fb.from_onnx(graph([n("Cast", "x", to=T.FLOAT)], {}, kind=T.BOOL))
    with pytest.raises(ValueError, match="of numbers"):  # which Div rounds
        fb.from_onnx(graph([n("Div", "x c")], {"c": np.array([2])}, kind=T.INT64, out=T.INT64))
    x = np.arange(8 * WIDTH).reshape(8, WIDTH)
    assert agrees_or_is_refused(graph([n("Cast", "x", "a", to=T.FLOAT), n("Exp", "a")], {}, kind=T.INT64), x=x % 5)


def test_a_net_that_is_not_its_graph_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = graph([n("Sin", "x")], {})
    monkeypatch.setitem(operators.OPERATORS, "Sin", operators.OPERATORS["Tanh"])
    with pytest.raises(ValueError, match=r"differs from the original's: by .* in column \d"):
        fb.from_onnx(proto)
    assert fb.from_onnx(proto, check=False).layers[0].activation == "tanh"
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    assert fb.from_onnx(proto).layers[0].activation == "tanh"  # nothing to compare with


def test_a_graph_of_a_fixed_number_of_rows_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = graph([n("Sin", "x")], {})
    for rows in (1, 3, 8, 20):
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = rows
        assert fb.from_onnx(proto).layers[0].activation == "sin"
    monkeypatch.setitem(operators.OPERATORS, "Sin", operators.OPERATORS["Tanh"])
    with pytest.raises(ValueError, match="differs from the original's"):
        fb.from_onnx(proto)
