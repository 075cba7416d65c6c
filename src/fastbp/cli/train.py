"""`fastbp train`: trains a network on a CSV file, or on the digits that come with the package."""

import argparse
import json
import math
import shlex
import sys

import numpy as np

from fastbp import _engine, datasets, optimizers
from fastbp.callbacks.callback import Callback
from fastbp.callbacks.stopping import EarlyStopping
from fastbp.cli import losses, outputs, tables
from fastbp.cli.options import command, named, positive, share, usage_error, whole, widths
from fastbp.cli.outputs import Output
from fastbp.data import encoding, labels, splitting
from fastbp.data.encoding import Encoding, Number, Prepared, Text
from fastbp.layers.dense import Dense, Dropout
from fastbp.layers.node import Input
from fastbp.metrics import metrics
from fastbp.model import Sequential
from fastbp.threads import get_num_threads
from fastbp.training.trainer import Trainer

DROPOUTS = {"classification": 0.1, "regression": 0.05}  # against overfitting small tables
UPDATES = 3000  # optimizer steps for which the default number of epochs is chosen, within these bounds:
FEWEST_EPOCHS, MOST_EPOCHS = 20, 200
DIGITS = "the digits of the package"
CLEAR_LINE = "\r\033[K"


def add(commands) -> None:
    """Add the command to the parser."""
    add = command(
        commands,
        "train",
        train,
        "train a net on a CSV file, or on the digits that come with the package",
        "fastbp train",
        "fastbp train houses.csv --target price --epochs 50 --out houses.safetensors",
        "fastbp train houses.csv --target price --hidden 64,64 --optimizer adamw --report report.html",
    ).add_argument
    add("data", nargs="?", metavar="data.csv", help="a table with named columns; the digits if left out")
    add("--target", metavar="COLUMN", help="the column to predict")
    rule = f"auto takes text, and up to {labels.MAX_CLASSES} different whole numbers, for classes"
    add("--task", choices=encoding.TASKS, default="auto", help=f"what the target is; {rule}")
    add("--hidden", type=widths, default="128,128", metavar="64,64", help="widths of the hidden layers")
    add("--activation", default="relu", **named(_engine.ACTIVATIONS, "of the hidden layers"))
    rule = "cross_entropy for classes and mse for numbers, if left out"
    add("--loss", **named(_engine.LOSSES, f"what training makes small; {rule}"))
    add("--dropout", type=share, help="share of each layer's inputs to drop; 0.1 for classes, 0.05 for numbers")
    add("--optimizer", default="adam", **named(optimizers.Optimizer.classes, "how to move the weights"))
    add("--lr", type=positive(float), default=1e-3, help="learning rate")
    add("--epochs", type=positive(int), help="passes over the data; 20 to 200, by the number of rows, if left out")
    add("--batch-size", type=positive(int), default=32, help="rows of a step")
    rule = "share of the rows to hold out, or a file of such rows"
    add("--validation", type=tables.share_or_file, default=0.2, metavar="SHARE|FILE", help=rule)
    rule = "epochs without a better validation loss after which to stop; keeps the net of the best epoch"
    add("--patience", type=positive(int), metavar="EPOCHS", help=rule)
    add("--missing", choices=("error", "mean"), default="error", help="what to do where a number is missing")
    add("--missing-target", choices=("error", "drop"), default="error", help="what to do with rows without a target")
    rule = "what a prediction does with a text that is new; other goes on with a warning"
    add("--unknown", choices=encoding.UNKNOWN, default="other", help=rule)
    add("--weight", metavar="COLUMN", help="a column of weights of the rows")
    add("--ignore", action="append", metavar="A,B", help="columns to leave out")
    text = "columns to take as text, whatever they hold"
    add("--text", action="append", metavar="A,B", help=text)
    tables.add_options(add, trains=True)
    add("--threads", type=positive(int), help="threads to use; the engine chooses if left out")
    add("--seed", type=whole, default=0, help="of weights, shuffling and the choice of held-out rows")
    add("--out", default="net.safetensors", metavar="FILE", help="where to save the model")
    add("--report", metavar="FILE", help="where to write a report in HTML, if anywhere")
    add("--force", action="store_true", help="write over files of another kind")
    add("--json", action="store_true", help="print one JSON object and nothing else")


