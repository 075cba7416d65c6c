"""Plot of a diagnosis in three panels: gradients by layer, dead and saturated units, activations."""

import numpy as np

from fastbp._optional import package
from fastbp.plotting.axes import FILLS, open_frame
from fastbp.plotting.svg import COLORS

BEYOND = 4.0  # the gradients' axis reaches this factor beyond them, so that nearly equal ones look equal
LEAST = 1e-300  # axes stay within LEAST ... 1 / LEAST, so that their limits and margins are finite


def draw(figures: list, histograms: list, verdict: str, ax=None):
    """Draw the panels in three Axes, new ones if not given, and return these."""
    if ax is None:
        plt = package("matplotlib.pyplot", "Diagnosis.plot")
        height = max(2.6, 0.24 * len(figures) + 1.2)
        _, ax = plt.subplots(1, 3, figsize=(11, height), layout="constrained", sharey=True)
    places = np.arange(len(figures))
    _gradients(ax[0], places, figures)
    ax[0].set_title(f"{verdict}: gradients", fontsize=10)
    for k, (name, color) in enumerate((("dead", FILLS[-1]), ("saturated", FILLS[4]))):
        shares = np.nan_to_num([getattr(node, name) for node in figures])
        ax[1].barh(places + 0.2 * (2 * k - 1), shares, height=0.38, color=color, label=name)
    if not any(patch.get_width() for patch in ax[1].patches):
        words = "no unit is dead\nor saturated"
        ax[1].text(0.5, 0.5, words, transform=ax[1].transAxes, ha="center", va="center", color="#666666", fontsize=9)
    ax[1].set_xlim(0, 1)
    ax[1].set_xlabel("share of units")
    ax[1].legend(fontsize=8, loc="lower right")
    ax[1].set_title("units", fontsize=10)
    for place, (counts, edges) in zip(places, histograms, strict=True):
        tall = counts / max(1, counts.max())
        middle, half = np.clip(edges[:-1] / 2 + edges[1:] / 2, -1 / LEAST, 1 / LEAST), 0.42
        ax[2].fill_between(
            middle, place + half, place + half - 2 * half * tall, color=COLORS[2], alpha=0.5, linewidth=0
        )
    ax[2].set_xlabel("activations")
    ax[2].set_title("values", fontsize=10)
    for panel in ax:
        open_frame(panel)
    return ax


def _gradients(ax, places, figures):
    gradients = np.array([node.gradient for node in figures])
    shown = np.where((gradients > LEAST) & (gradients < 1 / LEAST), gradients, np.nan)
    ax.plot(shown, places, color="#bbbbbb", linewidth=1)
    ill = np.array([node.verdict != "healthy" for node in figures])
    for at, color, marker in ((~ill, COLORS[0], "o"), (ill, COLORS[1], "D")):
        ax.scatter(shown[at], places[at], color=color, marker=marker, s=24, zorder=3)
    ax.set_xscale("log")
    if np.isfinite(shown).any():
        ax.set_xlim(max(np.nanmin(shown) / BEYOND, LEAST), min(np.nanmax(shown) * BEYOND, 1 / LEAST))
    ax.xaxis.set_minor_formatter("")
    ax.set_xlabel("gradient (root mean square of dLoss/dZ)")
    ax.set_yticks(places, [node.name for node in figures], fontsize=8)
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
