"""Every setting of every layer and operation of Keras that is read, one by one away from its default.

Either the net gives what the layer gives, or the setting is refused by its name. Keras computes what is right.
"""

import inspect
import warnings

import numpy as np
import pytest

import fastbp as fb

keras = pytest.importorskip("keras")
layers, ops = keras.layers, keras.ops
table = pytest.importorskip("fastbp.readers.keras.layers")
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
WIDTH = 6


@pytest.fixture(autouse=True)
def _seeded_and_names_from_one():
    keras.utils.set_random_seed(0)
    yield
    keras.backend.clear_session()


BATCH = (np.random.default_rng(0).normal(size=(40, WIDTH)) * np.geomspace(0.1, 60, 40)[:, None]).astype(np.float32)
REQUIRED = {
    "Dense": {"units": 3},
    "Activation": {"activation": "relu"},
    "Embedding": {"input_dim": 7, "output_dim": 3},
    "Dropout": {"rate": 0.3},
    "Rescaling": {"scale": 0.5},
    "Normalization": {"mean": 0.3, "variance": 2.0},
}
VALUES = {
    "units": [4],
    "activation": ["tanh", "softmax", "exponential", layers.LeakyReLU(0.1), lambda z: z * 2, "glu", "sparse_plus"],
    "kernel_constraint": [
        "non_neg",
        "unit_norm",
        keras.constraints.MaxNorm(0.3),
        keras.constraints.MaxNorm(0.3, axis=1),
    ],
    "constraint": ["non_neg"],
    "initializer": ["ones"],
    "regularizer": ["l2"],
    "lora_rank": [2],
    "lora_alpha": [3],
    "quantization_config": [None],
    "axis": [1, -1, [1], 0],
    "renorm_clipping": [{"rmin": 0.1}],
    "max_value": [6, 2.5],
    "negative_slope": [0.4],
    "threshold": [0.3],
    "mask_zero": [True],
    "weights": [None],
    "noise_shape": [(None, 1)],
    "data_format": ["channels_first"],
    "scale": [2.0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], False],
    "offset": [0.5, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]],
    "mean": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]],
    "variance": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]],
    "invert": [True],
    "shared_axes": [[1]],
    "seed": [3],
    "epsilon": [0.1],
    "trainable": [False],
    "dtype": ["float64", "float16", "bfloat16", "mixed_float16"],
    "name": ["other"],
    "input_dim": [9],
    "output_dim": [2],
    "rate": [0.0],
}
MERGES = ["Add", "Average", "Subtract", "Multiply", "Maximum", "Minimum", "Concatenate"]


def values(name: str, default) -> list:
    for key in (name, name.rpartition("_")[2]):
        if key in VALUES:
            return VALUES[key]
    if isinstance(default, bool):
        return [not default]
    assert isinstance(default, (int, float)), f"no values for setting {name!r} of default {default!r}"
    return [default / 2 + 0.05]


def sweep() -> list[tuple]:
    found = []
    for kind in table.LAYERS:
        parameters = {**inspect.signature(getattr(layers, kind)).parameters}
        common = {"trainable": True, "dtype": None, "name": None}
        own = {name: each.default for name, each in parameters.items() if each.kind is each.POSITIONAL_OR_KEYWORD}
        found += [(kind, name, value) for name, default in {**own, **common}.items() for value in values(name, default)]
    return found


def model_of(kind: str, settings: dict):
    x = keras.Input((2 if kind == "Embedding" else WIDTH,))
    layer = getattr(layers, kind)(**settings)
    if kind in MERGES:
        return keras.Model(x, layer([x, layers.Dense(WIDTH, name="side")(x)]))
    y = layer(x)
    return keras.Model(x, layers.Flatten()(y) if kind == "Embedding" else y)


