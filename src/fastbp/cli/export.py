"""`fastbp export`: converts the network of a model file to another format.

KNOWN lists the formats; those that a Model can write are offered. The encoding of a table is not exported, since it
reads text and the formats take only numbers; the command prints the inputs and outputs.
"""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from fastbp.cli import outputs
from fastbp.cli.options import command
from fastbp.cli.outputs import Output
from fastbp.data import encoding
from fastbp.data.encoding import Encoding, Text
from fastbp.files import model_file, safetensors
from fastbp.model import Model


def _to_onnx(net: Model, path: str, target) -> bool:
    labels = list(target.values) if isinstance(target, Text) and target.link == "softmax" else None
    net.to_onnx(path, labels=labels)
    return labels is not None


def _to_torch(net: Model, path: str, target) -> bool:
    module = net.to_torch()
    arrays = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    safetensors.write(path, arrays, {"format": "pt"})
    sys.stdout.write(f"{module}\n")
    return False


def _to_c(net: Any, path: str, target) -> bool:
    net.to_c(path)
    return False


class Format(NamedTuple):
    """A format: suffix and first bytes of its files, its description, and its writer.

    `write` returns whether the file computes probabilities.
    """

    ending: str
    words: str
    write: Callable[[Model, str, object], bool]
    known: Callable[[bytes], bool]


KNOWN = {
    "c": Format(".c", "one file in C99 with a function predict", _to_c, outputs.is_c),
    "onnx": Format(
        ".onnx", "a graph for the runtimes of ONNX, with labels and probabilities", _to_onnx, outputs.is_onnx
    ),
    "torch": Format(
        ".torch.safetensors",
        "a state dict for PyTorch; the module that it belongs to is printed",
        _to_torch,
        outputs.is_state_dict,
    ),
}
OUTPUTS = {  # meaning of the outputs, by the link function of the target
    "softmax": "logits, one a class",
    "logit": "logits of a sigmoid each",
    "score": "scores, one a class",
    "identity": "standardised too",
    "normal": "standardised too: the mean, and the logarithm of the variance",
    "log": "the logarithm of the number over its scale",
}
FORMATS = {name: form for name, form in KNOWN.items() if hasattr(Model, f"to_{name}")}


def add(commands) -> None:
    """Add the command to the parser."""
    examples = [f"fastbp export net.safetensors --to {name}" for name in FORMATS]
    text = "write the net of a model file in another format"
    add = command(commands, "export", export, text, *examples).add_argument
    add("model", metavar="net.safetensors", help="a model file")
    words = "; ".join(f"{name}: {form.words}" for name, form in FORMATS.items())
    add("--to", choices=sorted(FORMATS), required=True, help=words)
    add("--out", metavar="FILE", help="where to write it; beside the model file if left out")
    add("--force", action="store_true", help="write over a file of another kind")


def export(arguments: argparse.Namespace) -> None:
    """Write the net in another format; print its inputs, if a table was encoded for it."""
    form = FORMATS[arguments.to]
    path = arguments.out or os.path.splitext(arguments.model)[0] + form.ending
    wanted = Output("--out", path, f"what export --to {arguments.to} writes", form.known)
    outputs.check([wanted], [arguments.model], arguments.force)
    network, _, metadata = model_file.load(arguments.model)
    text = metadata.get(encoding.METADATA_KEY)
    columns = None if text is None else Encoding.from_json(text)
    probabilities = form.write(cast(Model, network), path, columns and columns.target)
    sys.stdout.write(f"written to {path}\n")
    if columns is not None:
        sys.stdout.write(_ends(columns, probabilities))


def _ends(columns, probabilities):
    meaning = "labels and probabilities" if probabilities else OUTPUTS[columns.target.link]
    return (
        f"it holds the net alone: its {columns.width} inputs are the columns of the table as `fastbp inspect` "
        "describes them (numbers less their mean, by their std; a 0 or 1 for each text), and its outputs are "
        f"{meaning}\n"
    )
