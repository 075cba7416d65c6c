"""PythonLayer: layers of users with parameters of their own, which train, copy and save as the engine's do.

The peer is PyTorch, which derives the same formula itself.
"""

import json
import pickle

import numpy as np
import pytest

import fastbp as fb

torch = pytest.importorskip("torch")


class Swish(fb.PythonLayer):
    """Y = X sigmoid(beta X), with a beta for each column."""

    parameters = ("beta",)

    def __init__(self, first: float = 0.7, *, name: str | None = None, trainable: bool = True):
        super().__init__(name, trainable)
        self.first = first

    def shapes(self, width):
        return {"beta": (width,)}

    def start(self, rng):
        return {"beta": np.linspace(self.first, 1.3, *self.fixed_shapes["beta"])}

    def forward(self, X):
        return X / (1 + np.exp(-self.beta * X))

    def _slope(self, X, Y):
        s = 1 / (1 + np.exp(-self.beta * X))
        return s + self.beta * Y * (1 - s)

    def backward(self, dY, X, Y):
        return dY * self._slope(X, Y)

    def gradients(self, dY, X, Y):
        return {"beta": (dY * X * Y * (1 - 1 / (1 + np.exp(-self.beta * X)))).sum(0)}

    def jvp(self, dX, X, Y):
        return dX * self._slope(X, Y)


class Bilinear(fb.PythonLayer):
    """Y = (A U) * (B V) + c, of two inputs of two widths, without a jvp."""

    parameters = ("U", "V", "c")

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units

    def shapes(self, a, b):
        return {"U": (a, self.units), "V": (b, self.units), "c": (self.units,)}

    def output_width(self, a, b):
        return self.units

    def forward(self, A, B):
        return (A @ self.U) * (B @ self.V) + self.c

    def backward(self, dY, A, B, Y):
        return (dY * (B @ self.V)) @ self.U.T, (dY * (A @ self.U)) @ self.V.T

    def gradients(self, dY, A, B, Y):
        return {"V": B.T @ (dY * (A @ self.U)), "U": A.T @ (dY * (B @ self.V)), "c": dY.sum(0)}


def model(dtype: str = "float64") -> fb.Model:
    x = fb.Input(4)
    h = fb.Dense(6, activation=Swish())(x)
    return fb.Model(x, fb.Dense(3)(Bilinear(5)(h, fb.Dense(2, "tanh")(x))), dtype=dtype, seed=3)


def theirs(net: fb.Model, X: np.ndarray, leaves: dict):
    """The outputs of `model` in PyTorch; `leaves` has its parameters by name."""
    x = torch.as_tensor(X)
    z = x @ leaves["dense_1.W"] + leaves["dense_1.b"]
    h = z * torch.sigmoid(leaves["swish_1.beta"] * z)
    b = torch.tanh(x @ leaves["dense_2.W"] + leaves["dense_2.b"])
    y = (h @ leaves["bilinear_1.U"]) * (b @ leaves["bilinear_1.V"]) + leaves["bilinear_1.c"]
    return y @ leaves["dense_3.W"] + leaves["dense_3.b"]


def leaves_of(net: fb.Model) -> dict:
    return {name: torch.tensor(array.copy(), requires_grad=True) for name, array in net.arrays().items()}


def data(rng: np.random.Generator, rows: int = 9) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(rows, 4)), rng.normal(size=(rows, 3))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-4), ("float64", 1e-10)])
def test_gradients_are_those_of_pytorch(dtype: str, tolerance: float, rng: np.random.Generator) -> None:
    net, (X, T) = model(dtype), data(rng)
    X, T = X.astype(dtype), T.astype(dtype)
    leaves = leaves_of(net)
    loss = ((theirs(net, X, leaves) - torch.as_tensor(T)) ** 2).mean()
    loss.backward()
    value, dY = fb.losses.mse(net.forward(X), T)
    net.backward(dY)
    assert value == pytest.approx(loss.item(), rel=tolerance)
    for name, (part, shape) in net.slices.items():
        wanted = leaves[name].grad.numpy()
        np.testing.assert_allclose(net.grads[part].reshape(shape), wanted, rtol=0, atol=tolerance * abs(wanted).max())
    np.testing.assert_array_equal(net["swish_1"].dbeta, net.grads[net.slices["swish_1.beta"][0]])


def test_adam_trains_it_as_pytorch_does(rng: np.random.Generator) -> None:
    net, (X, T) = model(), data(rng)
    leaves = leaves_of(net)
    optimizer = torch.optim.AdamW(leaves.values(), lr=0.01, weight_decay=0.1)
    trainer = fb.Trainer(net, "mse", fb.AdamW(lr=0.01, weight_decay=0.1))
    for _ in range(10):
        optimizer.zero_grad()
        ((theirs(net, X, leaves) - torch.as_tensor(T)) ** 2).mean().backward()
        optimizer.step()
        trainer.step(X, T)
    for name, array in net.arrays().items():
        np.testing.assert_allclose(array, leaves[name].detach().numpy(), rtol=1e-9, atol=1e-12)


