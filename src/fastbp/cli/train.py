"""`fastbp train`: trains a network on a CSV file, or on the digits that come with the package."""

import argparse
import json
import math
import os
import shlex
import sys

from fastbp import _engine, datasets, optimizers
from fastbp.callbacks.callback import Callback
from fastbp.cli.options import check_writable, command, named, names, positive, share, usage_error, whole, widths
from fastbp.data import csv_file, encoding
from fastbp.data.encoding import Encoding, Number, Prepared, Text
from fastbp.layers.dense import Dense, Dropout
from fastbp.layers.node import Input
from fastbp.model import Sequential
from fastbp.threads import get_num_threads
from fastbp.training.trainer import Trainer

LOSSES = {"classification": "cross_entropy", "regression": "mse"}
SCORES = {"classification": "accuracy", "regression": "r2"}
DROPOUTS = {"classification": 0.1, "regression": 0.05}  # against learning small tables by heart
UPDATES = 3000  # steps of the optimizer that the default number of epochs comes to, within these bounds:
FEWEST_EPOCHS, MOST_EPOCHS = 20, 200
DIGITS = "the digits of the package"
CLEAR_LINE = "\r\033[K"


def add(commands) -> None:
    """Add the command to the parser's."""
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
    rule = f"auto takes text, and up to {encoding.MAX_CLASSES} different whole numbers, for classes"
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
    add("--validation", type=share, default=0.2, help="share of the rows to hold out")
    add("--missing", choices=("error", "mean"), default="error", help="what to do where a number is missing")
    add("--ignore", type=names, default=(), metavar="A,B", help="columns to leave out")
    add("--text", type=names, default=(), metavar="A,B", help="columns to take as text, whatever they hold")
    add("--threads", type=positive(int), help="threads to use; the engine chooses if left out")
    add("--seed", type=whole, default=0, help="of weights, shuffling and the choice of held-out rows")
    add("--out", default="net.safetensors", metavar="FILE", help="where to save the model")
    add("--report", metavar="FILE", help="where to write a report in HTML, if anywhere")
    add("--json", action="store_true", help="print one JSON object and nothing else")


def train(arguments: argparse.Namespace) -> None:
    """Train a net and save it with the encoding of its table."""
    data = _prepared(arguments)
    if arguments.report and os.path.realpath(arguments.report) == os.path.realpath(arguments.out):
        usage_error("--out and --report are the same file", "train")
    for path in filter(None, (arguments.out, arguments.report)):
        check_writable(path)
    task = data.encoding.task
    net = _net(arguments, data.encoding)
    epochs = arguments.epochs or _default_epochs(len(data.train), arguments.batch_size)
    optimizer = optimizers.Optimizer.classes[arguments.optimizer](lr=arguments.lr)
    loss = arguments.loss or LOSSES[task]
    trainer = Trainer(net, loss, optimizer, metrics=[SCORES[task]])
    if not arguments.json:
        sys.stdout.write(f"{len(data.train):,} rows to train on, {len(data.held_out):,} held out\n{net}\n")
    history = trainer.fit(
        data.X[data.train],
        data.y[data.train],
        epochs=epochs,
        batch_size=arguments.batch_size,
        validation_data=(data.X[data.held_out], data.y[data.held_out]) if len(data.held_out) else None,
        callbacks=[] if arguments.json else [_EpochLines(epochs)],
        threads=arguments.threads,
        progress=arguments.json or sys.stderr.isatty(),
    )
    net.save(arguments.out, {encoding.METADATA_KEY: data.encoding.to_json()})
    if arguments.report:
        _write_report(arguments, data, net, history, loss)
    _tell(arguments, task, history)


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
    """A line an epoch on standard output; the live line on standard error makes way for it."""

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
        return _digits(arguments.validation, arguments.seed)
    if arguments.target is None:
        usage_error("a file needs --target COLUMN, the column to predict", "train")
    return encoding.prepare(
        csv_file.read(arguments.data),
        arguments.target,
        task=arguments.task,
        missing=arguments.missing,
        validation=arguments.validation,
        seed=arguments.seed,
        ignore=arguments.ignore,
        text=arguments.text,
    )


def _digits(validation: float, seed: int) -> Prepared:
    """The digits as the table they could have been: pixel_0 ... pixel_63, counts of 0 to 16, and digit."""
    X, y = datasets.digits()
    features = tuple(Number(f"pixel_{k}", 0.0, float(datasets.DIGITS_LEVELS)) for k in range(X.shape[1]))
    digits = Text("digit", tuple(str(digit) for digit in range(10)))
    return Prepared(Encoding(features, digits), X, y, *encoding.hold_out(y, validation, seed))


def _write_report(arguments, data, net, history, loss):
    from fastbp.cli import report  # what most runs have no use for
    from fastbp.files.replacing import replacing
    from fastbp.insight.diagnosis import diagnose

    shown = data.held_out if len(data.held_out) else data.train
    run = report.Run(
        source=arguments.data or DIGITS,
        columns=data.encoding,
        net=net,
        history=history,
        diagnosis=diagnose(net, data.X[data.train], data.y[data.train], loss),
        y=data.y[shown],
        outputs=net.predict(data.X[shown], threads=arguments.threads),
        held_out=bool(len(data.held_out)),
        score=SCORES[data.encoding.task],
        command=f"fastbp {shlex.join(arguments.words)}",
    )
    with replacing(arguments.report) as file:
        file.write(report.page(run).encode())


def _tell(arguments, task: str, history) -> None:
    last = {name: values[-1] for name, values in history.history.items()}
    score = f"val_{SCORES[task]}"
    if arguments.json:
        result = {
            "task": task,
            "epochs": len(history.epoch),
            "train_loss": last["loss"],
            "validation_loss": last.get("val_loss"),
            f"validation_{SCORES[task]}": last.get(score),
            "seconds": history.seconds,
            "samples_per_second": history.samples_per_second,
            "threads": arguments.threads or get_num_threads(),
            "model": arguments.out,
        }
        sys.stdout.write(json.dumps({name: _finite(value) for name, value in result.items()}) + "\n")
        return
    if score in last:
        sys.stdout.write(f"held-out {SCORES[task]}: {last[score]:.4f}\n")
    speed = f"{history.samples_per_second:,.0f} samples per second"
    sys.stdout.write(f"trained in {history.seconds:.2f} s, {speed}\nmodel saved to {arguments.out}\n")
    if arguments.report:
        sys.stdout.write(f"report written to {arguments.report}\n")


def _finite(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value  # JSON has no other word for it
