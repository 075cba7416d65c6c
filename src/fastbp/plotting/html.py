"""HTML for notebooks and reports: tables and headings without scripts, for light and dark themes.

Colours are inherited; all text is escaped here, so a column named <script> is shown as text.
"""

from collections.abc import Iterable, Sequence
from html import escape

SIDES = {"<": "left", ">": "right"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """A table; `align` has "<" for a column of text and ">" for one of numbers."""
    sides = [f' style="padding:2px 8px;text-align:{SIDES[side]}"' for side in align]

    def line(tag, cells):
        return "".join(f"<{tag}{side}>{escape(cell)}</{tag}>" for cell, side in zip(cells, sides, strict=True))

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{line('th', head)}</tr></thead><tbody>{body}</tbody></table>"


def titled(title: str, *parts: str) -> str:
    """Parts, which are HTML, below a title, which is text."""
    return f"<div><p><b>{escape(title)}</b></p>{''.join(parts)}</div>"


def paragraph(text: str) -> str:
    """A paragraph of text."""
    return f"<p>{escape(text)}</p>"
