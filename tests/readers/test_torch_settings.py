"""Every setting of every module and function of PyTorch that is read, one by one away from its default.

Either the net gives what the module gives, or the setting is refused by its name. PyTorch computes what is right.
"""

import inspect
import operator
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn, F, prune = torch.nn, torch.nn.functional, pytest.importorskip("torch.nn.utils.prune")
modules = pytest.importorskip("fastbp.readers.torch.modules")
from torch_modules import BATCH, WIDTH, Of, agrees_or_is_refused  # noqa: E402

REQUIRED = {
    "Linear": {"in_features": WIDTH, "out_features": 3},
    "BatchNorm1d": {"num_features": WIDTH},
    "LayerNorm": {"normalized_shape": WIDTH},
    "RMSNorm": {"normalized_shape": WIDTH},
    "Embedding": {"num_embeddings": 7, "embedding_dim": 3},
    "Threshold": {"threshold": 0.2, "value": -0.3},
    "Softmax": {"dim": -1},
    "LogSoftmax": {"dim": -1},
    "Softmin": {"dim": -1},
}
# Values that are no defaults; of other settings, those by the type of the default.
VALUES = {
    "device": ["cpu"],
    "dtype": [torch.float64, torch.float16, torch.bfloat16],
    "eps": [1e-1],
    "momentum": [0.4, None],
    "padding_idx": [2],
    "max_norm": [0.1],
    "norm_type": [1.0],
    "_weight": [torch.full((7, 3), 0.3)],
    "num_parameters": [WIDTH],
    "start_dim": [0, -1],
    "end_dim": [1],
    "dim": [0, 1, None],
    "approximate": ["tanh"],
    "min_value": [-0.3],
    "max_value": [0.7],
    "lower": [-0.2, 0.0],
    "upper": [0.9],
    "threshold": [1.0, 10, 25.0, -0.4],
    "num_embeddings": [9],
    "normalized_shape": [(WIDTH,), [WIDTH]],
    "in_features": [WIDTH],
    "num_features": [WIDTH],
    "bias": [False],
}


def values(name: str, default) -> list:
    if name in VALUES:
        return VALUES[name]
    if isinstance(default, bool):
        return [not default]
    if isinstance(default, (int, float)):
        return [default + 0.25 if isinstance(default, float) else default + 1]
    raise AssertionError(f"no values for setting {name!r} of default {default!r}")


def sweep() -> list[tuple[str, str, object]]:
    found = []
    for kind in dict.fromkeys(modules.known()):
        for name, parameter in inspect.signature(getattr(nn, kind)).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD or parameter.kind is parameter.VAR_POSITIONAL:
                continue
            default = REQUIRED.get(kind, {}).get(name, parameter.default)
            found += [(kind, name, value) for value in values(name, default)]
    return found


@pytest.mark.parametrize(("kind", "name", "value"), sweep(), ids=str)
def test_each_setting_of_each_module(kind: str, name: str, value: object) -> None:
    settings = {**REQUIRED.get(kind, {}), name: value}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated names of settings
        module = getattr(nn, kind)(**settings)
    if kind == "Embedding":
        agrees_or_is_refused(nn.Sequential(module, nn.Flatten()), name, X=BATCH[:, :2], whole=True)
    else:
        agrees_or_is_refused(nn.Sequential(module), name)


def test_the_sweep_finds_what_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "HARMLESS", (*modules.HARMLESS, "threshold"))
    monkeypatch.setattr(modules, "_check_fixed", lambda module, row: None)
    with pytest.raises((AssertionError, ValueError)):  # the numbers, or what the reader's own check says
        test_each_setting_of_each_module("Softplus", "threshold", 1.0)


