"""The commands that read a model file: `fastbp predict` and `inspect`."""

import argparse
import csv
import io
import sys

import numpy as np

from fastbp.cli import outputs, tables
from fastbp.cli.options import command
from fastbp.cli.outputs import Output
from fastbp.data import encoding
from fastbp.data.encoding import Encoding
from fastbp.errors import ModelFormatError
from fastbp.files import model_file
from fastbp.files.replacing import replacing


def add(commands) -> None:
    """Add the commands to the parser."""
    add = command(
        commands,
        "predict",
        predict,
        "predict the target for the rows of a CSV file",
        "fastbp predict net.safetensors new.csv",
        "fastbp predict net.safetensors new.csv --out predictions.csv",
    ).add_argument
    add("model", metavar="net.safetensors", help="a model that `fastbp train` saved")
    add("data", metavar="new.csv", help="a table with the columns the model was trained on")
    add("--out", metavar="FILE", help="where to write the predictions; standard output if left out")
    rule = "other goes on with a warning, error refuses; what the training was told if left out"
    add("--unknown", choices=encoding.UNKNOWN, help=f"what a text does that the training has not seen: {rule}")
    tables.add_options(add, trains=False)
    add("--force", action="store_true", help="write over a file that holds no predictions")

    text = "show what a model file holds"
    add = command(commands, "inspect", inspect, text, "fastbp inspect net.safetensors").add_argument
    add("model", metavar="net.safetensors", help="a model file")


def predict(arguments: argparse.Namespace) -> None:
    """Write a column `prediction` and, for classes, a column of probabilities for each."""
    if arguments.out is not None:
        out = Output("--out", arguments.out, "a file of predictions", outputs.is_predictions)
        outputs.check([out], [arguments.model, arguments.data], arguments.force)
    net, _, metadata = _load(arguments.model)
    if encoding.METADATA_KEY not in metadata:
        raise ModelFormatError(f"{arguments.model}: no table's encoding in it; `fastbp train` stores one")
    columns = Encoding.from_json(metadata[encoding.METADATA_KEY])
    if [node.width for node in (*net.inputs, *net.outputs)] != [columns.width, columns.target.width]:
        raise ModelFormatError(f"{arguments.model}: net and table's encoding do not belong together")
    table = tables.read(arguments.data, arguments, columns.na)
    results = net.predict(columns.encode(table, arguments.unknown))
    if not np.isfinite(results).all():
        raise ValueError(f"{arguments.model}: the net's outputs are not finite for all rows of {arguments.data}")
    text = _as_csv(columns.decode(results))
    if arguments.out is None:
        sys.stdout.write(text)
        return
    with replacing(arguments.out) as file:
        file.write(text.encode())


def _load(path):
    """Read a model file; the error distinguishes a file of another kind from a damaged one."""
    try:
        return model_file.load(path)
    except ModelFormatError as error:
        with open(path, "rb") as file:
            head = file.read(9)
        if head[8:9] == b"{":
            raise
        raise ModelFormatError(f"{path} is no safetensors file, as `fastbp train` writes one ({error})") from None


def _as_csv(columns):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(np.asarray(column).astype(str) for column in columns.values()), strict=True))
    return text.getvalue()


def inspect(arguments: argparse.Namespace) -> None:
    """Print a model's nodes, and the columns that it reads and predicts."""
    net, arrays, metadata = _load(arguments.model)
    sys.stdout.write(f"{net}\n")
    for name, array in arrays.items():
        sys.stdout.write(f"with {name}: {array.dtype} {array.shape}\n")
    if encoding.METADATA_KEY in metadata:
        columns = Encoding.from_json(metadata[encoding.METADATA_KEY])
        for column in columns.features:
            sys.stdout.write(f"reads {column.name}: {column.describe()}\n")
        sys.stdout.write(f"predicts {columns.target.name}: {columns.target.describe()}\n")
