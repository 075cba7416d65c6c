"""`from_fann`: reads networks in the format of `fann_save`, versions FLO_2.0 and FLO_2.1.

A file lists neurons and connections, from which the layers are reconstructed: all neurons of a FANN layer become one
dense layer, whose W is 0 where there is no connection. The steepness of an activation is a factor of W. Sizes that
a file claims are compared with its contents before anything is allocated.

The format: https://github.com/libfann/fann/blob/master/src/fann_io.c
"""

import os
import re
from typing import NamedTuple

import numpy as np

from fastbp._typing import DTypeLike
from fastbp.activations import ActivationFunction
from fastbp.errors import ModelFormatError
from fastbp.layers.dense import Dense
from fastbp.layers.merge import Concatenate
from fastbp.model import Model
from fastbp.readers import comparison
from fastbp.readers.draft import Draft, unsupported

FORM = "FANN"
VERSIONS = ("FANN_FLO_2.0", "FANN_FLO_2.1")
SPARE = 2**22  # columns and weights that a small file may describe
SHARE = 4  # and this many more for each byte
# Parameters of training, and of input scaling, which FANN applies in separate calls.
HARMLESS = ("cascade_", "rprop_", "quickprop_", "sarprop_", "scale_", "train", "learning_")
HARMLESS += ("bit_fail_limit", "connection_rate")
USED = ("network_type", "layer_sizes", "neurons", "connections", "num_layers")


class Row(NamedTuple):
    """An activation of FANN, for a sum v: scale f(factor v) + shift."""

    name: str
    activation: str
    parameters: tuple[float, ...] = ()
    factor: float = 1.0
    scale: float = 1.0
    shift: float = 0.0


# In the order of their numbers in the file. A stepwise function approximates sigmoid or tanh: it differs by at most
# 0.04 (sigmoid) and 0.07 (symmetric), and its jumps have no gradient.
ACTIVATIONS = {
    0: Row("LINEAR", "linear"),
    3: Row("SIGMOID", "sigmoid", factor=2.0),
    4: Row("SIGMOID_STEPWISE", "sigmoid", factor=2.0),
    5: Row("SIGMOID_SYMMETRIC", "tanh"),
    6: Row("SIGMOID_SYMMETRIC_STEPWISE", "tanh"),
    7: Row("GAUSSIAN", "gaussian"),
    8: Row("GAUSSIAN_SYMMETRIC", "gaussian", scale=2.0, shift=-1.0),
    10: Row("ELLIOT", "elliot"),
    11: Row("ELLIOT_SYMMETRIC", "softsign"),
    12: Row("LINEAR_PIECE", "hard_tanh", (0.0, 1.0)),
    13: Row("LINEAR_PIECE_SYMMETRIC", "hard_tanh", (-1.0, 1.0)),
    14: Row("SIN_SYMMETRIC", "sin"),
    15: Row("COS_SYMMETRIC", "cos"),
    16: Row("SIN", "sin", scale=0.5, shift=0.5),
    17: Row("COS", "cos", scale=0.5, shift=0.5),
}


class _Neuron(NamedTuple):
    inputs: int
    activation: int
    steepness: float


class _File(NamedTuple):
    sizes: list[int]  # of the layers, including bias neurons
    shortcut: bool
    neurons: list[_Neuron]
    sources: np.ndarray  # the neuron at the other end of each connection
    weights: np.ndarray


