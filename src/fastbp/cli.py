"""The command line: `fastbp train`, `predict`, `inspect`, `info`.

Results go to standard output, progress and errors to standard error, an error as one line. Exit codes: 0,
1 (the run failed), 2 (usage). Plain argparse; a package for commands was rejected, since NumPy must be enough.
"""

import argparse
import csv
import io
import json
import math
import os
import platform
import sys

import numpy as np

import fastbp
from fastbp import _engine, datasets, encoding, optimizers, serialization, tables
from fastbp._engine import variants
from fastbp.callbacks import Callback
from fastbp.encoding import Encoding, Number, Prepared, Text
from fastbp.errors import ModelFormatError
from fastbp.graph import Input
from fastbp.layers import Dense, Dropout
from fastbp.model import Sequential
from fastbp.safetensors import replacing
from fastbp.threads import get_num_threads
from fastbp.training import Trainer

LOSSES = {"classification": "cross_entropy", "regression": "mse"}
SCORES = {"classification": "accuracy", "regression": "r2"}
DROPOUTS = {"classification": 0.1, "regression": 0.05}  # against learning small tables by heart
UPDATES = 3000  # steps of the optimizer that the default number of epochs comes to, within these bounds:
FEWEST_EPOCHS, MOST_EPOCHS = 20, 200
CLEAR_LINE = "\r\033[K"


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : list of str, optional
        The arguments; those of the process if not given.

    Returns
    -------
    int
        The exit code.
    """
    try:
        arguments = _parser().parse_args(argv)
        arguments.command(arguments)
        sys.stdout.flush()
    except SystemExit as stop:  # argparse's way out, for --help and for usage
        return int(stop.code or 0)
    except BrokenPipeError:  # the reader of our output has gone; no further word can reach it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _failed("interrupted")
    except (ValueError, TypeError, OSError, MemoryError) as error:
        return _failed(str(error) or type(error).__name__)
    except Exception as error:  # a fault of ours: still one line, for who wrote a script around us
        return _failed(f"{type(error).__name__}: {error}")
    return 0


def _failed(message: str) -> int:
    sys.stderr.write(f"fastbp: error: {' '.join(message.split())}\n")
    return 1


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, where argparse repeats the usage first."""

    def error(self, message):
        sys.stderr.write(f"fastbp: error: {message} (see {self.prog} --help)\n")
        raise SystemExit(2)


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the defaults there are."""

    def _get_help_string(self, action):
        return action.help if isinstance(action.default, bool | tuple | None) else super()._get_help_string(action)


class _Version(argparse.Action):
    """Looks the version up when it is asked for: that reads the files of the installation."""

    def __call__(self, parser, namespace, values, option_string=None):
        sys.stdout.write(f"fastbp {fastbp.__version__}\n")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastbp", description="Backpropagation for dense networks on the CPU.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_train, _add_predict, _add_inspect, _add_info):
        add(commands)
    return parser


def _command(commands, name: str, function, text: str, example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example: {example}",
        formatter_class=_Help,
    )
    parser.set_defaults(command=function)
    return parser


def _add_train(commands):
    add = _command(
        commands,
        "train",
        train,
        "train a net on a CSV file, or on the digits that come with the package",
        "fastbp train houses.csv --target price --epochs 50 --out houses.safetensors",
    ).add_argument
    add("data", nargs="?", metavar="data.csv", help="a table with named columns; the digits if left out")
    add("--target", metavar="COLUMN", help="the column to predict")
    rule = f"auto takes text, and up to {encoding.MAX_CLASSES} different whole numbers, for classes"
    add("--task", choices=encoding.TASKS, default="auto", help=f"what the target is; {rule}")
    add("--hidden", type=_widths, default="128,128", metavar="64,64", help="widths of the hidden layers")
    add("--activation", choices=sorted(_engine.ACTIVATIONS), default="relu", help="of the hidden layers")
    add("--dropout", type=_share, help="share of each layer's inputs to drop; 0.1 for classes, 0.05 for numbers")
    add("--optimizer", choices=sorted(optimizers.Optimizer.classes), default="adam", help="how to move the weights")
    add("--lr", type=_positive(float), default=1e-3, help="learning rate")
    add("--epochs", type=_positive(int), help="passes over the data; 20 to 200, by the number of rows, if left out")
    add("--batch-size", type=_positive(int), default=32, help="rows of a step")
    add("--validation", type=_share, default=0.2, help="share of the rows to hold out")
    add("--missing", choices=("error", "mean"), default="error", help="what to do where a number is missing")
    add("--ignore", type=_names, default=(), metavar="A,B", help="columns to leave out")
    add("--text", type=_names, default=(), metavar="A,B", help="columns to take as text, whatever they hold")
    add("--threads", type=_positive(int), help="threads to use; the engine chooses if left out")
    add("--seed", type=_whole, default=0, help="of weights, shuffling and the choice of held-out rows")
    add("--out", default="net.safetensors", metavar="FILE", help="where to save the model")
    add("--json", action="store_true", help="print one JSON object and nothing else")


def _add_predict(commands):
    text = "predict the target for the rows of a CSV file"
    example = "fastbp predict net.safetensors new.csv --out predictions.csv"
    add = _command(commands, "predict", predict, text, example).add_argument
    add("model", metavar="net.safetensors", help="a model that `fastbp train` saved")
    add("data", metavar="new.csv", help="a table with the columns the model was trained on")
    add("--out", metavar="FILE", help="where to write the predictions; standard output if left out")


def _add_inspect(commands):
    text = "show what a model file holds"
    add = _command(commands, "inspect", inspect, text, "fastbp inspect net.safetensors").add_argument
    add("model", metavar="net.safetensors", help="a model file")


def _add_info(commands):
    _command(commands, "info", info, "show versions, instruction set and threads", "fastbp info")


def train(arguments: argparse.Namespace) -> None:
    """Train a net and save it with the encoding of its table."""
    data = _prepared(arguments)
    _check_writable(arguments.out)
    task = data.encoding.task
    net = _net(arguments, data.encoding)
    epochs = arguments.epochs or _default_epochs(len(data.train), arguments.batch_size)
    optimizer = optimizers.Optimizer.classes[arguments.optimizer](lr=arguments.lr)
    trainer = Trainer(net, LOSSES[task], optimizer, metrics=[SCORES[task]])
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
    _report(arguments, task, history)


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
            _parser().error("--target goes with a file: fastbp train data.csv --target COLUMN")
        return _digits(arguments.validation, arguments.seed)
    if arguments.target is None:
        _parser().error("a file needs --target COLUMN, the column to predict")
    return encoding.prepare(
        tables.read(arguments.data),
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


def _check_writable(path: str) -> None:
    """Raise now rather than after the training."""
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path) or not os.access(folder, os.W_OK):
        raise OSError(f"cannot write {path!r}: it is a folder, or its folder is missing or read-only")


def _report(arguments, task: str, history) -> None:
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


def _finite(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value  # JSON has no other word for it


def predict(arguments: argparse.Namespace) -> None:
    """Write a column `prediction` and, for classes, a column of probabilities each."""
    net, _, metadata = serialization.load(arguments.model)
    if encoding.METADATA_KEY not in metadata:
        raise ModelFormatError(f"{arguments.model}: no table's encoding in it; `fastbp train` stores one")
    columns = Encoding.from_json(metadata[encoding.METADATA_KEY])
    if [node.width for node in (*net.inputs, *net.outputs)] != [columns.width, columns.target.width]:
        raise ModelFormatError(f"{arguments.model}: net and table's encoding do not belong together")
    outputs = net.predict(columns.encode(tables.read(arguments.data)))
    if not np.isfinite(outputs).all():
        raise ValueError(f"{arguments.model}: the net's outputs are not finite for all rows of {arguments.data}")
    text = _as_csv(columns.decode(outputs))
    if arguments.out is None:
        sys.stdout.write(text)
        return
    with replacing(arguments.out) as file:
        file.write(text.encode())


def _as_csv(columns: dict[str, np.ndarray | list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(np.asarray(column).astype(str) for column in columns.values()), strict=True))
    return text.getvalue()


def inspect(arguments: argparse.Namespace) -> None:
    """Print a model's nodes, and the columns it reads and predicts."""
    net, arrays, metadata = serialization.load(arguments.model)
    sys.stdout.write(f"{net}\n")
    for name, array in arrays.items():
        sys.stdout.write(f"with {name}: {array.dtype} {array.shape}\n")
    if encoding.METADATA_KEY in metadata:
        columns = Encoding.from_json(metadata[encoding.METADATA_KEY])
        for column in columns.features:
            sys.stdout.write(f"reads {column.name}: {column.describe()}\n")
        sys.stdout.write(f"predicts {columns.target.name}: {columns.target.describe()}\n")


def info(arguments: argparse.Namespace) -> None:
    """Print versions, instruction set and threads."""
    facts = {
        "fastbp": fastbp.__version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "instruction set": f"{_engine.isa} (of {', '.join(variants.supported())})",
        "threads": str(get_num_threads()),
    }
    sys.stdout.writelines(f"{name}: {fact}\n" for name, fact in facts.items())


def _widths(text: str) -> tuple[int, ...]:
    return tuple(_positive(int)(width) for width in text.split(",") if width.strip())


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _positive(kind: type):
    def positive(text: str):
        value = _number(kind, text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
        return value

    return positive


def _whole(text: str) -> int:
    value = _number(int, text)
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2**63 - 1, got {text}")
    return value


def _share(text: str) -> float:
    value = _number(float, text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1, got {text}")
    return value


def _number(kind: type, text: str):
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"must be {what}, got {text!r}") from None
