"""The commands that read a model file: `fastbp predict`, `inspect`, `export`.

What `export` can write is what a Model has a `to_...` for, so there is no list of formats to keep beside that.
"""

import argparse
import csv
import io
import os
import sys
from typing import cast

import numpy as np

from fastbp import encoding, safetensors, serialization, tables
from fastbp.cli_options import check_writable, command
from fastbp.encoding import Encoding
from fastbp.errors import ModelFormatError
from fastbp.model import Model
from fastbp.safetensors import replacing

KNOWN = {
    "c": (".c", "one file in C99 with a function predict"),
    "onnx": (".onnx", "a graph of ONNX, for its runtimes"),
    "torch": (".torch.safetensors", "a state dict of PyTorch; prints the module that it belongs to"),
}
FORMATS = {name: kind for name, kind in KNOWN.items() if hasattr(Model, f"to_{name}")}


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

    examples = [f"fastbp export net.safetensors --to {name}" for name in FORMATS]
    text = "write the net of a model file in another format"
    add = command(commands, "export", export, text, *examples).add_argument
    add("model", metavar="net.safetensors", help="a model file")
    words = "; ".join(f"{name}: {words}" for name, (_, words) in FORMATS.items())
    add("--to", choices=sorted(FORMATS), required=True, help=words)
    add("--out", metavar="FILE", help="where to write it; beside the model file if left out")


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


def _as_csv(columns):
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


def export(arguments: argparse.Namespace) -> None:
    """Write the net in another format; say what goes in, where a table's encoding stands before it."""
    network, _, metadata = serialization.load(arguments.model)
    net = cast(Model, network)
    path = arguments.out or os.path.splitext(arguments.model)[0] + FORMATS[arguments.to][0]
    check_writable(path)
    if arguments.to == "torch":
        module = net.to_torch()
        arrays = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
        safetensors.write(path, arrays, {"format": "pt"})
        sys.stdout.write(f"{module}\n")
    else:
        getattr(net, f"to_{arguments.to}")(path)
    sys.stdout.write(f"written to {path}\n")
    if encoding.METADATA_KEY in metadata:
        columns = Encoding.from_json(metadata[encoding.METADATA_KEY])
        sys.stdout.write(
            f"it holds the net alone: its {columns.width} inputs are the columns of the table as `fastbp inspect` "
            "describes them (numbers less their mean, by their std; a 0 or 1 for each text), and its outputs are "
            f"{'logits, one a class' if columns.task == 'classification' else 'standardised too'}\n"
        )