ACTIVATIONS = {
    "relu": {"inplace": True},
    "leaky_relu": {"negative_slope": 0.3, "inplace": True},
    "elu": {"alpha": 0.7, "inplace": True},
    "celu": {"alpha": 0.7, "inplace": True},
    "selu": {"inplace": True},
    "rrelu": {"lower": 0.2, "upper": 0.6, "training": True, "inplace": True},
    "gelu": {"approximate": "tanh"},
    "softplus": {"beta": 2.0, "threshold": 1.0},
    "softmax": {"dim": 0, "dtype": torch.float16},
    "log_softmax": {"dim": 0, "dtype": torch.float64},
    "softmin": {"dim": 0, "dtype": torch.bfloat16},
    "hardtanh": {"min_val": -0.3, "max_val": 0.4, "inplace": True},
    "relu6": {"inplace": True},
    "threshold": {"inplace": True},
    "hardshrink": {"lambd": 0.3},
    "softshrink": {"lambd": 0.3},
    "hardsigmoid": {"inplace": True},
    "hardswish": {"inplace": True},
    "silu": {"inplace": True},
    "mish": {"inplace": True},
    "dropout": {"p": 0.3, "inplace": True},
    "layer_norm": {"weight": torch.full((WIDTH,), 2.0), "bias": torch.ones(WIDTH), "eps": 0.1},
}
ALWAYS = {"softmax": {"dim": 1}, "log_softmax": {"dim": 1}, "softmin": {"dim": 1}, "dropout": {"training": False}}
ALWAYS |= {"threshold": {"threshold": 0.1, "value": -0.2}, "layer_norm": {"normalized_shape": (WIDTH,)}}


@pytest.mark.parametrize(("name", "setting"), [(name, key) for name, all_ in ACTIVATIONS.items() for key in all_])
def test_each_argument_of_each_function(name: str, setting: str) -> None:
    given = {**ALWAYS.get(name, {}), setting: ACTIVATIONS[name][setting]}
    agrees_or_is_refused(Of(lambda h: getattr(F, name)(h, **given) + h), setting)


def test_a_function_has_no_argument_that_is_not_tried() -> None:
    for name, tried in ACTIVATIONS.items():
        try:
            parameters = list(inspect.signature(getattr(F, name)).parameters)[1:]
        except ValueError:  # of C
            continue
        assert set(parameters) - {"_stacklevel"} <= set(tried) | set(ALWAYS.get(name, {}))


MORE = {
    "alpha": lambda h: torch.add(h, h, alpha=2),
    "alpha ": lambda h: torch.sub(h, 1.0, alpha=0.5),
    "rounding_mode": lambda h: torch.div(h, 2.0, rounding_mode="floor"),
    "rsub alpha": lambda h: torch.rsub(h, h, alpha=3),
    "dim  ": lambda h: torch.max(h, dim=1, keepdim=True)[0],
    "max ": lambda h: h.max(),
    "dim": lambda h: torch.cat([h, h]),
    "half": lambda h: h.half().float(),
    "bfloat16": lambda h: h.bfloat16().float(),
    "float16": lambda h: h.to(torch.float16).float(),
    "mul": lambda h: h * h.long(),
    "int": lambda h: h.int() + 0.5,
    "to": lambda h: h.to(torch.int64) + h,
    "float": lambda h: h.long().float(),
    "round": lambda h: torch.round(h),
    "min": lambda h: h.clamp(min=h.amin()),
    "mean": lambda h: h - h.mean(),
    "nan_to_num": lambda h: torch.nan_to_num(h) * 2,
    "memory_format": lambda h: h.clone(memory_format=torch.contiguous_format) + 1,
    "dtype": lambda h: torch.full_like(h, 1, dtype=torch.int64) + h,
    "lerp": lambda h: torch.lerp(h, h * h, 0.3),
    "addcmul": lambda h: torch.addcmul(h, h, h, value=2),
    "sort": lambda h: h.sort(dim=1)[0],
    "flip": lambda h: h.flip(1),
    "roll": lambda h: h.roll(1, 1),
    "view": lambda h: h.view(-1, 3)[:, 1:].reshape(-1, 4),
    "flatten": lambda h: h.flatten(),
    "t": lambda h: h.t().t(),
    "getitem": lambda h: h[1:],
    "getitem ": lambda h: h[:, [0, 0, 1]],
    "softmax": lambda h: h.softmax(0),
    "normalize": lambda h: F.normalize(h),
    "mod": lambda h: h % 3,
    "exp": lambda h: torch.exp(h / 60),
    "expm1": lambda h: torch.expm1(h / 60),
    "split": lambda h: torch.cat(torch.split(h, [2, 4], 1)[::-1], 1),
    "chunk": lambda h: torch.cat(h.chunk(4, -1)[::-1], -1),
}


