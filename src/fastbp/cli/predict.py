"""The commands that read a model file: `fastbp predict` and `inspect`."""

import argparse
import csv
import io
import sys

import numpy as np

from fastbp.cli.options import command
from fastbp.data import csv_file, encoding
from fastbp.data.encoding import Encoding
from fastbp.errors import ModelFormatError
from fastbp.files import model_file
from fastbp.files.replacing import replacing


def add(commands) -> None:
    """Add the commands to the parser's."""
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

    text = "show what a model file holds"
    add = command(commands, "inspect", inspect, text, "fastbp inspect net.safetensors").add_argument
    add("model", metavar="net.safetensors", help="a model file")


def predict(arguments: argparse.Namespace) -> None:
    """Write a column `prediction` and, for classes, a column of probabilities each."""
    net, _, metadata = model_file.load(arguments.model)
    if encoding.METADATA_KEY not in metadata:
        raise ModelFormatError(f"{arguments.model}: no table's encoding in it; `fastbp train` stores one")
    columns = Encoding.from_json(metadata[encoding.METADATA_KEY])
    if [node.width for node in (*net.inputs, *net.outputs)] != [columns.width, columns.target.width]:
        raise ModelFormatError(f"{arguments.model}: net and table's encoding do not belong together")
    outputs = net.predict(columns.encode(csv_file.read(arguments.data)))
    if not np.isfinite(outputs).all():
        raise ValueError(f"{arguments.model}: the net's outputs are not finite for all rows of {arguments.data}")
    text = _as_csv(columns.decode(outputs))
    if arguments.out is None:
        sys.stdout.write(text)
        return
    with replacing(arguments.out) as file:
        file.write(text.encode())


def _as_csv(columns):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(np.asarray(column).astype(str) for column in columns.values()), strict=True))
    return text.getvalue()


def inspect(arguments: argparse.Namespace) -> None:
    """Print a model's nodes, and the columns it reads and predicts."""
    net, arrays, metadata = model_file.load(arguments.model)
    sys.stdout.write(f"{net}\n")
    for name, array in arrays.items():
        sys.stdout.write(f"with {name}: {array.dtype} {array.shape}\n")
    if encoding.METADATA_KEY in metadata:
        columns = Encoding.from_json(metadata[encoding.METADATA_KEY])
        for column in columns.features:
            sys.stdout.write(f"reads {column.name}: {column.describe()}\n")
        sys.stdout.write(f"predicts {columns.target.name}: {columns.target.describe()}\n")