def train(arguments: argparse.Namespace) -> None:
    """Train a net and save it with the encoding of its table."""
    _check_outputs(arguments)
    data = _prepared(arguments)
    columns, task = data.encoding, data.encoding.task
    losses.check(arguments.loss, columns, data.y)
    net = _net(arguments, columns)
    epochs = arguments.epochs or _default_epochs(len(data.train), arguments.batch_size)
    optimizer = optimizers.Optimizer.classes[arguments.optimizer](lr=arguments.lr)
    loss = arguments.loss or losses.STANDARD[task]
    trainer = Trainer(net, loss, optimizer, metrics=_metrics(columns))
    if not arguments.json:
        left = f", {data.dropped:,} without a target left out" if data.dropped else ""
        sys.stdout.write(f"{len(data.train):,} rows to train on, {len(data.held_out):,} held out{left}\n{net}\n")
    y, weights = losses.targets(columns, data.y), data.weights
    stopping = [] if arguments.patience is None else [EarlyStopping(patience=arguments.patience, restore_best=True)]
    held_out = [data.X, y] if weights is None else [data.X, y, weights]
    history = trainer.fit(
        data.X[data.train],
        y[data.train],
        epochs=epochs,
        batch_size=arguments.batch_size,
        sample_weight=None if weights is None else weights[data.train],
        validation_data=tuple(part[data.held_out] for part in held_out) if len(data.held_out) else None,
        callbacks=[*stopping, *([] if arguments.json else [_EpochLines(epochs)])],
        threads=arguments.threads,
        progress=arguments.json or sys.stderr.isatty(),
    )
    net.save(arguments.out, {encoding.METADATA_KEY: columns.to_json()})
    best = stopping[0].best_epoch if stopping else len(history.epoch) - 1
    shown = data.held_out if len(data.held_out) else data.train
    results = net.predict(data.X[shown], threads=arguments.threads)
    score = _score(columns, data.y[shown], results)
    _tell(arguments, data, history, best, score if len(data.held_out) else None)
    if arguments.report:
        _write_report(arguments, data, net, history, loss, results, score)


def _check_outputs(arguments):
    wanted = [Output("--out", arguments.out, "a model file", outputs.is_model)]
    if arguments.report:
        if outputs.same_file(arguments.out, arguments.report):
            usage_error("--out and --report are the same file", "train")
        wanted.append(Output("--report", arguments.report, "a report", outputs.is_report))
    validation = arguments.validation if isinstance(arguments.validation, str) else None
    outputs.check(wanted, [arguments.data, validation], arguments.force)


def _metrics(columns: Encoding) -> list:
    """The scores by epoch."""
    if isinstance(columns.target, Text):
        return [metrics.accuracy if columns.target.link == "softmax" else metrics.accuracy(multilabel=False)]
    return [metrics.r2]


def _score(columns: Encoding, y: np.ndarray, results: np.ndarray) -> float:
    """The score of the predictions in the form in which they are written."""
    if isinstance(columns.target, Text):
        return float(np.mean(results.argmax(axis=1) == y))
    return metrics.r2(columns.target.restored(y), columns.decode(results)["prediction"])


def _net(arguments, columns: Encoding) -> Sequential:
    outputs = columns.target.width
    rate = DROPOUTS[columns.task] if arguments.dropout is None else arguments.dropout
    layers = [Dense(width, activation=arguments.activation) for width in arguments.hidden] + [Dense(outputs)]
    if rate:
        layers = [layer for dense in layers for layer in (Dropout(rate), dense)]
    return Sequential(Input(columns.width), *layers, seed=arguments.seed)


