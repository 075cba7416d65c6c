"""Draft: a model while it is read from another format, as steps; converted to a Model when complete.

An activation directly after a dense layer becomes part of it, consecutive affine maps are merged, and a chain becomes
a Sequential. A model with an unsupported part raises before anything is created. Rejected: creating nodes while
reading, which cannot be undone.
"""

import math

import numpy as np

from fastbp.activations import ActivationFunction
from fastbp.errors import ModelFormatError
from fastbp.inputs import checks
from fastbp.layers.dense import Activation, Dense
from fastbp.layers.layer import Layer
from fastbp.layers.merge import Concatenate, Rescaling, Slice
from fastbp.layers.node import Input, Node
from fastbp.layers.normalization import BatchNorm
from fastbp.model import Model, Sequential
from fastbp.network.network import Network


def unsupported(what: str, form: str, known, why: str = "") -> ValueError:
    """The error for a part of a model that fastbp lacks: it lists what is known, or gives the reason."""
    reason = f": {why}" if why else f"; known: {', '.join(sorted(known))}"
    return ValueError(f"{what} cannot be read from {form}{reason}")


def _slice(columns: list[int], name: str | None = None) -> Slice:
    step = columns[1] - columns[0] if len(columns) > 1 else 1
    stop = columns[-1] + step
    return Slice(columns[0], stop if stop >= 0 else None, None if step == 1 else step, name=name)


class _Part:
    """A node of a draft."""

    map: tuple | None = None  # scale, shift and their dtype, of a step that `affine` made

    def __init__(self, layer, parents, width, name=None):
        self.layer, self.parents, self.width, self.name = layer, parents, width, name