def agrees_or_is_refused(model, name: str, X: np.ndarray = BATCH) -> bool:
    rng = np.random.default_rng(0)
    weights = model.get_weights()
    model.set_weights([value + rng.uniform(0.05, 0.4, value.shape).astype(value.dtype) for value in weights])
    try:
        net = fb.from_keras(model, check=False)
    except ValueError as error:
        assert name in str(error)  # noqa: PT017  (an error is one of two right answers)
        return False
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):  # where an exponential overflows
        wanted = keras.ops.convert_to_numpy(model(X, training=False)).astype(np.float64)
    again = fb.from_keras(model)
    np.testing.assert_array_equal(again.params, net.params)
    with np.errstate(over="ignore"):
        size = np.abs(wanted[np.isfinite(wanted)]).max()
    np.testing.assert_allclose(net.predict(X), wanted, rtol=1e-5, atol=1e-5 * size)
    return True


@pytest.mark.parametrize(("kind", "name", "value"), sweep(), ids=str)
def test_each_setting_of_each_layer(kind: str, name: str, value: object) -> None:
    try:
        model = model_of(kind, {**REQUIRED.get(kind, {}), name: value})
    except (ValueError, TypeError, AttributeError, NotImplementedError, IndexError) as error:
        pytest.skip(f"Keras has no such layer: {error}")
    X = np.abs(BATCH[:, :2].astype(int)) % 7 if kind == "Embedding" else BATCH
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agrees_or_is_refused(model, name.rpartition("_")[2] if name == "kernel_constraint" else name, X)


def test_the_sweep_finds_what_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "HARMLESS", {*table.HARMLESS, "max_value", "negative_slope", "threshold"})
    monkeypatch.setitem(table.LAYERS, "ReLU", lambda reader, op, x: reader.activate(op, x, "relu"))
    with pytest.raises((AssertionError, ValueError)):
        test_each_setting_of_each_layer("ReLU", "max_value", 2.5)


OPERATIONS = {
    "approximate": lambda h: ops.gelu(h, approximate=False),
    "negative_slope": lambda h: ops.leaky_relu(h, negative_slope=0.4),
    "alpha": lambda h: ops.elu(h, alpha=0.4),
    "alpha ": lambda h: ops.celu(h, alpha=0.4),
    "threshold": lambda h: ops.hard_shrink(h, threshold=0.2),
    "threshold ": lambda h: ops.soft_shrink(h, threshold=0.2),
    "b": lambda h: ops.squareplus(h, b=2),
    "axis": lambda h: ops.softmax(h, axis=0),
    "axis ": lambda h: ops.log_softmax(h, axis=0),
    "cast": lambda h: ops.cast(ops.cast(h, "int32"), "float32"),
    "cast ": lambda h: h * ops.sigmoid(ops.cast(h, "int32")),
    "cast  ": lambda h: ops.cast(h, "float16") * 2,
    "x_min": lambda h: ops.clip(h, -0.4, 3.0),
    "round": lambda h: ops.round(h),
    "decimals": lambda h: ops.round(h, decimals=2),
    "max": lambda h: ops.max(h, axis=1, keepdims=True),
    "mean": lambda h: h - ops.mean(h, axis=1, keepdims=True),
    "split": lambda h: ops.concatenate(ops.split(h, 2, axis=1)[::-1], axis=1),
    "axis   ": lambda h: ops.concatenate([h, h], axis=0),
    "get_item": lambda h: h[:, ::-2],
    "power": lambda h: h**2,
    "power ": lambda h: h**1.5,
    "floor_divide": lambda h: h // 2.0,
    "mod": lambda h: h % 2.0,
    "divide": lambda h: ops.divide(h, 4.0),
    "subtract": lambda h: 2.0 - h,
    "by name": lambda h: ops.subtract(x1=h, x2=1.0),
    "by names": lambda h: ops.subtract(h, x2=2.0),
    "normalize": lambda h: ops.normalize(h),
    "order": lambda h: ops.normalize(h, axis=1, order=1),
    "where": lambda h: ops.where(h > 1.0, h, 0.0),
    "glu": lambda h: ops.glu(h),
    "sparse_plus": lambda h: ops.sparse_plus(h),
    "expand": lambda h: ops.squeeze(ops.expand_dims(h, 1), 1),
    "flip": lambda h: ops.flip(h, 1),
    "matmul": lambda h: ops.matmul(h, ops.ones((6, 2))),
    "einsum": lambda h: ops.einsum("ij->ij", h),
    "logaddexp": lambda h: ops.logaddexp(h, 0.0),
    "rsqrt": lambda h: ops.rsqrt(h * h + 1.0),
    "stop_gradient": lambda h: ops.stop_gradient(h) * 2,
    "nan_to_num": lambda h: ops.nan_to_num(h) + 1,
    "cumsum": lambda h: ops.cumsum(h, axis=1),
    "hard_tanh": lambda h: ops.hard_tanh(h),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name: str) -> None:
    x = keras.Input((WIDTH,))
    agrees_or_is_refused(keras.Model(x, OPERATIONS[name](layers.Dense(WIDTH, name="first")(x))), "")


