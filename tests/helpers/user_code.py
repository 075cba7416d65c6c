"""Code of a user's with most of the public names, for mypy in strict mode; it is read and never run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fastbp as fb
from fastbp.sklearn import MLPClassifier, MLPRegressor


def show(*things: object) -> None: ...


def nets(dtype: str) -> list[fb.Model]:
    x = fb.Input(5, name="x")
    h = fb.Dense(8, activation=fb.leaky_relu(0.1), constraint=fb.MaxNorm(2.0))(x)
    gate = fb.Dense(8, "sigmoid", bias=False, trainable=False)(x)
    mixed = fb.maximum(h * gate, h + fb.Dense(8)(x), 0.1)
    normed = fb.LayerNorm()(fb.RMSNorm()(fb.BatchNorm()(mixed)))
    joined = fb.Concatenate()(normed, h[:, 2:5], -gate, fb.Embedding(4, 3)(x[:, 0]))
    out = fb.Dense(3, weights=fb.initializers.glorot_uniform(), biases="zeros")(fb.Dropout(0.1)(joined))
    blocks = fb.GLU(6), fb.Residual(fb.Dense(6, "tanh")), fb.Highway(), fb.Maxout(4), fb.PReLU()
    stack = fb.Sequential(fb.Input(5), *blocks, dtype=dtype, seed=0)
    wave = fb.Lambda(np.sin, lambda dY, X, Y: dY * np.cos(X))
    k = fb.Parameter(0.5, name="k")
    energy = fb.sqrt(fb.sum(h**2) + 1e-9) / k + fb.dot(h, gate) * fb.log(1 + abs(fb.mean(h))) + 1 / (2 + x[:, 0])
    return [fb.Model(x, out, dtype=dtype, seed=0), stack, fb.Model(x, [wave(fb.Rescaling(2.0)(x)), energy])]


def train(net: fb.Model, X: npt.NDArray[np.float32], y: npt.NDArray[np.int64]) -> fb.History:
    opt = fb.Adam(lr=fb.schedules.OneCycle(0.01, 500), weight_decay=1e-4, clip_norm=1.0)
    watch = [fb.EarlyStopping(patience=3, restore_best=True), fb.CSVLogger("log.csv"), fb.ReduceLROnPlateau()]
    history = net.fit(
        X,
        y,
        loss=fb.losses.CrossEntropy(label_smoothing=0.1),
        optimizer=opt,
        epochs=2,
        batch_size=16,
        validation_data=(X, y),
        metrics=["accuracy", fb.metrics.f1(average="macro")],
        class_weight={0: 2.0},
        callbacks=[*watch, fb.ModelCheckpoint("best.safetensors")],
        shuffle=True,
        seed=0,
        threads=1,
        progress=False,
    )
    best: float = min(history.history["val_loss"])
    scores: dict[str, float] = net.evaluate(X, y, loss="cross_entropy", metrics=["accuracy"])
    show(best, scores["accuracy"], history.to_frame())
    many: list[fb.Model] = [nets("float32")[0] for _ in range(3)]
    histories: list[fb.History] = fb.fit_many(many, X, y, optimizer=[fb.Adam(), fb.SGD(0.1), "adam"], seed=range(3))
    ensemble = fb.Ensemble(many, activation="softmax")
    mean, std = ensemble.predict(X, std=True)
    losses: npt.NDArray[np.float64] = fb.Trainers(many, "mse").step(X, y)
    show(histories, ensemble.predict(X), mean, std, losses)
    for Y in many[0].predict(fb.Chunks(X, y, batch_size=8, window=100, seed=0)):
        show(Y)
    for value in fb.cross_validate(lambda: nets("float32")[0], X, y, k=3):
        show(value)
    for train_rows, test_rows in fb.kfold(X, y, k=3, seed=0, stratify=True):
        show(len(train_rows), len(test_rows))
    return history


def by_hand(net: fb.Model, X: np.ndarray, y: np.ndarray) -> float:
    opt = fb.SGD(lr=0.1, momentum=0.9, nesterov=True)
    total = 0.0
    for xb, yb in fb.batches(X, y, 8, seed=0):
        out = net.forward(xb)
        value, dout = fb.losses.cross_entropy(out, yb)
        net.backward(dout)
        tape: fb.Tape = net.forward(xb, keep=True)
        tape.backward(dout)
        norm: float = fb.clip_by_global_norm(net.grads, 1.0)
        opt.step(net)
        total += value + norm
    trainer = fb.Trainer(net, loss="cross_entropy", optimizer=fb.AdamW(lr=1e-3))
    total += trainer.step(X, y)
    trainer.fit(X, y, epochs=1, batch_size=8)
    trainer.save("trainer.safetensors")
    loss, weight = trainer.gradients(X, y)
    trainer.update(weight=weight, loss=loss)
    group: fb.distributed.Group = fb.distributed.threads(1)[0]
    mine = fb.distributed.shard(X, y, group)
    fb.Trainer(net, loss="cross_entropy", group=group, average_every=4).fit(*mine, batch_size=8)
    label: Any = trainer.predict_one({"a": 1.0})
    show(label)
    return total


def look(net: fb.Model, X: np.ndarray, y: np.ndarray) -> None:
    J: np.ndarray = fb.jacobian(net, X)
    sign, size = fb.log_abs_det_jacobian(net, X)
    H: np.ndarray = fb.hessian(net, X, output=0)
    show(J.shape, sign, size, H, fb.vjp(net, X, J[:, :, 0]), fb.jvp(net, X, X), fb.hvp(net, X, X))
    show(fb.input_gradient(net, X), fb.activations.gelu()(X))
    show(fb.per_sample_gradients(net, X, y, loss="mse"), fb.per_sample_gradient_norms(net, X, y))
    fb.check_gradients(net, X, y, loss="mse")
    report: fb.Diagnosis = fb.diagnose(net, X, y)
    show(report, report.to_dict(), report.plot())
    story: fb.Explanation = fb.explain(net, X[:1], y[:1])
    show(story, net.to_dot(), net.plot())
    found: fb.Optimum = fb.minimize(net, X, y, method="l-bfgs")
    show(found.loss, found.converged)
    value, g = net.value_and_grad(net.params, X, y, loss="mse")
    show(value + 1, g.sum(), net["dense_1"].W.shape, net.layers[0].name)
    ax = fb.plotting.loss_curves({"a": fb.History()})
    fb.plotting.decision_boundary(net, X, y, ax=ax, names=["a", "b"])
    fb.plotting.prediction_interval(net, X, y, quantiles=[0.1, 0.9])


class Scale(fb.PythonLayer):
    parameters = ("s",)

    def shapes(self, *widths: int) -> dict[str, tuple[int, ...]]:
        return {"s": (widths[0],)}

    def forward(self, *X: np.ndarray) -> np.ndarray:
        Y: np.ndarray = X[0] * self.s
        return Y

    def backward(self, dY: np.ndarray, *X_and_Y: np.ndarray) -> np.ndarray:
        dX: np.ndarray = dY * self.s
        return dX

    def gradients(self, dY: np.ndarray, *X_and_Y: np.ndarray) -> dict[str, np.ndarray]:
        return {"s": (dY * X_and_Y[0]).sum(0)}


def kept(net: fb.Model, X: np.ndarray) -> None:
    tapes: list[fb.Tape] = [net.forward(X, keep=True) for _ in range(2)]
    show(tapes[0].output, tapes[1].backward(np.ones((8, 3))), fb.Dense(4, Scale(), decay=1e-4))


def elsewhere(net: fb.Model, path: Path) -> fb.Model:
    net.save(path / "net.safetensors")
    again = fb.load(path / "net.safetensors")
    net.to_onnx(path / "net.onnx", opset=17, labels=["a", "b", "c"])
    net.to_c(path / "net.c", name="predict")
    module = net.to_torch()
    show(again, fb.from_torch(module), fb.from_torch(path / "x.safetensors", "relu"), fb.from_sklearn(MLPRegressor()))
    show(fb.from_keras("net.keras"), fb.from_fann("net.net"), fb.datasets.digits()[0].shape)
    return fb.from_onnx(path / "net.onnx")


def estimators(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    est = MLPClassifier((16,), class_weight="balanced", dropout=0.1, optimizer=fb.AdamW(lr=1e-2), random_state=0)
    est.fit(X, y, X_val=X, y_val=y)
    show(est.score(X, y), est.input_gradient(X), est.validation_loss_curve_)
    band = MLPRegressor("quantile", (8,), quantile=[0.1, 0.9]).fit(X, y)
    middle, interval = band.predict(X, return_interval=True)
    show(middle, interval)
    shares: np.ndarray = est.predict_proba(X)
    return shares


def stream() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    while True:
        yield np.ones((4, 5)), np.ones((4, 3))


class Watch(fb.Callback):
    def on_epoch_end(self, trainer: fb.Trainer, epoch: int, logs: dict[str, float]) -> bool:
        return trainer.net.params.size > 3 and logs["loss"] < 0.1


def error(Y: np.ndarray, t: np.ndarray) -> tuple[float, np.ndarray]:
    return float(np.sum(Y - t)), np.ones_like(Y)


nets("float32")[1].fit([[1.0] * 5], [0], loss=error, callbacks=[Watch()], metrics=["mae"])
nets("float32")[0].fit(stream(), steps_per_epoch=3, epochs=2)
show(fb.functional.dense_forward(np.ones((2, 3)), np.ones((3, 4))), fb.get_num_threads())
fb.set_num_threads(2)


def made_from_tables(Y: npt.NDArray[np.float64]) -> None:
    huber: fb.losses.Huber = fb.losses.Huber(delta=0.5, mask_nan=True)
    value, dY = fb.losses.mse(Y, Y)
    loss: float = value
    show(huber, loss, dY, fb.activations.leaky_relu(negative_slope=0.1)(Y), fb.initializers.trunc_normal(std=0.1))


def equation() -> fb.Model:
    x = fb.Input(2, name="xt")
    u = fb.Dense(1)(fb.Dense(20, "tanh")(x))
    ux = fb.diff(u, x[:, 0])
    forces = -fb.grad(u, x, mode="reverse")
    more = [fb.laplacian(u, x), fb.hess(u, x), fb.jac(forces, x), fb.logdet(forces, x), fb.directional(u, x, forces)]
    return fb.Model(x, [fb.diff(ux, x[:, 1]) + u * ux, *more], dtype="float64", seed=0)


def modules(layer: fb.layers.Layer, optimizer: fb.optimizers.Optimizer, node: fb.layers.Node) -> None:
    show(fb.layers.Dense(3), fb.optimizers.SGD(), fb.callbacks.EarlyStopping(), fb.derivatives.jacobian)
    show(fb.sklearn.NetworkClassifier, fb.river.Classifier, fb.threads.get_num_threads(), fb.cli.main(["info"]))
    show(layer.trainable, optimizer.lr, node.width)