OPTIMIZERS = [
    fb.SGD(lr=0.1, momentum=0.9), fb.Adam(lr=0.01, clip_norm=0.1), fb.RMSprop(), fb.Adagrad(), fb.Adadelta(),
    fb.Adamax(), fb.NAdam(), fb.RAdam(), fb.Adan(), fb.Lion(), fb.Rprop(), fb.Muon(),
    fb.SGD(lr=0.1, accumulate=2, ema=0.9),
]  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda one: type(one).__name__)
def test_every_optimizer_treats_it_as_layers_of_the_engine(optimizer: fb.SGD, rng: np.random.Generator) -> None:
    class Affine(fb.PythonLayer):
        parameters = ("W", "b")

        def shapes(self, width):
            return {"W": (width, 5), "b": (5,)}

        def output_width(self, width):
            return 5

        def forward(self, X):
            return X @ self.W + self.b

        def backward(self, dY, X, Y):
            return dY @ self.W.T

        def gradients(self, dY, X, Y):
            return {"W": X.T @ dY, "b": dY.sum(0)}

    nets = []
    X, T = data(rng, 17)
    for layer in (fb.Dense(5, weights="glorot_uniform"), Affine()):
        layers = fb.Dense(6, "tanh"), layer, fb.Dense(3)
        net = fb.Sequential(fb.Input(4), *layers, dtype="float64", seed=1)
        fb.Trainer(net, "mse", optimizer.configured()).fit(X, T, epochs=4, batch_size=5, seed=0)
        nets.append(net)
    np.testing.assert_allclose(nets[1].params, nets[0].params, rtol=1e-7, atol=1e-9)


def test_groups_and_freezing(rng: np.random.Generator) -> None:
    net, (X, T) = model(), data(rng)
    before = net["swish_1"].beta.copy(), net["bilinear_1"].V.copy(), net["bilinear_1"].U.copy()
    net["swish_1"].trainable = False
    optimizer = fb.SGD(lr=0.1, groups={"bilinear_1.V": {"lr_scale": 0.0}})
    fb.Trainer(net, "mse", optimizer).fit(X, T, epochs=2)
    np.testing.assert_array_equal(net["swish_1"].beta, before[0])
    np.testing.assert_array_equal(net["bilinear_1"].V, before[1])
    assert not np.array_equal(net["bilinear_1"].U, before[2])


def test_no_bit_depends_on_the_threads(rng: np.random.Generator) -> None:
    X, T = data(rng, 700)
    params = []
    for threads in (1, 2, 3):
        net = model("float32")
        net.fit(X, T, epochs=2, batch_size=200, seed=0, threads=threads, optimizer="adam")
        params.append(net.params.copy())
    np.testing.assert_array_equal(params[0], params[1])
    np.testing.assert_array_equal(params[0], params[2])


def test_copies_pickles_and_files(rng: np.random.Generator, tmp_path) -> None:
    net, (X, T) = model(), data(rng)
    net.fit(X, T, epochs=1)
    net.save(tmp_path / "net.safetensors")
    for other in (net.copy(), pickle.loads(pickle.dumps(net)), fb.load(tmp_path / "net.safetensors")):
        np.testing.assert_array_equal(other.predict(X), net.predict(X))
        assert other["swish_1"].first == 0.7
        other.fit(X, T, epochs=1)
        assert not np.array_equal(other.params, net.params)
    assert json.loads(json.dumps(net.config())) == net.config()
    twin = fb.Model.from_config(net.config())
    np.testing.assert_array_equal(twin["swish_1"].beta, np.linspace(0.7, 1.3, 6))


