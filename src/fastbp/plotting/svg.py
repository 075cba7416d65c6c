"""Charts as SVG: lines, points, dots by name, a matrix. NumPy is enough, and a page with them needs no script.

Text and axes inherit the colour of the surrounding text, and COLORS have a contrast of 3 to 1 on white and on #1e1e1e,
so one picture suits light and dark pages. Every text is escaped here. Rejected: matplotlib's SVG, which needs
matplotlib, and takes ten times the bytes for its glyphs.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

# Four of the colours of Okabe and Ito 2008, which the colour-blind tell apart; the blue lighter, for dark pages.
COLORS = ("#1f86cc", "#d55e00", "#009e73", "#cc79a7")
DASHES = ("", "6 4", "2 3")  # one pattern for each pass through the colours
WIDTH, HEIGHT = 560, 300
RIGHT, TOP, BOTTOM = 16, 34, 46  # margins of the frame, in pixels; the left one fits its numbers
NARROWEST = 340  # pixels that a chart keeps on a narrow page: below that its text is too small
LETTER = 6.6  # approximate width of a letter, in pixels
MOST_POINTS = 1500  # of a scatter or a line: more make a file large and a picture no clearer
MOST_LABELS = 30  # of a matrix
HUGE = 1e290
SPREAD = 50  # above this ratio of largest to smallest number an axis is logarithmic


class Axis:
    """Maps numbers to pixels, linearly or logarithmically, with ticks at round numbers."""

    def __init__(self, values: np.ndarray, start: float, end: float, log: bool = False):
        self.log, self.start, self.end = log, start, end
        numbers = self._scaled(values)
        numbers = numbers[np.isfinite(numbers)]
        low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 1.0)
        if high - low <= 1e-12 * max(abs(low), abs(high)):
            half = 0.5 * (1.0 if log else abs(low) or 1.0)
            low, high = low - half, high + half
        margin = 0.04 * (high - low)
        self.low, self.high = low - margin, high + margin

    def _scaled(self, values):
        """The numbers, clipped to +-HUGE, or their logarithms; NaN where there is none."""
        values = np.asarray(values, np.float64)
        values = np.where(np.isfinite(values), np.clip(values, -HUGE, HUGE), np.nan)
        if not self.log:
            return values
        return np.log10(np.where(values > 0, np.maximum(values, 1 / HUGE), np.nan))

    def place(self, values: np.ndarray) -> np.ndarray:
        """Pixels; NaN for numbers that have no place on the axis."""
        numbers = self._scaled(values)
        return self.start + (numbers - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers on the axis: 1, 2 or 5 times a power of ten, or powers of ten on a wide logarithmic axis."""
        if self.log and self.high - self.low >= 1:
            few = self.high - self.low < most / 2
            step = max(1, math.ceil((self.high - self.low) / most))
            powers = range(math.floor(self.low), math.floor(self.high) + 1, step)
            ticks = [factor * 10.0**k for k in powers for factor in ((1, 2, 5) if few else (1,))]
            return [tick for tick in ticks if self.low <= math.log10(tick) <= self.high]
        low, high = (10**self.low, 10**self.high) if self.log else (self.low, self.high)
        rough = (high - low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
        first = math.ceil(low / step)
        return [k * step for k in range(first, math.floor(high / step) + 1)]


def lines(
    series: Mapping[Any, Sequence[float]], title: str, xlabel: str = "epoch", ylabel: str = "", log: bool = False
) -> str:
    """One line for each series of numbers at 1, 2, 3 ...

    Parameters
    ----------
    series : mapping from str to sequence of float
        Numbers that are not finite leave gaps.
    title, xlabel, ylabel : str
    log : bool, default=False
        Whether the axis of the numbers is logarithmic.

    Returns
    -------
    str
        An svg element.
    """
    arrays = {name: np.asarray(values, np.float64) for name, values in series.items()}
    longest = max((len(values) for values in arrays.values()), default=1)
    y = Axis(np.concatenate([*arrays.values(), np.empty(0)]), HEIGHT - BOTTOM, TOP, log)
    x = Axis(np.arange(1.0, longest + 1), _left_of(y), WIDTH - RIGHT)
    parts = [_frame(x, y, xlabel, ylabel, whole=True), _legend(list(arrays), x.start)]
    for k, values in enumerate(arrays.values()):
        epochs = np.arange(1.0, len(values) + 1)
        if len(values) > MOST_POINTS:
            kept = np.linspace(0, len(values) - 1, MOST_POINTS).astype(int)
            epochs, values = epochs[kept], values[kept]
        parts.append(_path(x.place(epochs), y.place(values), k))
    return _svg(WIDTH, HEIGHT, title, parts)


def points(x_values: np.ndarray, y_values: np.ndarray, title: str, xlabel: str, ylabel: str, line: str = "") -> str:
    """A dot for each pair, and a line: "zero" at y = 0, "equal" at y = x."""
    xs, ys = np.asarray(x_values, np.float64), np.asarray(y_values, np.float64)
    if len(xs) > MOST_POINTS:
        kept = np.linspace(0, len(xs) - 1, MOST_POINTS).astype(int)
        xs, ys = xs[kept], ys[kept]
    both = np.concatenate([xs, ys])
    y = Axis(both if line == "equal" else np.append(ys, 0.0), HEIGHT - BOTTOM, 12)
    x = Axis(both if line == "equal" else xs, _left_of(y), WIDTH - RIGHT)
    parts = [_frame(x, y, xlabel, ylabel)]
    if line:
        ends = np.array([x.low, x.high])
        (x0, x1), (y0, y1) = x.place(ends), y.place(ends if line == "equal" else np.zeros(2))
        parts.append(f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="currentColor" opacity=".5"/>')
    places = zip(x.place(xs), y.place(ys), strict=True)
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5"/>' for a, b in places if a == a and b == b)
    parts.append(f'<g fill="{COLORS[0]}" fill-opacity=".55">{dots}</g>')
    return _svg(WIDTH, HEIGHT, title, parts)


def dots(names: Sequence[str], values: Sequence[float], marked: Sequence[bool], title: str, xlabel: str) -> str:
    """A row for each name with a dot at its value, on a logarithmic axis; marked ones stand out."""
    row, numbers = 22, np.asarray(values, np.float64)
    left = 16 + LETTER * min(24, max((len(name) for name in names), default=1))
    top, height = 8, 8 + row * len(names) + BOTTOM
    x = Axis(numbers, left, WIDTH - RIGHT, log=True)
    tops = top + row * (np.arange(len(names)) + 0.5)
    parts = [_bottom(x, height - BOTTOM, xlabel, top)]
    places = x.place(numbers)
    parts.append(f'<g opacity=".5">{_path(places, tops, 0)}</g>')
    for name, place, top, mark in zip(names, places, tops, marked, strict=True):
        text = name if len(name) <= 24 else f"{name[:23]}\N{HORIZONTAL ELLIPSIS}"
        parts.append(_text(left - 8, top + 4, text, "end"))
        if place == place:
            shape = f'<path d="M{place - 5:.1f} {top:.1f}l5 -5l5 5l-5 5z" fill="{COLORS[1]}"/>'
            parts.append(shape if mark else f'<circle cx="{place:.1f}" cy="{top:.1f}" r="4" fill="{COLORS[0]}"/>')
    return _svg(WIDTH, height, title, parts)


def matrix(counts: np.ndarray, names: Sequence[str], title: str, xlabel: str, ylabel: str) -> str:
    """A square of counts, each cell shaded by its share of the row; numbers and names if there is room for them."""
    size = len(names)
    few = size <= MOST_LABELS
    shown = [name if len(name) <= 14 else f"{name[:13]}\N{HORIZONTAL ELLIPSIS}" for name in names]
    longest = max(len(name) for name in shown) if few else 0
    digits = len(str(int(counts.max(initial=0))))
    cell = max(28.0, 10 + LETTER * digits) if few else max(2.0, 480 / size)
    left, top = 34 + LETTER * longest, 30 + (0.75 * LETTER * longest + 12 if few else 0)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    parts = []
    for row, column in zip(*np.nonzero(counts), strict=True):
        x, y = left + cell * column, top + cell * row
        shade = f'fill="{COLORS[0]}" fill-opacity="{0.08 + 0.77 * shares[row, column]:.2f}"'
        parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell:.1f}" height="{cell:.1f}" {shade}/>')
        if few:
            parts.append(_text(x + cell / 2, y + cell / 2 + 4, str(int(counts[row, column])), "middle"))
    for k, name in enumerate(shown if few else ()):
        at = cell * (k + 0.5)
        parts.append(_text(left - 6, top + at + 4, name, "end"))
        parts.append(_text(left + at, top - 6, name, "start", turned=-45 if longest > 3 else 0))
    edge = cell * size
    parts.append(
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{edge:.1f}" height="{edge:.1f}" fill="none" '
        'stroke="currentColor" opacity=".4"/>'
    )
    width = left + edge + (0.75 * LETTER * longest if longest > 3 else 0) + RIGHT
    parts += [_text(left + edge / 2, 14, xlabel, "middle"), _text(14, top + edge / 2, ylabel, "middle", turned=-90)]
    return _svg(width, top + edge + 10, title, parts)


def wants_logarithms(series: Iterable[Sequence[float]]) -> bool:
    """Whether the numbers lie so far apart that their axis should be logarithmic."""
    values = np.array([value for numbers in series for value in numbers if np.isfinite(value)])
    return bool(values.size and values.min() > 0 and values.max() > SPREAD * values.min())


def _svg(width, height, title, parts):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" style="max-width:100%;min-width:{min(width, NARROWEST):.0f}px;height:auto" '
        f'role="img" font-family="sans-serif" font-size="12" fill="none"><title>{escape(title)}</title>'
        f"{''.join(parts)}</svg>"
    )


