"""Graph plots: DOT for Graphviz, and matplotlib.

Nodes are in rows by depth, the longest path from an input; within a row each is placed near the mean of its parents.
Graphviz has better layouts but is rarely installed.
"""

from collections import defaultdict

from fastbp._optional import package

COLORS = {"input": "#dbe9f6", "layer": "#f3f0e6", "gate": "#e3f1df", "output": "#f8e0d6"}
FORWARD, BACK = "#666666", "#a03020"
CHARACTER = 0.065  # width of a label's character, in inches
BESIDE = 0.55  # from the middle of a box to an edge that passes beside it, in columns


def kind_of(net, node) -> str:
    """The kind of a node in the plot: input, output, gate or layer."""
    if node.layer is None:
        return "input"
    if node in net.outputs:
        return "output"
    return "layer" if node.layer.parameters else "gate"


def label_of(node) -> str:
    """A node's name, op and width, in two lines."""
    op = "Input" if node.layer is None else node.layer.describe()
    return f"{node.name}\n{op}, {node.width}"


def to_dot(net) -> str:
    """The graph in the DOT language."""
    numbers = {node: k for k, node in enumerate(net.nodes)}
    lines = [
        "digraph {",
        "  rankdir=TB;",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=10];',
    ]
    for node, k in numbers.items():
        text = label_of(node).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'  n{k} [label="{text}", fillcolor="{COLORS[kind_of(net, node)]}"];')
    lines += [f"  n{numbers[parent]} -> n{k};" for node, k in numbers.items() for parent in node.parents]
    return "\n".join([*lines, "}"])


def positions(net) -> dict:
    """The position of each node: (x, depth)."""
    depth: dict = {}
    for node in net.nodes:
        depth[node] = 1 + max((depth[parent] for parent in node.parents), default=-1)
    for node in reversed(net.nodes):  # a node without parents is placed just above its children
        children = [child for child in net.nodes if node in child.parents]
        if not node.parents and children:
            depth[node] = min(depth[child] for child in children) - 1
    rows = defaultdict(list)
    for node in net.nodes:
        rows[depth[node]].append(node)
    x: dict = {}
    for row in sorted(rows):
        wanted = {}
        for k, node in enumerate(rows[row]):
            above = [x[parent] for parent in node.parents if parent in x]
            wanted[node] = sum(above) / len(above) if above else k - (len(rows[row]) - 1) / 2
        ordered = sorted(rows[row], key=lambda node: wanted[node])
        centre = sum(wanted.values()) / len(wanted)
        for k, node in enumerate(ordered):
            x[node] = centre + k - (len(ordered) - 1) / 2
    return {node: (x[node], depth[node]) for node in net.nodes}


def lane_of(places: dict, start: tuple, end: tuple, taken: list) -> float | None:
    """The x at which an edge over several rows passes boxes, apart from other edges; None if no box is in its way."""
    (x0, y0), (x1, y1) = start, end
    between = [x for x, y in places.values() if y0 < y < y1]
    crossed = [x for x in between if min(x0, x1) - BESIDE < x < max(x0, x1) + BESIDE]
    if not crossed:
        return None
    sides = [x + side * BESIDE for x in between for side in (-1, 1)]
    free = [lane for lane in sides if all(abs(lane - x) > 0.9 * BESIDE for x in between)]
    lane = min(free, key=lambda lane: (abs(lane - x0) + abs(lane - x1), lane))
    away = 0.12 if lane >= max(x0, x1) else -0.12
    while any(abs(lane - other) < 0.1 and top < y1 and y0 < bottom for other, top, bottom in taken):
        lane += away
    taken.append((lane, y0, y1))
    return lane


def _curve(start, end, lane, shift):
    """The path of an edge, and the places for its label, best first; `shift` moves both to the side."""
    from matplotlib.path import Path

    (x0, y0), (x1, y1) = (start[0], start[1] + 0.27), (end[0], end[1] - 0.27)
    x0, x1 = x0 + shift, x1 + shift
    if lane is None:
        return Path([(x0, y0), (x1, y1)]), [
            (x0 + t * (x1 - x0), y0 + t * (y1 - y0)) for t in (0.5, 0.3, 0.7, 0.15, 0.85)
        ]
    lane += shift
    corners = [(x0, y0), (x0, y0 + 0.3), (lane, y0 + 0.2), (lane, y0 + 0.6)]
    corners += [(lane, y1 - 0.6), (lane, y1 - 0.2), (x1, y1 - 0.3), (x1, y1)]
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3]
    return Path(corners, codes), [(lane, (y0 + y1) / 2 + dy) for dy in (0, 0.25, -0.25)]