class Draft:
    """A model being read: numbered steps, each applied to earlier ones, and the arrays of its layers."""

    def __init__(self, most: int | None = None):
        self._most, self._spent = most, 0
        self._parts: list[_Part] = []
        self._arrays: dict[Layer, dict[str, np.ndarray]] = {}
        self._dtypes: set[np.dtype] = set()

    def spend(self, numbers: int) -> None:
        """Count columns or array elements that a file creates; raises above the limit."""
        self._spent += numbers
        if self._most is not None and self._spent > self._most:
            raise ModelFormatError(f"it describes more than {self._most} numbers, out of proportion to its size")

    def input(self, width: int, name: str | None = None) -> int:
        """The number of a new input."""
        self.spend(checks.positive_int(width, "the width of an input"))
        self._parts.append(_Part(None, (), checks.positive_int(width, "the width of an input"), name))
        return len(self._parts) - 1

    def add(self, layer: Layer, *parents: int, **arrays) -> int:
        """Add a layer applied to steps, with its parameters if it is new, and return the step's number."""
        widths = [self._parts[k].width for k in parents]
        self.spend(layer.output_width(*widths))
        shapes = layer.shapes(*widths)
        if layer not in self._arrays:
            self.spend(sum(math.prod(shape) for shape in shapes.values()))
            given = {name: np.asarray(arrays[name]) for name in shapes}
            self._dtypes |= {array.dtype for array in given.values()}
            self._arrays[layer] = {
                name: checks.as_parameter(array, shapes[name], f"{name} of {layer!r}") for name, array in given.items()
            }
        self._parts.append(_Part(layer, parents, layer.output_width(*widths)))
        return len(self._parts) - 1

    def activate(self, number: int, activation: str, *parameters: float, name: str | None = None) -> int:
        """Add an activation of a step, with its default parameters if none are given, and return the number."""
        if activation == "linear":
            return number
        return self.add(Activation(ActivationFunction(activation, *parameters), name=name), number)

    def affine(self, number: int, scale, shift, name: str | None = None, dtype=None) -> int:
        """Add scale X + shift, by numbers or by one for each column, in a dtype, and return the step's number.

        Numbers that differ between columns become gamma and beta of a frozen BatchNorm; consecutive affine maps are
        merged.
        """
        width = self.width(number)
        claims = [value.dtype for value in (scale, shift) if isinstance(value, np.ndarray)]
        dtype = dtype or (np.result_type(*claims) if claims else None)  # plain numbers have no dtype
        scale, shift = (np.broadcast_to(np.asarray(value, np.float64), (width,)) for value in (scale, shift))
        part = self._parts[number]
        if part.map is not None:
            inner_scale, inner_shift, inner = part.map
            scale, shift, dtype = scale * inner_scale, scale * inner_shift + shift, dtype or inner
            return self.affine(part.parents[0], scale, shift, name, dtype)
        if (scale == scale[0]).all() and (shift == shift[0]).all():
            made = self.add(Rescaling(float(scale[0]), float(shift[0]), name=name), number)
        else:
            layer = BatchNorm(eps=0.0, trainable=False, name=name)
            zeros = np.zeros(width, dtype or np.float32)
            made = self.add(layer, number, gamma=scale, beta=shift, mean=zeros, variance=zeros + 1)
        self._parts[made].map = (scale, shift, dtype)
        return made

    def columns(self, number: int, columns, name: str | None = None) -> int:
        """Add a selection of columns of a step, one slice or several joined, and return the number."""
        columns = list(columns)
        if columns == list(range(self.width(number))):
            return number
        pieces = [columns[:1]]
        for column in columns[1:]:
            stride = column - pieces[-1][-1]
            if stride and (len(pieces[-1]) < 2 or stride == pieces[-1][1] - pieces[-1][0]):
                pieces[-1].append(column)
            else:
                pieces.append([column])
        if len(pieces) == 1:
            return self.add(_slice(columns, name), number)
        return self.add(Concatenate(name=name), *(self.add(_slice(piece), number) for piece in pieces))

    def width(self, number: int) -> int:
        """The number of columns of a step."""
        return self._parts[number].width

    def parents(self, number: int) -> tuple[int, ...]:
        """The steps to which the layer of a step is applied."""
        return self._parts[number].parents

    def parameters(self, number: int) -> dict[str, np.ndarray]:
        """The arrays of the layer of a step."""
        return self._arrays.get(self._parts[number].layer, {})

    def layer(self, number: int) -> Layer:
        """The layer of a step."""
        return self._parts[number].layer

    def model(self, outputs: list[int], dtype=None, name: str | None = None) -> Model:
        """Build the model from all inputs to these outputs: in dtype, or float64 if all arrays are, else float32."""
        if dtype is None:
            dtype = "float64" if self._dtypes == {np.dtype("float64")} else "float32"
        needed = self._needed(outputs)
        same = self._fuse(outputs, needed)
        nodes: dict[int, Node] = {}
        inputs = []
        for k, part in enumerate(self._parts):
            if part.layer is None:
                nodes[k] = entry = Input(part.width, part.name)
                inputs.append(entry)
            elif k in needed and k not in same:
                layer = part.layer.starting_from(self._arrays[part.layer])
                nodes[k] = layer(*(nodes[same.get(parent, parent)] for parent in part.parents))
        return _model(inputs, [nodes[same.get(k, k)] for k in outputs], dtype, name)

    def _fuse(self, outputs: list[int], needed: set[int]) -> dict[int, int]:
        """Merge activations into linear layers that nothing else reads; return the new step for each old one."""
        readers: dict[int, list[int]] = {k: [] for k in needed}
        uses: dict[Layer, list[int]] = {}
        for k in sorted(needed):
            uses.setdefault(self._parts[k].layer, []).append(k)
            for parent in self._parts[k].parents:
                readers[parent].append(k)
        same: dict[int, int] = {}
        for layer, numbers in uses.items():
            if type(layer) is not Dense or layer.activation != "linear" or set(numbers) & set(outputs):
                continue
            after = [readers[k][0] for k in numbers if len(readers[k]) == 1]
            settings = [_activation(self._parts[k].layer) for k in after]
            if len(after) < len(numbers) or settings[0] is None or settings != settings[:1] * len(settings):
                continue
            fused = Dense(**{**layer.settings(), **settings[0]})
            self._arrays[fused] = self._arrays[layer]
            for k, reader in zip(numbers, after, strict=True):
                self._parts[k].layer = fused
                same[reader] = k
        return same

    def _needed(self, outputs: list[int]) -> set[int]:
        """The steps from which the outputs are computed."""
        needed: set[int] = set()
        pending = list(outputs)
        while pending:
            k = pending.pop()
            if k not in needed:
                needed.add(k)
                pending.extend(self._parts[k].parents)
        return needed


def _activation(layer: Layer | None) -> dict | None:
    """The settings by which two Activations are equal; None for other layers."""
    if type(layer) is not Activation:
        return None
    return {key: value for key, value in layer.settings().items() if key != "name"}


def _model(inputs: list[Input], outputs: list[Node], dtype, name) -> Model:
    """A Sequential for a chain, else a Model."""
    chain: list[Node] = [outputs[0]]
    while len(chain[-1].parents) == 1:
        chain.append(*chain[-1].parents)
    if len(inputs) == len(outputs) == 1 and chain[-1] is inputs[0] and len(chain) > 1:
        net = Sequential.__new__(Sequential)
        Network.__init__(net, inputs, outputs, dtype=dtype, name=name)
        return net
    return Model(inputs, outputs, dtype=dtype, name=name)