@pytest.mark.parametrize("what", MORE)
def test_other_functions(what: str) -> None:
    agrees_or_is_refused(Of(MORE[what]), what.split()[0] if what != "rsub alpha" else "alpha")


def _changing(*statements):
    def function(h):
        kept = {"h": h, "torch": torch, "F": F, "operator": operator}
        for statement in statements:
            exec(statement, kept)
        return kept["y"]

    return function


IN_PLACE = {
    "a residual": ["r = F.relu(h, inplace=True)", "y = r * 2 + h"],
    "by position": ["r = F.relu(h, True)", "y = r * 2 + h"],
    "nobody keeps it": ["h.clamp_(0, 1)", "y = h"],
    "a method": ["r = h.relu_()", "y = h - r * 2"],
    "a function": ["torch.sigmoid_(h)", "y = h * 3"],
    "an operator": ["g = h", "g += 1", "g *= 2", "g -= h * 3", "g /= 2", "y = h"],
    "a formula": ["s = torch.sigmoid(h)", "h.mul_(2)", "y = h * s"],
    "a formula of what it was": ["s = torch.sigmoid(h)", "k = h + 0", "h.add_(1)", "y = k * s + h"],
    "out": ["torch.add(h, 1, out=h)", "y = h"],
    "a slice": ["g = h[:, :2]", "g.relu_()", "y = h"],
    "the whole of a slice": ["g = h[:, :2]", "h.relu_()", "y = g"],
    "a view": ["g = h.view(-1, 6)", "g.relu_()", "y = h"],
    "pieces": ["a, b = h.chunk(2, 1)", "a.tanh_()", "y = torch.cat([a, b], 1)"],
    "pieces and the whole": ["a, b = h.chunk(2, 1)", "a.tanh_()", "y = torch.cat([b, a], 1) + h"],
    "dropout": ["g = F.dropout(h, 0.5, training=False)", "g.tanh_()", "y = g + h"],
    "twice": ["h.relu_()", "h.neg_()", "y = h"],
    "zero_": ["h.zero_()", "y = h"],
    "fill_": ["h.fill_(2.0)", "y = h"],
    "copy_": ["h.copy_(h * 2)", "y = h"],
    "contiguous": ["g = h.contiguous()", "g.add_(1)", "y = g * h"],
    "clone": ["g = h.clone()", "g.add_(1)", "y = g * h"],
    "float": ["g = h.float()", "g.add_(1)", "y = g * h"],
}
READ = {"a residual", "by position", "nobody keeps it", "a method", "a function", "an operator", "a formula"}
READ |= {"a formula of what it was", "a view", "twice", "contiguous", "clone", "float"}


@pytest.mark.parametrize("what", IN_PLACE)
def test_operations_in_place(what: str) -> None:
    read = agrees_or_is_refused(Of(_changing(*IN_PLACE[what])), "")
    assert read or what not in READ


class Table(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.table, self.function = nn.Embedding(7, 3), function

    def forward(self, x):
        return self.function(self.table(x.long()))


TABLES = {
    "flatten": lambda h: h.flatten(1),
    "reshape": lambda h: h.reshape(h.shape[0], -1) if isinstance(h, torch.Tensor) else h.reshape(-1, 6),
    "softmax": lambda h: F.softmax(h, -1).flatten(1),
    "layer_norm": lambda h: F.layer_norm(h, (3,)).flatten(1),
    "slice": lambda h: h[:, :1].flatten(1),
    "size": lambda h: h.flatten(1) * h.size(1),
    "sum": lambda h: h.sum(1),
    "cat": lambda h: torch.cat([h, h], -1).flatten(1),
    "chunk": lambda h: h.chunk(2, 1)[0].flatten(1),
    "transpose": lambda h: h.transpose(1, 2).flatten(1),
}


@pytest.mark.parametrize("what", TABLES)
def test_a_table_has_three_dimensions(what: str) -> None:
    read = agrees_or_is_refused(Table(TABLES[what]), "", np.abs(BATCH[:, :2].astype(int) % 7).astype(np.float32))
    assert read == (what in ("flatten", "reshape"))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.r, self.b = nn.Linear(WIDTH, WIDTH), nn.ReLU(inplace=True), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        h = self.a(x)
        return self.b(self.r(h)) + h


def test_a_module_that_works_in_place() -> None:
    assert agrees_or_is_refused(Residual(), "")