def _text(x, y, text, anchor, turned=0):
    turn = f' transform="rotate({turned} {x:.1f} {y:.1f})"' if turned else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor"{turn}>{escape(text)}</text>'


def readable(value: float, digits: int = 4) -> str:
    """A number as a person writes it, rounded: 17,870 and 1e-5 rather than 1.787e+04 and 1e-05."""
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return f"{float(f'{value:.{digits}g}'):,.10g}"
    return f"{value:.{digits}g}".replace("e-0", "e-").replace("e+0", "e")


def _left_of(y):
    return 40 + LETTER * max((len(readable(tick, 8)) for tick in y.ticks()), default=0)


def _frame(x, y, xlabel, ylabel, whole=False):
    parts = [_bottom(x, HEIGHT - BOTTOM, xlabel, None, whole)]
    for tick in y.ticks():
        (place,) = y.place(np.array([tick]))
        parts.append(f'<path d="M{x.start:.1f} {place:.1f}H{WIDTH - RIGHT}" stroke="currentColor" opacity=".15"/>')
        parts.append(_text(x.start - 8, place + 4, readable(tick, 8), "end"))
    middle = (y.start + y.end) / 2
    return "".join([*parts, _text(14, middle, ylabel, "middle", turned=-90)])


def _bottom(x, y, xlabel, grid_from, whole=False):
    """The axis at the bottom, with a grid from the height `grid_from` down to it, if that is given."""
    parts = [f'<path d="M{x.start:.1f} {y}H{x.end:.1f}" stroke="currentColor" opacity=".6"/>']
    ticks = [tick for tick in x.ticks() if not whole or tick == int(tick)]
    for tick, place in zip(ticks, x.place(np.array(ticks)), strict=True):
        parts.append(f'<path d="M{place:.1f} {y}v4" stroke="currentColor" opacity=".6"/>')
        if grid_from is not None:
            parts.append(f'<path d="M{place:.1f} {grid_from}V{y}" stroke="currentColor" opacity=".15"/>')
        parts.append(_text(place, y + 17, readable(tick, 8), "middle"))
    return "".join([*parts, _text((x.start + x.end) / 2, y + 36, xlabel, "middle")])


def _legend(names, x):
    parts = []
    for k, name in enumerate(names):
        parts.append(_path(np.array([x, x + 22]), np.array([18.0, 18.0]), k))
        parts.append(_text(x + 28, 22, name, "start"))
        x += 46 + LETTER * len(name)
    return "".join(parts)


def _path(xs, ys, k):
    """A line through the points in the k-th colour, with gaps at NaN; a dot for a point between gaps."""
    known = [*(x == x and y == y for x, y in zip(xs, ys, strict=True)), False]
    commands = []
    for at, (x, y) in enumerate(zip(xs, ys, strict=True)):
        if known[at]:
            dot = "" if known[at - 1] or known[at + 1] else "h0.01"
            commands.append(f"{'L' if known[at - 1] else 'M'}{x:.1f} {y:.1f}{dot}")
    dash = DASHES[k // len(COLORS) % len(DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<path d="{"".join(commands)}" stroke="{COLORS[k % len(COLORS)]}" stroke-width="2" '
        f'stroke-linecap="round" stroke-linejoin="round"{dashed}/>'
    )