class Dense(layers.Dense):
    def call(self, inputs, training=None):
        return 2 * super().call(inputs)


class Doubling(keras.Model):
    def call(self, inputs, training=None):
        return 2 * super().call(inputs)


def _quantized():
    model = keras.Sequential([keras.Input((WIDTH,)), layers.Dense(3)])
    model.quantize("int8")
    return model


def _lora():
    model = keras.Sequential([keras.Input((WIDTH,)), layers.Dense(3)])
    model.layers[0].enable_lora(2)
    return model


def _called(layer, **options):
    x = keras.Input((WIDTH,))
    return keras.Model(x, layer(x, **options))


def _other_call():
    x = keras.Input((WIDTH,))
    return Doubling(x, layers.Dense(3)(x))


REFUSED = {
    "dtype is 'int8|quantization|Int8|compute": _quantized,
    "lora_rank is 2": _lora,
    "called with training=True": lambda: _called(layers.BatchNormalization(), training=True),
    "called with training=True ": lambda: _called(layers.Dropout(0.5), training=True),
    "cannot be read from Keras": lambda: keras.Sequential([keras.Input((WIDTH,)), Dense(3)]),
    "differs from the original's": _other_call,
    "activation is <function": lambda: _called(layers.Dense(3, activation=lambda z: z)),
    "mask_zero is True": lambda: keras.Sequential(
        [keras.Input((2,)), layers.Embedding(3, 2, mask_zero=True), layers.Flatten()]
    ),
    "renorm": lambda: _called(layers.BatchNormalization(renorm=True)),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_a_model_does_besides(words: str) -> None:
    with pytest.raises(ValueError, match=words.strip()):
        fb.from_keras(REFUSED[words]())


def test_settings_of_training_are_read() -> None:
    x = keras.Input((WIDTH,))
    h = layers.Dense(4, kernel_constraint="non_neg")(x)
    h = layers.Dense(4, kernel_constraint=keras.constraints.MaxNorm(0.5))(h)
    h = layers.LayerNormalization(trainable=False)(layers.Dropout(0.5)(h, training=False))
    net = fb.from_keras(keras.Model(x, layers.PReLU(trainable=False)(h)))
    assert [type(layer).__name__ for layer in net.layers] == ["Dense", "Dense", "LayerNorm", "PReLU"]
    assert [net.layers[0].constraint, net.layers[1].constraint] == [fb.NonNegative(), fb.MaxNorm(0.5)]
    assert [layer.trainable for layer in net.layers] == [True, True, False, False]


def test_inputs_by_name_are_compared() -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((4,), name="b")
    y = layers.Dense(2)(layers.Concatenate()([layers.Dense(3)(b), a]))
    net = fb.from_keras(keras.Model({"a": a, "b": b}, {"y": y}))
    assert {node.name for node in net.inputs} == {"a", "b"}