def _default_epochs(rows: int, batch_size: int) -> int:
    batches = -(-rows // batch_size)
    return min(max(-(-UPDATES // batches), FEWEST_EPOCHS), MOST_EPOCHS)


class _EpochLines(Callback):
    """Prints a line per epoch on standard output, and clears the live line on standard error for it."""

    def __init__(self, epochs: int):
        self.epochs = epochs

    def on_epoch_end(self, trainer, epoch, logs):
        if sys.stderr.isatty():
            sys.stderr.write(CLEAR_LINE)
            sys.stderr.flush()
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        sys.stdout.write(f"epoch {epoch + 1:>3}/{self.epochs}  {numbers}\n")
        sys.stdout.flush()


def _prepared(arguments) -> Prepared:
    if arguments.data is None:
        if arguments.target is not None:
            usage_error("--target goes with a file: fastbp train data.csv --target COLUMN", "train")
        if isinstance(arguments.validation, str) or arguments.weight is not None:
            usage_error("--validation FILE and --weight go with a file: fastbp train data.csv --target COLUMN", "train")
        return _digits(arguments.validation, arguments.seed)
    if arguments.target is None:
        usage_error("a file needs --target COLUMN, the column to predict", "train")
    table = tables.read(arguments.data, arguments)
    validation = arguments.validation
    return encoding.prepare(
        table,
        tables.column(arguments.target, arguments),
        task=arguments.task,
        missing=arguments.missing,
        validation=tables.read(validation, arguments) if isinstance(validation, str) else validation,
        seed=arguments.seed,
        ignore=tables.columns(arguments.ignore or (), arguments, table),
        text=tables.columns(arguments.text or (), arguments, table),
        weight=None if arguments.weight is None else tables.column(arguments.weight, arguments),
        drop_gaps=arguments.missing_target == "drop",
        unknown=arguments.unknown,
        na=tables.missing(arguments),
        links=losses.links(arguments.loss),
    )


def _digits(validation: float, seed: int) -> Prepared:
    """The digits as a table: columns pixel_0 ... pixel_63 with counts of 0 to 16, and digit."""
    X, y = datasets.digits()
    features = tuple(Number(f"pixel_{k}", 0.0, float(datasets.DIGITS_LEVELS)) for k in range(X.shape[1]))
    digits = Text("digit", tuple(str(digit) for digit in range(10)))
    return Prepared(Encoding(features, digits), X, y, *splitting.hold_out(y, validation, seed))


def _write_report(arguments, data, net, history, loss, results, score):
    from fastbp.cli import report  # not needed by most runs
    from fastbp.files.replacing import replacing

    shown = data.held_out if len(data.held_out) else data.train
    y = losses.targets(data.encoding, data.y)
    run = report.Run(
        source=arguments.data or DIGITS,
        columns=data.encoding,
        net=net,
        history=history,
        diagnosis=report.diagnosed(net, data.X[data.train], y[data.train], loss),
        y=data.y[shown],
        outputs=results,
        held_out=bool(len(data.held_out)),
        score=losses.SCORES[data.encoding.task],
        value=score,
        command=f"fastbp {shlex.join(arguments.words)}",
    )
    with replacing(arguments.report) as file:
        file.write(report.page(run).encode())
    if not arguments.json:
        sys.stdout.write(f"report written to {arguments.report}\n")


def _tell(arguments, data, history, best: int, score: float | None) -> None:
    task = data.encoding.task
    if arguments.json:
        there = {name: values[best] for name, values in history.history.items()}
        result = {
            "task": task,
            "epochs": len(history.epoch),
            **({} if arguments.patience is None else {"best_epoch": best + 1}),
            "train_loss": there["loss"],
            "validation_loss": there.get("val_loss"),
            f"validation_{losses.SCORES[task]}": score,
            **({"rows_left_out": data.dropped} if data.dropped else {}),
            "seconds": history.seconds,
            "samples_per_second": history.samples_per_second,
            "threads": arguments.threads or get_num_threads(),
            "model": arguments.out,
        }
        sys.stdout.write(json.dumps({name: _finite(value) for name, value in result.items()}) + "\n")
        return
    if arguments.patience is not None:
        sys.stdout.write(f"best epoch: {best + 1} of {len(history.epoch)}, whose net is kept\n")
    if score is not None:
        sys.stdout.write(f"held-out {losses.SCORES[task]}: {score:.4f}\n")
    speed = f"{history.samples_per_second:,.0f} samples per second"
    sys.stdout.write(f"trained in {history.seconds:.2f} s, {speed}\nmodel saved to {arguments.out}\n")


def _finite(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value  # JSON has no NaN
