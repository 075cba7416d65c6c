"""Models of Keras become nets with the same outputs; Keras computes them by its NumPy backend.

The last test runs those of whole models again under its other backends.
"""

import numpy as np
import pytest

import converted
import fastbp as fb

keras = pytest.importorskip("keras")
layers = keras.layers
# Keras's own, of its weights in NumPy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def unsettled(model):
    """The model with weights that no start value is."""
    rng = np.random.default_rng(0)
    weights = model.get_weights()
    model.set_weights([value + rng.uniform(0.05, 0.4, value.shape).astype(value.dtype) for value in weights])
    return model


def assert_read(model, tolerance: float = 1e-6) -> fb.Model:
    net = fb.from_keras(unsettled(model))

    def evaluate(*xs: np.ndarray) -> list[np.ndarray]:
        Y = model(list(xs) if len(xs) > 1 else xs[0], training=False)
        return [keras.ops.convert_to_numpy(y) for y in (Y if isinstance(Y, (list, tuple)) else [Y])]

    converted.assert_same(net, evaluate, tolerance)
    return net


def test_a_stack() -> None:
    net = assert_read(
        keras.Sequential(
            [
                keras.Input((5,)),
                layers.Rescaling(0.5, 0.1),
                layers.Dense(8, activation="relu", name="first"),
                layers.BatchNormalization(momentum=0.9),
                layers.Dropout(0.3),
                layers.Dense(7, use_bias=False),
                layers.LayerNormalization(),
                layers.Activation("tanh"),
                layers.LeakyReLU(0.1),
                layers.Flatten(),
                layers.Dense(6, activation="sigmoid", name="second"),
                layers.BatchNormalization(center=False, scale=False),
                layers.Dense(3, activation="softmax"),
            ]
        )
    )
    assert type(net) is fb.Sequential
    assert net["first"].activation == "relu"
    assert net["batch_normalization"].momentum == pytest.approx(0.1)
    assert net.dtype == "float32"


NAMES = ["linear", "relu", "sigmoid", "tanh", "softmax", "elu", "selu", "softplus", "softsign", "silu", "gelu", "mish"]
NAMES += ["hard_sigmoid", "hard_silu", "leaky_relu", "relu6", "celu", "log_sigmoid", "log_softmax"]
NAMES += ["tanh_shrink", "soft_shrink", "hard_shrink", "hard_tanh", "squareplus"]


@pytest.mark.parametrize("name", NAMES)
def test_each_activation(name: str) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(7, activation=name), layers.Activation(name)])
    known = {"hard_silu": "hard_swish"}.get(name, name)
    if known in converted.ACTIVATIONS:
        net = assert_read(model, 3e-6)
        assert len(net.layers) == (1 if name == "linear" else 2)
    else:
        with pytest.raises(ValueError, match="cannot be read from Keras"):
            fb.from_keras(model)


def test_an_exponential_of_an_exponential() -> None:
    """Both are as near to the exact numbers as float32 lets them be, which is no fixed distance.

    z is a sum of five numbers, each rounded: it is off by 5 u of their sizes at most, u = 2^-24. exp makes of that a
    relative error, and adds up to 2 u of its own; the second one multiplies what it finds by its argument.
    """
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(7, "exponential"), layers.Activation("exponential")])
    net = fb.from_keras(unsettled(model))
    (X,), u = converted.rows(net), 2.0**-24
    W, b = (A.astype(np.float64) for A in (net.layers[0].W, net.layers[0].b))
    h = np.exp(X @ W + b)
    limits = ((5 * (np.abs(X) @ np.abs(W) + np.abs(b)) + 2) * h + 2) * u
    assert limits.max() > 3 * limits.min()
    for Y in (net.predict(X), np.asarray(model(X))):
        assert (np.abs(Y / np.exp(h) - 1) <= limits).all()
    assert [layer.activation for layer in net.layers] == ["exp", "exp"]


def test_a_graph() -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((6,), name="b")
    shared = layers.Dense(6, activation="tanh", name="shared")
    left, right = shared(a), shared(layers.Dense(4)(b))
    mixed = layers.Multiply()([left, right]) + 2 - right / 3
    top = layers.Maximum()([mixed, 0.5 * left]) - (-left)
    wide = layers.Concatenate()([top, b[:, 1:4], layers.Average()([left, right, top])])
    out = layers.Dense(2, activation="softmax", name="out")(wide)
    net = assert_read(keras.Model([a, b], [out, layers.Subtract()([left, right])]))
    assert [node.name for node in net.inputs] == ["a", "b"]
    assert len([layer for layer in net.layers if layer.name == "shared"]) == 1