def _place(wanted: list, size: tuple, lane: float | None, outwards: int, taken: list) -> tuple:
    """The first place where a text of this size covers none of the rectangles `taken`; if none, the first place."""
    width, height = size
    if lane is not None:  # beside its edge, not on it
        wanted = [(x + side * width / 2, y) for side in (outwards, -outwards) for x, y in wanted]

    def free(x, y):
        return not any(abs(x - u) < (width + w) / 2 and abs(y - v) < (height + h) / 2 for u, v, w, h in taken)

    x, y = next((place for place in wanted if free(*place)), wanted[0])
    taken.append((x, y, width, height))
    return x, y


def _wide(text: str, column: float) -> float:
    """The width of a text in columns."""
    return CHARACTER * max(map(len, text.split("\n"))) / column


def _arrow(ax, path, color, back=False):
    from matplotlib.patches import FancyArrowPatch

    style = {"arrowstyle": "<|-" if back else "-|>", "mutation_scale": 9, "linewidth": 1, "color": color}
    ax.add_patch(FancyArrowPatch(path=path, shrinkA=0, shrinkB=0, **style))


def draw(net, ax=None, texts: dict | None = None, edges: dict | None = None):
    """Draw the graph; `texts` replaces labels of nodes, `edges` labels the gradients to parents. Returns the Axes."""
    plt = package("matplotlib.pyplot", "plot")
    places = positions(net)
    columns = [x for x, _ in places.values()]
    deepest = max(row for _, row in places.values())
    shown = {node: (texts or {}).get(node, label_of(node)) for node in net.nodes}
    column = max(1.9, 0.5 + CHARACTER * max(len(line) for text in shown.values() for line in text.split("\n")))
    taken: list = []
    tall = 0.4 if texts is None else 0.46
    boxes = [(x, y, _wide(shown[node], column), tall) for node, (x, y) in places.items()]
    ends = [min(columns) - 0.6, max(columns) + 0.6]
    resized = None
    if ax is None:
        resized, ax = plt.subplots(layout="constrained")
    for node in net.nodes:
        several = len(node.parents) - 1
        for place, parent in enumerate(node.parents):
            start, end = places[parent], places[node]
            lane = lane_of(places, start, end, taken)
            twice = 0.1 * (place - several / 2) if node.parents.count(parent) > 1 else 0.0
            if edges is None or (parent, node) not in edges:
                _arrow(ax, _curve(start, end, lane, twice)[0], FORWARD)
                continue
            _arrow(ax, _curve(start, end, lane, twice - 0.04)[0], FORWARD)
            path, middles = _curve(start, end, lane, twice + 0.04)
            _arrow(ax, path, BACK, back=True)
            size = 7 / 8 * _wide(edges[parent, node], column), 0.12
            outwards = -1 if lane is not None and lane < min(start[0], end[0]) else 1
            x, y = _place(middles, size, lane, outwards, boxes)
            ends += [x - size[0] / 2, x + size[0] / 2]
            ax.text(
                x, y, edges[parent, node], fontsize=7, ha="center", va="center", color=BACK,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6}, zorder=4,
            )  # fmt: skip
    for node, (x, y) in places.items():
        ax.text(
            x, y, shown[node], fontsize=8, ha="center", va="center", zorder=5,
            bbox={"boxstyle": "round,pad=0.35", "facecolor": COLORS[kind_of(net, node)], "edgecolor": "#888888"},
        )  # fmt: skip
    ends += [lane + side for lane, _, _ in taken for side in (-0.15, 0.15)]
    ax.set_xlim(min(ends), max(ends))
    ax.set_ylim(deepest + 0.5, -0.5)
    ax.axis("off")
    if edges is not None:
        lines = [plt.Line2D([], [], color=color) for color in (FORWARD, BACK)]
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.02), "ncols": 2, "frameon": False}
        ax.legend(lines, ["values forward", "gradients back"], fontsize=7, **place)
    if resized is not None:
        row = 0.85 if texts is None else 1.1
        resized.set_size_inches(max(3.0, column * (max(ends) - min(ends))), row * (deepest + 1) + 0.3)
    return ax


def to_html(net) -> str:
    """The table of the nodes for a notebook, readable on light and dark."""
    from fastbp.plotting import html

    title, head, *rows = net.table()
    return html.titled(title, html.table(head, rows, "<<>><"))