def test_a_file_of_a_class_that_is_not_there(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    model().save(tmp_path / "net.safetensors")
    monkeypatch.delitem(fb.layers.Layer.classes, "Swish")
    with pytest.raises(fb.ModelFormatError, match=r"'swish_1'.*'Swish'.*import the class"):
        fb.load(tmp_path / "net.safetensors")


def test_derivatives(rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(4), fb.Dense(6), Swish(), fb.Dense(3), dtype="float64", seed=0)
    X, T = data(rng, 5)
    reverse, forward = fb.jacobian(net, X, mode="reverse"), fb.jacobian(net, X, mode="forward")
    np.testing.assert_allclose(forward, reverse, rtol=1e-12)
    U = rng.normal(size=X.shape)
    np.testing.assert_allclose(fb.jvp(net, X, U), (reverse @ U[:, :, None])[:, :, 0], rtol=1e-10)
    with pytest.raises(ValueError, match=r"Swish swish_1.*no second"):
        fb.hessian(net, X, output=0)
    x = fb.Input(1)
    with pytest.raises(ValueError, match=r"Swish.*Python's"):
        fb.diff(Swish()(x), x)
    both = model()
    with pytest.raises(ValueError, match=r"Bilinear bilinear_1.*reverse mode only"):
        fb.jvp(both, X, U)
    rows = fb.per_sample_gradients(both, X, T, loss="mse")
    for k in range(5):
        both.value_and_grad(both.params, X[k : k + 1], T[k : k + 1])
        np.testing.assert_allclose(rows[k], both.grads, rtol=1e-10, atol=1e-13)
    with pytest.raises(ValueError, match="calls Python"):
        both.native()


def test_a_layer_that_is_called_twice_adds_its_gradients(rng: np.random.Generator) -> None:
    x, swish = fb.Input(3), Swish()
    net = fb.Model(x, swish(swish(x)), dtype="float64", seed=0)
    X, dY = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    net.forward(X)
    net.backward(dY)
    beta = torch.tensor(net["swish_1"].beta.copy(), requires_grad=True)
    y = torch.as_tensor(X)
    for _ in range(2):
        y = y * torch.sigmoid(beta * y)
    y.backward(torch.as_tensor(dY))
    np.testing.assert_allclose(net["swish_1"].dbeta, beta.grad.numpy(), rtol=1e-10)
    once = net.grads.copy()
    net.backward(dY, accumulate=True)
    np.testing.assert_allclose(net.grads, 2 * once, rtol=1e-14)


class Off(Swish):
    """A gradient that is off by a thousandth."""

    def gradients(self, dY, X, Y):
        return {"beta": 1.001 * super().gradients(dY, X, Y)["beta"]}


def test_check_gradients_finds_a_thousandth(rng: np.random.Generator) -> None:
    X, T = data(rng)
    assert fb.check_gradients(model(), X, T) < 1e-5
    net = fb.Sequential(fb.Input(4), Off(), fb.Dense(3), dtype="float64", seed=0)
    with pytest.raises(ValueError, match=r"off_1\.beta is off"):
        fb.check_gradients(net, X, T)


class Broken(Swish):
    """Returns what it is told to."""

    what: object = None

    def gradients(self, dY, X, Y):
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        ({}, ValueError, "gradients must return a dict of"),
        (np.ones(6), ValueError, "got ndarray"),
        ({"beta": np.ones(5)}, ValueError, r"gradients, beta,.*\(6,\), got \(5,\)"),
        ({"beta": ["a"] * 6}, TypeError, "numbers"),
        (ZeroDivisionError("why"), ZeroDivisionError, "why"),
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_a_gradient_changes_nothing(what, error, words, threads: int, rng: np.random.Generator) -> None:
    layer = Broken()
    layer.what = what
    layers = fb.Dense(6), fb.BatchNorm(), layer, fb.Dense(3)
    net = fb.Sequential(fb.Input(4), *layers, dtype="float64", seed=0)
    X, T = data(rng, 60)
    trainer = fb.Trainer(net, "mse", "adam")
    before = net.params.copy()
    for work in (lambda: trainer.step(X, T, threads=threads), lambda: trainer.fit(X, T, threads=threads)):
        with pytest.raises(error, match=words):
            work()
    np.testing.assert_array_equal(net.params, before)
    assert trainer.chain.t == 0


def test_mistakes_in_a_class_are_named() -> None:
    with pytest.raises(TypeError, match="'name', which layers use"):
        type("A", (fb.PythonLayer,), {"parameters": ("name",)})
    with pytest.raises(TypeError, match=r"has a Dense already"):
        type("Dense", (fb.PythonLayer,), {})
    with pytest.raises(TypeError, match=r"B must define forward and backward and gradients and shapes"):
        type("B", (fb.PythonLayer,), {"parameters": ("W",)})()
    with pytest.raises(TypeError, match=r"must define forward and backward"):
        fb.PythonLayer()

    def without_name(self):
        fb.PythonLayer.__init__(self)

    with pytest.raises(TypeError, match=r"constructor of C must take name and trainable"):
        type("C", (Swish,), {"__init__": without_name})()
    with pytest.raises(ValueError, match=r"shapes must return a dict of \['beta'\]"):
        type("D", (Swish,), {"shapes": lambda self, width: {}})()(fb.Input(3))
    with pytest.raises(ValueError, match=r"start must return values of \['beta'\]"):
        fb.Sequential(fb.Input(3), type("E", (Swish,), {"start": lambda self, rng: {}})())
    with pytest.raises(ValueError, match=r"start value of beta.*\(3,\)"):
        fb.Sequential(fb.Input(3), type("F", (Swish,), {"start": lambda self, rng: {"beta": np.ones(2)}})())


def test_an_argument_that_json_cannot_hold(tmp_path) -> None:
    net = fb.Sequential(fb.Input(3), Swish(np.float32(0.5)), seed=0)
    net.copy()
    with pytest.raises(TypeError, match=r"Swish swish_1.*first=.*JSON"):
        net.save(tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())


def test_exports_refuse_it_by_name(tmp_path) -> None:
    for export in (lambda net: net.to_c(tmp_path / "net.c"), lambda net: net.to_torch()):
        with pytest.raises(ValueError, match="swish_1"):
            export(model())
