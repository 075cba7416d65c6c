"""Changes of a file: of bytes, of numbers in text, of JSON, of the members of an archive, of a protobuf message."""

import copy
import io
import json
import random
import re
import struct
import zipfile
from typing import Any

EDGES = (0, 1, 2, 3, 7, 127, 128, 255, 256, 32767, 65535, 65536, 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53)
EDGES += (2**62, 2**63 - 1, 2**63, 2**64 - 1)
WORDS = [str(n) for n in EDGES] + [
    "-1",
    "-0",
    "1e309",
    "-1e309",
    "nan",
    "inf",
    "1e-320",
    "0.1",
    "9" * 400,
    "1e999999999",
]
WORDS += ["", " ", "\x00", "0x10", "1_000", "\u0663", "1,5", "--1", "+"]
VALUES: list[Any] = [
    None,
    True,
    False,
    "",
    "x",
    [],
    {},
    [[]],
    {"": None},
    -1,
    0.5,
    -0.0,
    1e308,
    1e-320,
    *EDGES,
    10**400,
]
VALUES += [float("nan"), float("inf"), "tanh", "float64", "linear", "\ud800", "a" * 300, [0] * 40, [-1, 2]]
FORMATS = ("<B", "<H", "<I", "<Q")


def changed_bytes(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Make one to four changes without knowledge of the format."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        kind = rng.randrange(8)
        at = rng.randrange(len(out) + 1)
        end = min(len(out), at + rng.choice((1, 2, 8, 64, 1000)))
        if kind == 0 and out:
            out[at - 1] ^= 1 << rng.randrange(8)
        elif kind == 1 and out:
            out[at - 1] = rng.choice((0, 1, 10, 34, 92, 127, 128, 255, rng.randrange(256)))
        elif kind == 2:
            number = rng.choice(EDGES)
            form = rng.choice(FORMATS)
            packed = struct.pack(form, number % 256 ** struct.calcsize(form))
            out[at : at + len(packed)] = packed
        elif kind == 3:
            del out[at:]
        elif kind == 4:
            del out[at:end]
        elif kind == 5:
            out[at:at] = out[at:end] * rng.choice((1, 2, 100))
        elif kind == 6:
            other = rng.choice(others)
            out = out[:at] + other[rng.randrange(len(other) + 1) :]
        else:
            out[at:at] = rng.choice(WORDS).encode()
    return bytes(out[: 2**20])


def changed_text(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Replace numbers of a text, else bytes."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data))
    if not found or rng.random() < 0.4:
        return changed_bytes(rng, data, others)
    for match in sorted(rng.sample(found, min(len(found), rng.choice((1, 1, 2, 3)))), key=lambda m: -m.start()):
        data = data[: match.start()] + rng.choice(WORDS).encode() + data[match.end() :]
    return data


def _places(value: Any) -> list[tuple[Any, Any]]:
    """All (container, key) of a JSON value."""
    found, todo = [], [value]
    while todo:
        each = todo.pop()
        keys = each if isinstance(each, dict) else range(len(each)) if isinstance(each, list) else ()
        for key in keys:
            found.append((each, key))
            todo.append(each[key])
    return found


def changed_value(rng: random.Random, value: Any) -> Any:
    """A JSON value with one to three of its parts replaced, exchanged, doubled, wrapped or taken away."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = _places(value)
        if not places:
            return rng.choice(VALUES)
        container, key = rng.choice(places)
        other, name = rng.choice(places)
        kind = rng.randrange(7)
        if kind <= 2:
            container[key] = copy.deepcopy(rng.choice(VALUES))
        elif kind == 3:
            container[key] = copy.deepcopy(other[name])
        elif kind == 4:
            del container[key]
        elif kind == 5 and isinstance(container, list):
            container.insert(rng.randrange(len(container) + 1), copy.deepcopy(container[key]))
        elif kind == 6 and rng.random() < 0.3:
            for _ in range(rng.choice((1, 45, 60, 400))):
                container[key] = [container[key]]
        elif isinstance(container, dict):
            container[rng.choice(("seed", "units", "name", "x"))] = copy.deepcopy(container[key])
    return value


def changed_json(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    if rng.random() < 0.15:
        return changed_text(rng, data, others)
    return json.dumps(changed_value(rng, json.loads(data))).encode()


def changed_safetensors(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Change the header's JSON, or a JSON in its metadata, or bytes."""
    if rng.random() < 0.3:
        return changed_bytes(rng, data, others)
    length = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    inner = [key for key, text in header.get("__metadata__", {}).items() if text[:1] in "{["]
    if inner and rng.random() < 0.8:
        key = rng.choice(inner)
        header["__metadata__"][key] = json.dumps(changed_value(rng, json.loads(header["__metadata__"][key])))
    else:
        header = changed_value(rng, header)
    text = json.dumps(header).encode()
    if rng.random() < 0.05 and rest:
        rest = changed_bytes(rng, rest, others)
    return len(text).to_bytes(8, "little") + text + rest


def changed_archive(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Change one member of a zip archive, or bytes."""
    if rng.random() < 0.2:
        return changed_bytes(rng, data, others)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice((*members, "config.json", "config.json"))
    change = changed_json if name.endswith(".json") and rng.random() < 0.9 else changed_bytes
    members[name] = change(rng, members[name], others)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return out.getvalue()


def changed_onnx(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Change fields of an ONNX model, or bytes."""
    import onnx

    if rng.random() < 0.3:
        return changed_bytes(rng, data, others)
    model = onnx.ModelProto.FromString(data)
    for _ in range(rng.choice((1, 1, 2))):
        _change_graph(rng, model.graph)
    if rng.random() < 0.1:
        model.opset_import[0].version = rng.choice((0, 1, 7, 9, 13, 18, 2**31))
    return model.SerializeToString()


KINDS = (
    "Gemm MatMul Add Sub Mul Div Pow Relu Softmax Reshape Transpose Split Concat Gather Slice Expand Where Cast Tile "
)
KINDS += (
    "ConstantOfShape Shape Range Squeeze Unsqueeze Flatten ReduceSum ReduceMean LayerNormalization Clip Pad Identity"
)


def _change_graph(rng: random.Random, graph: Any) -> None:
    node = rng.choice(graph.node)
    kind = rng.randrange(9)
    edge = rng.choice((-1, -2, -(2**63), *EDGES)) % 2**63
    names = [name for each in graph.node for name in (*each.input, *each.output)] or ["x"]
    if kind == 0:
        node.op_type = rng.choice(KINDS.split())
    elif kind == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice((*names, ""))
    elif kind == 2 and node.output:
        node.output[rng.randrange(len(node.output))] = rng.choice((*names, ""))
    elif kind == 3 and node.attribute:
        attribute = rng.choice(node.attribute)
        if rng.random() < 0.3:
            attribute.type = rng.randrange(12)
        attribute.i, attribute.f = edge, rng.choice((0.0, -1.0, 1e38, float("nan"), float("inf")))
        if attribute.ints:
            attribute.ints[0] = edge
    elif kind == 4 and graph.initializer:
        tensor = rng.choice(graph.initializer)
        choice = rng.randrange(4)
        if choice == 0 and tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = edge
        elif choice == 1:
            tensor.data_type = rng.randrange(30)
        elif choice == 2:
            tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
        else:
            tensor.data_location = 1
    elif kind == 5:
        value = rng.choice((*graph.input, *graph.output))
        dims = value.type.tensor_type.shape.dim
        if dims:
            dims[rng.randrange(len(dims))].dim_value = edge
    elif kind == 6:
        graph.node.add().CopyFrom(node)
    elif kind == 7:
        graph.node.remove(node)
    else:
        new = node.attribute.add()
        new.name, new.type, new.i = rng.choice(("axis", "alpha", "transB", "to", "keepdims", "num_outputs")), 2, edge