def test_a_model_in_a_model() -> None:
    body = keras.Sequential([keras.Input((4,)), layers.Dense(5, activation="relu"), layers.Dense(4)], name="body")
    x = keras.Input((4,))
    net = assert_read(keras.Model(x, layers.Add()([x, body(x)])))
    assert len(net.layers) == 3


def test_standardised_inputs() -> None:
    X = np.random.default_rng(0).normal(size=(50, 4)) * [1, 2, 3, 4] + 5
    scaler = layers.Normalization()
    scaler.adapt(X.astype(np.float32))
    model = keras.Sequential([keras.Input((4,)), scaler, layers.Dense(3)])
    net = fb.from_keras(model)
    wanted = keras.ops.convert_to_numpy(model(X.astype(np.float32)))
    np.testing.assert_allclose(net.predict(X), wanted, atol=1e-5)


FUNCTIONS = {
    "relu": lambda z: keras.ops.relu(z),
    "leaky_relu": lambda z: keras.ops.leaky_relu(z, 0.3),
    "gelu_tanh": lambda z: keras.ops.gelu(z),
    "hard_swish": lambda z: keras.ops.hard_silu(z),
    "abs": lambda z: keras.ops.absolute(z),
    "threshold": lambda z: keras.ops.threshold(z, 0.2, -0.1),
    "log_softmax": lambda z: keras.ops.log_softmax(z, axis=1),
    "silu": lambda z: z * keras.ops.sigmoid(z),
    "relu6": lambda z: keras.ops.clip(z, 0, 6),
    "gaussian": lambda z: keras.ops.exp(-keras.ops.square(z)),
    "squareplus": lambda z: 0.5 * (z + keras.ops.sqrt(z * z + 2.0)),
    "elliot": lambda z: 0.5 + z / (2 * (1 + keras.ops.abs(z))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    """Activations called as functions, and those spelled out."""
    x = keras.Input((4,))
    net = assert_read(keras.Model(x, FUNCTIONS[name](layers.Dense(5)(x))))
    assert [layer.activation for layer in net.layers] == [name]


def test_an_embedding_beside_columns_that_are_cut_and_joined() -> None:
    x = keras.Input((5,))
    table = layers.Embedding(6, 3, name="table")(x[:, :2])
    parts = keras.ops.split(x, [2, 3], axis=1)
    wide = keras.ops.concatenate([layers.Flatten()(table), *parts[1:]], axis=-1)
    net = assert_read(keras.Model(x, layers.Dense(2)(wide)))
    assert type(net["table"]) is fb.Embedding
    with pytest.raises(ValueError, match=r"layer 'deep' \(Dense\)"):  # which works along the third dimension
        fb.from_keras(keras.Model(x, layers.Flatten()(layers.Dense(2, name="deep")(table))))
    with pytest.raises(ValueError, match=r"must have shape \(rows, columns\), got \(None, 2, 3\)"):
        fb.from_keras(keras.Model(x, table))


def test_a_file(tmp_path, python) -> None:
    model = unsettled(keras.Sequential([keras.Input((4,)), layers.Dense(5, "tanh"), layers.Dense(3)]))
    model.save(tmp_path / "net.keras")
    net = fb.from_keras(tmp_path / "net.keras")
    np.testing.assert_array_equal(net.params, fb.from_keras(model).params)
    with pytest.raises(FileNotFoundError):
        fb.from_keras(str(tmp_path / "none.keras"))
    (tmp_path / "broken.keras").write_bytes(b"nonsense" * 5)
    with pytest.raises(fb.ModelFormatError, match=r"broken\.keras is no sound model of Keras"):
        fb.from_keras(tmp_path / "broken.keras")
    code = (
        "import sys, fastbp as fb\n"
        "if sys.argv[2]: sys.modules[sys.argv[2]] = None\n"
        "try: fb.from_keras(sys.argv[1])\nexcept ImportError as error: print(error)\n"
    )
    done = python("-c", code, str(tmp_path / "net.keras"), "keras")
    assert done.stdout.strip() == "from_keras needs keras: pip install keras", done.stderr
    done = python("-c", code, str(tmp_path / "net.keras"), "tensorflow", KERAS_BACKEND="tensorflow")
    assert "from_keras needs keras, which cannot be loaded: No module named 'tensorflow" in done.stdout, done.stderr


def test_frozen_layers_and_dtype() -> None:
    frozen = layers.Dense(5, trainable=False, dtype="float64")
    net = assert_read(keras.Sequential([keras.Input((4,), dtype="float64"), frozen]))  # computed in float32 there
    assert not net.layers[0].trainable
    assert net.dtype == "float64"
    assert fb.from_keras(keras.Sequential([keras.Input((4,)), frozen]), dtype="float32").dtype == "float32"


def test_what_has_no_counterpart_is_named() -> None:
    x = keras.Input((4,))
    model = keras.Sequential([x, layers.Reshape((2, 2)), layers.Conv1D(3, 2, name="deep"), layers.Flatten()])
    with pytest.raises(ValueError, match=r"layer 'reshape.*' \(Reshape\) cannot be read from Keras; known: .*Dense"):
        fb.from_keras(model)
    own = keras.Sequential([x, layers.Dense(3, activation=lambda z: z, name="own")])
    with pytest.raises(ValueError, match=r"layer 'own' \(Dense\)"):
        fb.from_keras(own)
    with pytest.raises(ValueError, match="Matmul"):
        fb.from_keras(keras.Model(x, keras.ops.matmul(x, np.ones((4, 2), np.float32))))
    with pytest.raises(ValueError, match=r"must have shape \(rows, columns\), got \(None, 4, 2\)"):
        fb.from_keras(keras.Sequential([keras.Input((4, 2)), layers.Dense(3)]))
    with pytest.raises(ValueError, match="is not built"):
        fb.from_keras(keras.Sequential([layers.Dense(3)]))
    with pytest.raises(TypeError, match="wants a model of Keras, got int"):
        fb.from_keras(3)


def penalized():
    """A model with penalties of all kinds that Keras has for a kernel."""
    penalties = keras.regularizers
    first = layers.Dense(5, "tanh", kernel_regularizer=penalties.L2(0.03), name="first")
    last = layers.Dense(2, kernel_regularizer=penalties.L1L2(0.02, 0.04), name="last")
    plain = layers.Dense(3, kernel_regularizer=penalties.L1(0.01), bias_regularizer="l2", name="plain")
    return unsettled(keras.Sequential([keras.Input((4,)), first, plain, last]))


def test_an_l2_penalty_is_weight_decay(tmp_path) -> None:
    model = penalized()
    model.save(tmp_path / "net.keras")
    x = keras.Input((2,))
    table = keras.Model(x, layers.Flatten()(layers.Embedding(7, 3, embeddings_regularizer="l2")(x)))

    class L2(keras.regularizers.Regularizer):  # of a user, and whatever it computes
        l2 = 5.0

        def __call__(self, w):
            return 0.0 * keras.ops.sum(w)

        def get_config(self):
            return {}

    own = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_regularizer=L2())])
    for net in (fb.from_keras(model), fb.from_keras(tmp_path / "net.keras")):
        assert [layer.decay for layer in net.layers] == [0.06, None, 0.08]
    assert fb.from_keras(table).layers[0].decay == 0.02
    assert fb.from_keras(own).layers[0].decay is None


