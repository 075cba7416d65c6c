"""The HTML report on a training run: one self-contained page without scripts.

It consists of the tables and charts that notebooks show too. Data files are not trusted: all text is escaped, and the
content security policy of the page forbids scripts and external resources.
"""

import hashlib
import os
from html import escape
from typing import NamedTuple

import numpy as np

from fastbp import plotting
from fastbp.callbacks.history import History
from fastbp.cli.facts import facts
from fastbp.data.encoding import Encoding, Text
from fastbp.insight.diagnosis import Diagnosis, diagnose
from fastbp.network.network import Network
from fastbp.plotting import html, svg

MOST_ROWS = 40  # rows of the table of classes
FEW_COLUMNS = 12  # columns shown without unfolding
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; --page: #fff; --card: #f7f8f9; --text: #1c1e21; --line: #d9dce0; }
@media (prefers-color-scheme: dark) { :root { --page: #16181b; --card: #1e1e1e; --text: #e4e6e9; --line: #3a3e44; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 20px; background: var(--page); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5em; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.05em; margin: 0 0 8px; }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 560px), 1fr)); gap: 16px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px 16px;
  min-width: 0; }
section > div { overflow-x: auto; }
section.wide { grid-column: 1 / -1; }
table { border-collapse: collapse; font-size: .9em; font-variant-numeric: tabular-nums; }
th { border-bottom: 1px solid var(--line); }
td { overflow-wrap: break-word; max-width: 34em; }
th { white-space: nowrap; }
.facts td:first-child { white-space: nowrap; }
.facts td:last-child { overflow-wrap: anywhere; }
summary { cursor: pointer; margin: 8px 0; }
pre { margin: 0; padding: 10px 12px; border: 1px solid var(--line); border-radius: 6px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
p { margin: 0 0 8px; overflow-wrap: anywhere; }
.lead { font-size: 1.15em; margin-bottom: 16px; }
@media print { section { break-inside: avoid; } }
"""


class Run(NamedTuple):
    """A finished training run: its data, results and command."""

    source: str  # the data file, or a description of the data
    columns: Encoding
    net: Network
    history: History
    diagnosis: Diagnosis | str  # or a text that says why there is none
    y: np.ndarray  # encoded targets of the displayed rows
    outputs: np.ndarray
    held_out: bool  # whether these rows were held out
    score: str  # the name of the metric
    value: float  # value of the metric on these rows
    command: str


def diagnosed(net: Network, X: np.ndarray, y: np.ndarray, loss: str) -> Diagnosis | str:
    """The diagnosis, or if it fails the error, which the report shows instead."""
    try:
        return diagnose(net, X, y, loss)
    except Exception as error:  # the rest of the report is still useful
        return f"the diagnosis failed: {type(error).__name__}: {error}"


def page(run: Run) -> str:
    """The page.

    Parameters
    ----------
    run : Run

    Returns
    -------
    str
        HTML.
    """
    rows = f"{len(run.y):,} rows {'held out' if run.held_out else 'of the training: none were held out'}"
    what = f"{run.columns.target.name} from {os.path.basename(run.source)}"
    sections = [
        _section("Loss", run.history.chart()),
        *_scores(run),
        *_outcome(run, rows),
        _section("Gradients", *_diagnosis(run.diagnosis), wide=True),
        _section("Net", html.paragraph(run.net.table()[0]), _net(run.net)),
        _section("Columns", _columns(run.columns)),
        _section("Numbers of the epochs", html.table(*run.history.table())),
        _section("Run", f'<div class="facts">{html.table(("", ""), _facts(run), "<<")}</div>'),
        _section(
            "The command",
            f"<pre>{escape(run.command)}</pre>",
            html.paragraph("The same file, version and instruction set give the same bits."),
            wide=True,
        ),
    ]
    verdict = run.diagnosis if isinstance(run.diagnosis, str) else run.diagnosis.verdict
    lead = f"{run.score} {run.value:.4f} on {rows}; {verdict}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(what)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="generator" content="fastbp">'
        f"<style>{STYLE}</style></head>\n<body><header><h1>{escape(what)}</h1>"
        f'<p class="lead">{escape(lead)}</p></header>\n<main>\n{"".join(sections)}</main></body></html>\n'
    )


def _section(title, *parts, wide=False):
    kind = ' class="wide"' if wide else ""
    return f"<section{kind}><h2>{escape(title)}</h2><div>{''.join(parts)}</div></section>\n"


def _scores(run):
    names = [name for name in (run.score, f"val_{run.score}") if name in run.history.history]
    series = {name: run.history.history[name] for name in names}
    chart = svg.lines(series, f"{run.score} by epoch", ylabel=run.score)
    return [_section(run.score.capitalize(), chart)] if names else []


def _outcome(run, rows):
    target = run.columns.target
    if isinstance(target, Text):
        counts = plotting.confusion(run.y, run.outputs, target.width)
        chart = svg.matrix(counts, target.values, "confusion matrix", "predicted", "true")
        return [
            _section("Confusion matrix", html.paragraph(f"Counts of {rows}."), chart),
            _section("Classes", _classes(counts, target.values)),
        ]
    y, predicted = target.restored(run.y), run.columns.decode(run.outputs)["prediction"]
    name = target.name
    parts = (
        svg.points(predicted, y, "true against predicted", f"predicted {name}", f"true {name}", "equal"),
        svg.points(predicted, predicted - y, "residuals", f"predicted {name}", "predicted - true", "zero"),
    )
    quantiles = [("share of rows", *(f"{share:.0%}" for share in (0.5, 0.9, 0.99, 1)))]
    sizes = np.quantile(np.abs(predicted - y), (0.5, 0.9, 0.99, 1))
    errors = html.table(quantiles[0], [("are off by at most", *map(svg.readable, sizes))], "<>>>>")
    return [
        _section("True and predicted", html.paragraph(f"A dot for each of {rows}."), parts[0]),
        _section("Residuals", parts[1], errors),
    ]


def _classes(counts, names):
    """Precision and recall of each class; if there are many, of those with the most errors."""
    right, given, guessed = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    worst = np.argsort(right - given, kind="stable")[:MOST_ROWS]
    shown = np.sort(worst) if len(names) <= MOST_ROWS else worst
    rows = []
    for k in shown:
        shares = _share(right[k], guessed[k]), _share(right[k], given[k])
        rows.append((names[k], f"{given[k]:,}", *shares, _mistaken(counts, names, k)))
    table = html.table(("class", "rows", "precision", "recall", "most often taken for"), rows, "<>>><")
    more = f"The {MOST_ROWS} classes with the most errors, of {len(names)}."
    return table if len(names) <= MOST_ROWS else html.paragraph(more) + table


def _mistaken(counts, names, k):
    others = counts[k].copy()
    others[k] = 0
    return f"{names[others.argmax()]} ({others.max()})" if others.any() else ""


def _share(part, whole):
    return f"{part / whole:.1%}" if whole else ""


def _diagnosis(diagnosis):
    if isinstance(diagnosis, str):
        return [html.paragraph(diagnosis)]
    head, *rows = diagnosis.table()
    words = map(html.paragraph, diagnosis.words())
    return [*words, diagnosis.chart(), html.table(head, rows, diagnosis.ALIGN)]


def _net(net):
    _, head, *rows = net.table()
    return html.table(head, rows, "<<>><")


def _columns(columns):
    every = [("predicted", columns.target), *(("read", column) for column in columns.features)]
    rows = [(use, column.name, column.describe()) for use, column in every]
    heads, sides = ("", "column", "holds"), "<<<"
    if len(rows) <= FEW_COLUMNS:
        return html.table(heads, rows, sides)
    more = f"<details><summary>and {len(rows) - FEW_COLUMNS:,} more</summary>"
    rest = html.table(heads, rows[FEW_COLUMNS:], sides)
    return f"{html.table(heads, rows[:FEW_COLUMNS], sides)}{more}{rest}</details>"


def _facts(run):
    history = run.history
    found = {"data": run.source}
    if os.path.isfile(run.source):
        with open(run.source, "rb") as file:
            found["SHA-256 of the data"] = hashlib.file_digest(file, "sha256").hexdigest()
    found["epochs"] = f"{len(history.epoch):,}"
    found["time"] = f"{history.seconds:.2f} s, {history.samples_per_second:,.0f} samples per second"
    return list({**found, **facts()}.items())