def from_fann(path: str | os.PathLike[str], *, dtype: DTypeLike | None = "float32", check: bool = True) -> Model:
    """The model in a .net file of FANN, the Fast Artificial Neural Network library.

    Parameters
    ----------
    path : path
        A text file of version FANN_FLO_2.0 or 2.1; layered networks and those with shortcuts, whole or sparse.
    dtype : {"float32", "float64"}, default="float32"
        The dtype of the model.
    check : bool, default=True
        Whether the model is compared, on a few random rows, with the file's neurons computed one by one as FANN does.

    Returns
    -------
    Model
        A Sequential for a layered network. Settings for training, and for the scaling of inputs, which FANN does in
        separate calls, are not read.

    Raises
    ------
    ModelFormatError
        If the file is damaged or not a network of FANN, or describes more than 2**22 numbers plus 4 for each byte.
    ValueError
        If an activation has no counterpart (the thresholds and GAUSSIAN_STEPWISE), or the file has an unknown field.

    See Also
    --------
    datasets.read_fann : Reads FANN's data files.
    from_keras, from_onnx, from_sklearn, from_torch : Readers of other formats.

    Notes
    -----
    The stepwise activations of FANN are read as the functions that they approximate: sigmoid and tanh. FANN clips the
    sum in a neuron to -150 ... 150, which a net does not.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "sum.net")
    >>> lines = ["FANN_FLO_2.1", "network_type=0", "layer_sizes=3 2", "neurons=(0, 0, 0) (0, 0, 0) (0, 0, 0) (3, 0, 1)"
    ...          " (0, 0, 0)", "connections=(0, 1) (1, 1) (2, 0.5)"]
    >>> _ = path.write_text(chr(10).join(lines))
    >>> from_fann(path).predict([[1.0, 2.0]])
    array([[3.5]], dtype=float32)
    """
    where = os.fspath(path)
    with open(path, encoding="ascii", errors="replace") as file:
        text = file.read()
    try:
        file = _parsed(text)
        net = _model(file, dtype, SPARE + SHARE * len(text))
    except ModelFormatError as error:
        raise ModelFormatError(f"{where}: {error}") from None
    except (ArithmeticError, IndexError, RecursionError) as error:
        raise ModelFormatError(f"{where} is no sound network of FANN: {error}") from error
    if check:
        comparison.compare(net, lambda X: _neuron_by_neuron(file, X), FORM, net.dtype.name)
    return net


def _neuron_by_neuron(file: _File, X: np.ndarray) -> np.ndarray:
    """The outputs of `fann_run` without its limit of sums: a value for each neuron, 1 for bias neurons."""
    values = np.ones((len(file.neurons), len(X)))
    inputs = file.sizes[0] - 1
    values[:inputs] = X.T
    start = 0
    for number, neuron in enumerate(file.neurons):
        part = slice(start, start := start + neuron.inputs)
        if number > inputs and neuron.inputs:
            row = ACTIVATIONS[neuron.activation]
            v = row.factor * neuron.steepness * (file.weights[part] @ values[file.sources[part]])[None]
            y = v if row.activation == "linear" else ActivationFunction(row.activation, *row.parameters)(v)
            values[number] = row.scale * y[0] + row.shift
    outputs = file.sizes[-1] - (0 if file.shortcut else 1)
    return values[len(values) - file.sizes[-1] :][:outputs].T


def _parsed(text: str) -> _File:
    version, _, rest = text.partition("\n")
    if version.strip() not in VERSIONS:
        raise ModelFormatError(f"it begins with {version[:40]!r}, known: {', '.join(VERSIONS)}")
    fields = dict(line.split("=", 1) for line in rest.splitlines() if "=" in line)
    for field in fields:
        name = field.split(" ")[0]
        if name not in USED and not name.startswith(HARMLESS):
            raise unsupported(f"field {name[:40]!r}", FORM, [*USED, *HARMLESS])
    if _field(fields, "network_type").strip() not in ("0", "1"):
        raise unsupported(
            f"network_type {_field(fields, 'network_type')[:40]!r}", FORM, ("0 (layers)", "1 (shortcuts)")
        )
    sizes = [_number(word, int) for word in _field(fields, "layer_sizes").split()]
    neurons = [
        _Neuron(_number(inputs, int), _number(activation, int), _number(steepness, float))
        for inputs, activation, steepness in _tuples(_field(fields, "neurons"), 3)
    ]
    found = _tuples(_field(fields, "connections"), 2)
    sources = np.array([_number(source, int) for source, _ in found], dtype=np.int64)
    weights = np.array([_number(weight, float) for _, weight in found], dtype=np.float64)
    parsed = _File(sizes, _field(fields, "network_type").strip() == "1", neurons, sources, weights)
    _check(parsed)
    return parsed


def _field(fields: dict[str, str], name: str) -> str:
    for key, value in fields.items():
        if key.split(" ")[0] == name:
            return value
    raise ModelFormatError(f"it has no {name}")


def _tuples(text: str, size: int) -> list[tuple[str, ...]]:
    groups = re.findall(r"\(([^()]*)\)", text)
    found = [tuple(part.strip() for part in group.split(",")) for group in groups]
    if any(len(group) != size for group in found) or re.sub(r"\([^()]*\)", "", text).strip():
        raise ModelFormatError(f"a list of groups of {size} numbers is broken")
    return found