def test_steps_with_an_l2_penalty() -> None:
    """Those of Keras, by an optimizer of coupled decay; L1 and biases are penalized by groups of the optimizer."""
    if keras.backend.backend() == "numpy":
        pytest.skip("Keras does not train by its NumPy backend")
    model = penalized()
    groups = {"plain.W": {"l1": 0.01}, "plain.b": {"weight_decay": 0.02}, "last.W": {"l1": 0.02}}
    for ours, theirs in (
        (lambda **settings: fb.SGD(lr=0.1, **settings), keras.optimizers.SGD(0.1)),
        (lambda **settings: fb.Adam(lr=0.01, eps=1e-7, eps_hat=True, **settings), keras.optimizers.Adam(0.01)),
    ):
        net, plain = fb.from_keras(model), fb.from_keras(model)
        rng = np.random.default_rng(1)
        X, T = rng.normal(size=(8, 4)).astype(np.float32), rng.normal(size=(8, 2)).astype(np.float32)
        model.compile(optimizer=theirs, loss="mse")
        trainers = [fb.Trainer(net, "mse", ours(groups=groups)), fb.Trainer(plain, "mse", ours())]
        for _ in range(20):
            model.train_on_batch(X, T)
            for trainer in trainers:
                trainer.step(X, T)
        wanted = np.concatenate([np.ravel(value) for value in model.get_weights()])
        np.testing.assert_allclose(net.params, wanted, rtol=1e-4, atol=2e-6)
        assert np.abs(plain.params - wanted).max() > 1e-3  # of the same steps without the groups


WHOLE = (
    "test_a_stack",
    "test_a_graph",
    "test_a_model_in_a_model",
    "test_standardised_inputs",
    "test_steps_with_an_l2_penalty",
)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_other_backends(python, backend: str) -> None:
    pytest.importorskip(backend)
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore"]
    tests = [f"{__file__}::{name}" for name in WHOLE]
    done = python("-m", "pytest", *options, *tests, timeout=300, KERAS_BACKEND=backend)
    assert f"{len(WHOLE)} passed in" in done.stdout, done.stdout
