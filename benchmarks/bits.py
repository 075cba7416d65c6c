"""Hashes of what the engine computes, to show that a change of the code changes no bit of a result.

    python -m benchmarks.bits > before.txt      and after the change the same, into another file

One line per subject: the nets of the grid, a graph with every layer, each activation, loss and optimizer, derivatives,
and files; in float32 and float64. Each is computed with one thread and with two: the line says if the results differ.
`FASTBP_ISA` chooses the instruction set, `--all` runs each that the processor has. The script uses only public names,
so that it keeps working when internals change.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import fastbp as fb
from benchmarks.cases import CASES

DTYPES = ("float32", "float64")
OPTIMIZERS = {
    "sgd": lambda: fb.SGD(0.05),
    "momentum": lambda: fb.SGD(0.05, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda: fb.SGD(0.05, momentum=0.9, nesterov=True),
    "clipped": lambda: fb.Adam(0.01, clip_norm=0.5, ema=0.9),
    "amsgrad": lambda: fb.Adam(0.01, amsgrad=True, weight_decay=0.01),
} | {
    name: getattr(fb, name)
    for name in ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Adan", "Lion", "Muon", "NAdam", "RAdam",
                 "RMSprop", "Rprop")
}  # fmt: skip


def digest(*values) -> str:
    """A short hash of arrays, numbers and bytes."""
    sha = hashlib.sha256()
    for value in values:
        if isinstance(value, (tuple, list)):
            sha.update(digest(*value).encode())
        elif isinstance(value, bytes):
            sha.update(value)
        else:
            array = np.ascontiguousarray(value)
            sha.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return sha.hexdigest()[:16]


def targets(loss: str, rows: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Targets of the first kind that the loss of this name accepts."""
    ways = [
        lambda: rng.normal(size=(rows, width)),
        lambda: rng.integers(0, width, rows),
        lambda: rng.uniform(0.1, 1, (rows, width)),
        lambda: rng.integers(0, 2, (rows, width)),
        lambda: rng.normal(size=(rows, width // 2)),
        lambda: np.where(rng.normal(size=(rows, width)) < 0, -1.0, 1.0),
    ]
    for way in ways:
        t = way()
        try:
            getattr(fb.losses, loss)(np.zeros((rows, width)), t)
        except ValueError:
            continue
        return t
    raise ValueError(f"no targets for {loss}")


def known(function: Callable) -> list[str]:
    """The names of a table, from the error that lists them."""
    try:
        function("no such name")
    except ValueError as error:
        return sorted(str(error).partition("known: ")[2].rstrip(".)").replace(" and ", ", ").split(", "))
    raise RuntimeError("an unknown name was taken")


def activations() -> list[str]:
    return known(lambda name: fb.Dense(2, name))


def losses() -> list[str]:
    net = fb.Sequential(fb.Input(2), fb.Dense(2))
    return known(lambda name: fb.Trainer(net, name, "adam"))


def step_losses(net, X, y, loss, optimizer, threads, steps=3, **fit) -> tuple:
    """Some steps, then two epochs of `fit` with an incomplete last batch; a divergence has its bits too."""
    trainer, seen = fb.Trainer(net, loss, optimizer), []
    try:
        seen += [trainer.step(X, y, threads=threads) for _ in range(steps)]
        history = trainer.fit(X, y, epochs=2, batch_size=29, seed=3, threads=threads, progress=False, **fit)
        seen.append(history.history["loss"])
    except fb.DivergenceError as error:
        seen.append(str(error).encode())
    return seen, net.params, net.predict(X, threads=threads)


def grid(name: str, dtype: str, threads: int) -> tuple:
    case, rng = CASES[name], np.random.default_rng(0)
    rows = min(case.rows, 256)
    hidden = [fb.Dense(width, activation=case.activation) for width in case.widths[1:-1]]
    net = fb.Sequential(fb.Input(case.widths[0]), *hidden, fb.Dense(case.widths[-1]), dtype=dtype, seed=0)
    X = rng.normal(size=(rows, case.widths[0]))
    y = targets(case.loss, rows, case.widths[-1], rng)
    return step_losses(net, X, y, case.loss, case.optimizer, threads)


def everything(dtype: str) -> fb.Model:
    """A graph with each kind of layer and gate."""
    x, words = fb.Input(6, name="x"), fb.Input(2, name="words")
    e = fb.Embedding(5, 3)(words)
    h = fb.LayerNorm()(fb.Dense(12, "tanh", constraint=fb.MaxNorm(2.0))(x))
    b = fb.BatchNorm()(fb.Dense(12, constraint="non_negative")(h))
    d = fb.Dropout(0.25)(b)
    mixed = fb.maximum(h * h, d - 0.5 * h) + fb.minimum(b, h) / 3
    mixed = fb.Average()([mixed, fb.PReLU()(h), fb.Activation("softmax")(h)])
    blocks = fb.GLU(7)(mixed), fb.Highway()(mixed), fb.Maxout(5, 3)(mixed), fb.Residual(fb.Dense(12, "relu"))(mixed)
    joined = fb.Concatenate()([*blocks, e, mixed[:, 1:9:3], x[:, 0] * mixed[:, 2:4]])
    two = fb.Lambda(lambda X: X * X, lambda dY, X, Y: 2 * X * dY)(fb.Dense(4)(joined))
    return fb.Model([x, words], [fb.Dense(3)(joined), fb.Rescaling(0.1, 1)(two)], dtype=dtype, seed=1)


def graph(dtype: str, threads: int) -> tuple:
    rng, net = np.random.default_rng(1), everything(dtype)
    X = [rng.normal(size=(97, 6)), rng.integers(0, 5, (97, 2))]
    y = (rng.integers(0, 3, 97), rng.normal(size=(97, 4)))
    weight = rng.uniform(0.5, 2, 97)
    return step_losses(net, X, y, ["cross_entropy", "mse"], "adam", threads, sample_weight=weight)


def small(dtype: str, activation: str = "tanh", out: int = 4) -> fb.Sequential:
    layers = (fb.Dense(17, activation), fb.Dense(9, activation), fb.Dense(out))
    return fb.Sequential(fb.Input(5), *layers, dtype=dtype, seed=2)


def of_activation(name: str, dtype: str, threads: int) -> tuple:
    rng = np.random.default_rng(2)
    X, t = rng.normal(size=(61, 5)), rng.normal(size=(61, 4))
    return step_losses(small(dtype, name), X, t, "mse", "sgd", threads)


def of_loss(name: str, dtype: str, threads: int) -> tuple:
    rng = np.random.default_rng(3)
    X, t = rng.normal(size=(61, 5)), targets(name, 61, 4, rng)
    return step_losses(small(dtype), X, t, name, "adam", threads)


def of_optimizer(name: str, dtype: str, threads: int) -> tuple:
    rng = np.random.default_rng(4)
    X, t = rng.normal(size=(61, 5)), rng.normal(size=(61, 4))
    return step_losses(small(dtype), X, t, "mse", OPTIMIZERS[name](), threads)


def derivatives(dtype: str, threads: int) -> tuple:
    rng, net, out = np.random.default_rng(5), small(dtype, out=5), []
    X, V = rng.normal(size=(23, 5)), rng.normal(size=(23, 5))
    t = rng.normal(size=(23, 5))
    out += [fb.jacobian(net, X, mode=mode, threads=threads) for mode in ("reverse", "forward")]
    out += [fb.vjp(net, X, V, threads=threads), fb.jvp(net, X, V, threads=threads)]
    out += [fb.hessian(net, X, output=1, threads=threads), fb.hvp(net, X, V, output=2, threads=threads)]
    out += [*fb.log_abs_det_jacobian(net, X, threads=threads)]
    out += [fb.per_sample_gradients(net, X, t, loss="mse", threads=threads)]
    out += [fb.per_sample_gradient_norms(net, X, t, loss="mse", threads=threads)]
    out += [*net.value_and_grad(net.params.copy(), X, t, loss="mse")]
    return tuple(out)


def files(dtype: str, threads: int) -> tuple:
    """Written files: of a model, a trainer, C, and ONNX if the package is installed; without Lambda."""
    rng, net = np.random.default_rng(6), small(dtype, "gelu")
    trainer = fb.Trainer(net, "mse", fb.Adam(0.01))
    trainer.fit(rng.normal(size=(31, 5)), rng.normal(size=(31, 4)), epochs=1, batch_size=8, seed=0, threads=threads)
    written = []
    with tempfile.TemporaryDirectory() as folder:
        for name, write in {"net.safetensors": net.save, "trainer.safetensors": trainer.save, "c.c": net.to_c}.items():
            path = Path(folder, name)
            write(path)
            written.append(path.read_bytes())
        again = fb.load(Path(folder, "net.safetensors"))
    return written, again.params, str(net).encode(), net.to_dot().encode()


def subjects() -> Iterator[tuple[str, Callable[[str, int], tuple]]]:
    for name, case in CASES.items():
        if case.task != "rows":
            yield f"grid {name}", lambda dtype, threads, name=name: grid(name, dtype, threads)
    yield "graph", graph
    yield "derivatives", derivatives
    yield "files", files
    for kind, names, run in (
        ("activation", activations(), of_activation),
        ("loss", losses(), of_loss),
        ("optimizer", list(OPTIMIZERS), of_optimizer),
    ):
        for name in names:
            yield f"{kind} {name}", lambda dtype, threads, run=run, name=name: run(name, dtype, threads)


def main(arguments=None) -> int:
    """Print a line for each subject and dtype."""
    parser = argparse.ArgumentParser("python -m benchmarks.bits", description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="under each instruction set that the processor has")
    if parser.parse_args(arguments).all:
        command = [sys.executable, "-c", "from fastbp._engine import cpu; print(*cpu.supported())"]
        names = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        command = [sys.executable, "-m", "benchmarks.bits"]
        runs = [subprocess.run(command, env=os.environ | {"FASTBP_ISA": isa}, check=False) for isa in names]
        return max(run.returncode for run in runs)
    isa, differ = os.environ.get("FASTBP_ISA", "best"), 0
    for subject, run in subjects():
        for dtype in DTYPES:
            one, two = (digest(run(dtype, threads)) for threads in (1, 2))
            differ += one != two
            sys.stdout.write(f"{isa} {dtype} {subject}: {one}{'' if one == two else f' but {two} with two threads'}\n")
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
