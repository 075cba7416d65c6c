"""The summary of a network: a table of its nodes, as rows and as text."""

import math

from fastbp.plotting import text

HEADS = ("node", "op", "width", "parameters", "parents")


def table(net) -> list:
    """A title, the column headings, and a row for each node."""
    rows = [f"{net.name}: {len(net.nodes)} nodes, {net.params.size:,} parameters, {net.dtype}", HEADS]
    counted = set()
    for node in net.nodes:
        rows.append(
            (
                node.name,
                "Input" if node.layer is None else node.layer.describe(),
                f"{node.width:,}",
                "shared" if node.layer in counted else f"{_size(node.layer):,}",
                ", ".join(parent.name for parent in node.parents),
            )
        )
        if node.layer is not None and node.layer.fixed_shapes:
            counted.add(node.layer)
    return rows


def to_text(net) -> str:
    """The table as aligned text."""
    title, *rows = table(net)
    return "\n".join([title.rstrip(), *text.columns(rows, "<<>><")])


def _size(layer):
    return 0 if layer is None else sum(math.prod(shape) for shape in layer.fixed_shapes.values())
