"""Graph plots: DOT for Graphviz, and matplotlib.

Nodes are in rows by depth, the longest path from an input; within a row each is placed near the mean of its parents.
Graphviz has better layouts but is rarely installed.
"""

from collections import defaultdict

from fastbp._optional import package

COLORS = {"input": "#dbe9f6", "layer": "#f3f0e6", "gate": "#e3f1df", "output": "#f8e0d6"}


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


def draw(net, ax=None, texts: dict | None = None, edges: dict | None = None):
    """Draw the graph; `texts` replaces labels of nodes, `edges` labels (parent, node). Returns the Axes."""
    plt = package("matplotlib.pyplot", "plot")
    places = positions(net)
    columns = [x for x, _ in places.values()]
    deepest = max(row for _, row in places.values())
    if ax is None:
        width = 1.9 * (max(columns) - min(columns) + 1) + 0.4
        _, ax = plt.subplots(figsize=(max(3.0, width), 0.85 * (deepest + 1) + 0.3), layout="constrained")
    for node in net.nodes:
        for place, parent in enumerate(node.parents):
            (x0, y0), (x1, y1) = places[parent], places[node]
            long = y1 - y0 > 1
            bend = 0.5 if long and x0 <= x1 else -0.5 if long else 0.08 * (place - (len(node.parents) - 1) / 2)
            ax.annotate(
                "",
                (x1, y1 - 0.27),
                (x0, y0 + 0.27),
                arrowprops={
                    "arrowstyle": "-|>", "color": "#666666", "linewidth": 1,
                    "connectionstyle": f"arc3,rad={bend}", "shrinkA": 0, "shrinkB": 0,
                },
            )  # fmt: skip
            if edges and (parent, node) in edges:
                ax.text(
                    (x0 + x1) / 2 - 0.35 * bend * (y1 - y0), (y0 + y1) / 2, edges[parent, node],
                    fontsize=7, ha="center", va="center", color="#a03020",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6}, zorder=4,
                )  # fmt: skip
    for node, (x, y) in places.items():
        ax.text(
            x, y, (texts or {}).get(node, label_of(node)), fontsize=8, ha="center", va="center", zorder=5,
            bbox={"boxstyle": "round,pad=0.35", "facecolor": COLORS[kind_of(net, node)], "edgecolor": "#888888"},
        )  # fmt: skip
    ax.set_xlim(min(columns) - 0.6, max(columns) + 0.6)
    ax.set_ylim(deepest + 0.5, -0.5)
    ax.axis("off")
    return ax


def to_html(net) -> str:
    """The table of the nodes for a notebook, readable on light and dark."""
    from fastbp.plotting import html

    title, head, *rows = net.table()
    return html.titled(title, html.table(head, rows, "<<>><"))
