"""Draw the figures of the pages here: python docs/draw_figures.py [folder]."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image  # a dependency of matplotlib

import fastbp as fb
from fastbp.cli import main as main_of_command

mpl.use("Agg")
from matplotlib import pyplot as plt

DPI = 110


def slopes():
    """Activations and their slopes."""
    Z = np.linspace(-6, 6, 601)[:, None]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for name, style in (("sigmoid", "-"), ("tanh", "--"), ("relu", "-."), ("leaky_relu", ":")):
        Y = fb.functional.activation_forward(Z, name)
        slope = fb.functional.activation_backward(np.ones_like(Z), Z, Y, name)
        axes[0].plot(Z, Y, style, label=name)
        axes[1].plot(Z, slope, style, label=name)
    axes[0].set_ylim(-1.2, 2.5)
    axes[1].axhline(0.25, color="#999999", linewidth=0.8)
    axes[1].text(-5.9, 0.28, "1/4", fontsize=8, color="#666666")
    for ax, title in zip(axes, ("Y = f(Z)", "dY/dZ"), strict=True):
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("Z")
        ax.legend(fontsize=8)
    return figure


def gradient_by_depth():
    """How the gradient shrinks on its way down twenty layers."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 10)), rng.integers(3, size=200)
    figure, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    stacks = {
        "sigmoid": [fb.Dense(32, "sigmoid") for _ in range(20)],
        "tanh": [fb.Dense(32, "tanh") for _ in range(20)],
        "relu, He starts": [fb.Dense(32, "relu") for _ in range(20)],
        "sigmoid, residual": [fb.Dense(32), *(fb.Residual(fb.Dense(32, "sigmoid")) for _ in range(19))],
    }
    for (name, layers), style in zip(stacks.items(), ("o-", "s--", "^-.", "d:"), strict=True):
        net = fb.Sequential(fb.Input(10), *layers, fb.Dense(3), seed=0)
        nodes = [node for node in fb.diagnose(net, X, y, "cross_entropy").nodes if node.weight > 0]
        ax.plot(range(1, len(nodes) + 1), [node.relative for node in nodes], style, markersize=3.5, label=name)
    ax.set_yscale("log")
    ax.set_xticks(range(1, 22, 4))
    ax.set_xlabel("layer, from the input")
    ax.set_ylabel("gradient, relative to the last")
    ax.legend(fontsize=8, loc="center right")
    return figure


def diagnosis():
    """The report on a net of sigmoids, whose inputs are large enough to saturate the first layer."""
    rng = np.random.default_rng(0)
    X, y = 10 * rng.normal(size=(200, 10)), rng.integers(3, size=200)
    net = fb.Sequential(fb.Input(10), *[fb.Dense(32, "sigmoid") for _ in range(8)], fb.Dense(3), seed=0)
    return fb.diagnose(net, X, y, "cross_entropy").plot()[0].figure


def gates():
    """One row through a distributor, a switcher and a router."""
    a, b, c = fb.Input(1, name="a"), fb.Input(1, name="b"), fb.Input(1, name="c")
    net = fb.Model([a, b, c], fb.maximum(a * b, b + c), dtype="float64")
    return fb.explain(net, ([[3.0]], [[-2.0]], [[1.0]]), [[0.0]]).plot().figure


def residual():
    """The graph of a residual block with a gate."""
    x = fb.Input(8, name="x")
    h = fb.Residual(fb.Dense(16, "relu"), fb.Dense(8))(x)
    net = fb.Model(x, fb.Dense(2, name="out")(fb.GLU(8)(h)), seed=0)
    return net.plot().figure


def determinant():
    """A grid before and after a net, and how much each cell of it has grown."""
    rng = np.random.default_rng(4)
    net = fb.Sequential(fb.Input(2), fb.Dense(16, "tanh"), fb.Dense(2), dtype="float64", seed=4)
    net.params[...] = rng.normal(size=net.params.size) * 0.45
    side = np.linspace(-2, 2, 41)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    Y = net.predict(grid.reshape(-1, 2)).reshape(grid.shape)
    _, size = fb.log_abs_det_jacobian(net, grid.reshape(-1, 2))
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
    mesh = axes[0].pcolormesh(side, side, size.reshape(41, 41), shading="gouraud", cmap="viridis")
    figure.colorbar(mesh, ax=axes[0], label="log |det J|")
    axes[0].set_title("x, and the size of the determinant", fontsize=10)
    for k in range(0, 41, 4):
        axes[1].plot(Y[k, :, 0], Y[k, :, 1], color="#4a7ebb", linewidth=0.8)
        axes[1].plot(Y[:, k, 0], Y[:, k, 1], color="#c0504d", linewidth=0.8)
    axes[1].set_title("y = net(x): the same grid", fontsize=10)
    for ax in axes:
        ax.set_aspect("equal")
    return figure


def of_page(number):
    """The picture that a code block of pictures.md makes, after all blocks before it."""

    def draw():
        text = (Path(__file__).parent / "pictures.md").read_text(encoding="utf-8")
        namespace = {}
        for code in re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)[: number + 1]:
            exec(code, namespace)
        return namespace["ax"].figure

    return draw


def photograph(folder: Path, browser: str) -> None:
    """Take a picture of the report on the digits, as a browser shows it."""
    page, picture = folder / "report.html", folder / "report.png"
    main_of_command(["train", "--seed", "1", "--report", str(page), "--out", str(folder / "net.safetensors"), "--json"])
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1240,1394"]  # to the end of a card
    command = [browser, *options, f"--user-data-dir={folder / 'profile'}", f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=100)


PHOTOGRAPHS = ("report",)
FIGURES = {draw.__name__: draw for draw in (slopes, gradient_by_depth, diagnosis, gates, residual, determinant)}
FIGURES |= {"spirals": of_page(0), "interval": of_page(1)}


def main(folder: Path) -> None:
    """Draw all figures."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        draw().savefig(folder / f"{name}.png", dpi=DPI, metadata={"Software": None})
        plt.close("all")


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "figures"
    main(place)
    if browser := shutil.which("chromium"):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            photograph(Path(folder), browser)
            Image.open(Path(folder, "report.png")).convert("RGB").quantize(128).save(
                place / "report.png", optimize=True
            )