def _number(word: str, kind: type):
    try:
        value = kind(word)
    except ValueError:
        raise ModelFormatError(f"{word[:40]!r} is not a number") from None
    if not (0 <= value < 2**62 if kind is int else np.isfinite(value)):
        raise ModelFormatError(f"{word[:40]} is out of range")
    return value


def _check(file: _File) -> None:
    if len(file.sizes) < 2 or min(file.sizes) < 1:
        raise ModelFormatError("it has fewer than two layers, or an empty one")
    if sum(file.sizes) != len(file.neurons):
        raise ModelFormatError(f"its layers have {sum(file.sizes)} neurons, {len(file.neurons)} are listed")
    wanted = sum(neuron.inputs for neuron in file.neurons)
    if wanted != len(file.weights):
        raise ModelFormatError(f"its neurons have {wanted} connections, {len(file.weights)} are listed")
    if len(file.sources) and file.sources.max() >= len(file.neurons):
        raise ModelFormatError(f"a connection comes from neuron {file.sources.max()}, there are {len(file.neurons)}")


def _model(file: _File, dtype, most: int) -> Model:
    ends = np.cumsum([0, *file.sizes])
    first_connection = np.cumsum([0, *(neuron.inputs for neuron in file.neurons)])
    biases = {int(ends[k + 1]) - 1 for k in range(len(file.sizes)) if k == 0 or not file.shortcut}
    draft = Draft(most)
    columns: dict[int, tuple[int, int]] = {}  # neuron: (layer, column)
    steps: list[int] = []
    for layer, size in enumerate(file.sizes):
        numbers = [k for k in range(ends[layer], ends[layer] + size) if k not in biases]
        if not numbers:
            raise ModelFormatError(f"layer {layer} has no neuron but the one for biases")
        if layer:
            weights = [slice(first_connection[k], first_connection[k + 1]) for k in numbers]
            steps.append(_layer(draft, steps, file, numbers, weights, columns, biases))
        else:
            steps.append(draft.input(len(numbers)))
        columns.update({number: (layer, place) for place, number in enumerate(numbers)})
    return draft.model([steps[-1]], dtype)


def _layer(draft: Draft, steps: list[int], file: _File, numbers, connections, columns: dict, biases: set) -> int:
    """Add a dense layer of the neurons with these numbers, on the layers to which they are connected."""
    sources = {int(source) for part in connections for source in file.sources[part]}
    sources = {source for source in sources if source not in biases}
    if any(source not in columns for source in sources):
        raise ModelFormatError(f"a connection leads from layer {len(steps)} or a later one to layer {len(steps)}")
    used = sorted({columns[source][0] for source in sources}) or [len(steps) - 1]
    starts = dict(zip(used, np.cumsum([0, *(draft.width(steps[layer]) for layer in used)]).tolist(), strict=False))
    rows = sum(draft.width(steps[layer]) for layer in used)
    draft.spend(rows * len(numbers))  # before memory is allocated for them
    W, b = np.zeros((rows, len(numbers))), np.zeros(len(numbers))
    for unit, part in enumerate(connections):
        for source, weight in zip(file.sources[part].tolist(), file.weights[part].tolist(), strict=True):
            if source in biases:
                b[unit] += weight
            else:
                W[starts[columns[source][0]] + columns[source][1], unit] += weight
    found = [_row(file.neurons[number]) for number in numbers]
    factors = [row.factor * file.neurons[k].steepness for row, k in zip(found, numbers, strict=True)]
    parents = [steps[layer] for layer in used]
    x = parents[0] if len(parents) == 1 else draft.add(Concatenate(), *parents)
    return _activated(draft, draft.add(Dense(len(numbers)), x, W=W * np.array(factors), b=b * np.array(factors)), found)


def _row(neuron: _Neuron) -> Row:
    row = ACTIVATIONS.get(neuron.activation)
    if row is None:
        known = [row.name for row in ACTIVATIONS.values()]
        raise unsupported(f"a neuron with activation function {neuron.activation}", FORM, known)
    return row


def _activated(draft: Draft, z: int, rows: list[Row]) -> int:
    """The activations of a layer, whose neurons may have different ones."""
    starts = [k for k, row in enumerate(rows) if k == 0 or row != rows[k - 1]]
    parts = []
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        row = rows[start]
        y = draft.activate(draft.columns(z, range(start, stop)), row.activation, *row.parameters)
        parts.append(y if (row.scale, row.shift) == (1.0, 0.0) else draft.affine(y, row.scale, row.shift))
    return parts[0] if len(parts) == 1 else draft.add(Concatenate(), *parts)
