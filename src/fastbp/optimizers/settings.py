"""The settings that every optimizer takes: the table of their defaults and checks."""

from collections.abc import Callable, Mapping
from typing import TypeAlias, TypedDict

from fastbp.inputs import checks
from fastbp.schedules.schedule import Schedule

Rule = tuple[str, tuple[float, ...]]
Rate: TypeAlias = float | Schedule | Callable[[int], float]


class Common(TypedDict, total=False):
    """The settings that every optimizer takes, for type checkers; COMMON has their defaults and checks."""

    decoupled_weight_decay: bool | None
    decay_biases: bool
    l2_by_rows: float
    l1: float
    proximal_l1: float
    clip_norm: float | None
    clip_value: float | None
    accumulate: int
    ema: float | None
    swa_start: int | None
    swa_every: int
    groups: Mapping[str, Mapping[str, float]]


# The settings that `groups` may override, with the value for other parameters (None: the setting of that name).
OF_GROUPS = {"lr_scale": 1.0, "weight_decay": None, "l1": None, "proximal_l1": None}
DECOUPLED = "decoupled_weight_decay"
PENALTIES = ("weight_decay", "l1", "proximal_l1")  # which `decay_biases=False` does not apply to biases


def _groups(groups) -> dict[str, dict[str, float]]:
    groups = checks.instance(groups, Mapping, "groups")
    return {name: _group(name, settings) for name, settings in groups.items()}


def _group(name, settings):
    settings = checks.instance(settings, Mapping, f"groups[{name!r}]")
    for key in settings:
        checks.one_of(key, f"setting in groups[{name!r}]", OF_GROUPS)
    return {key: checks.in_range(value, f"{key} in groups[{name!r}]", 0.0) for key, value in settings.items()}


def _limit(name):
    return lambda value: None if value is None else checks.above_zero(value, name)


COMMON: dict[str, tuple[object, Callable]] = {
    "decoupled_weight_decay": (None, lambda value: value if value is None else checks.as_bool(value, DECOUPLED)),
    "decay_biases": (True, bool),
    "l2_by_rows": (0.0, lambda value: checks.in_range(value, "l2_by_rows", 0.0)),
    "l1": (0.0, lambda value: checks.in_range(value, "l1", 0.0)),
    "proximal_l1": (0.0, lambda value: checks.in_range(value, "proximal_l1", 0.0)),
    "clip_norm": (None, _limit("clip_norm")),
    "clip_value": (None, _limit("clip_value")),
    "accumulate": (1, lambda value: checks.positive_int(value, "accumulate")),
    "ema": (None, lambda value: None if value is None else checks.in_range(value, "ema", 0.0, 1.0)),
    "swa_start": (None, lambda value: None if value is None else checks.positive_int(value, "swa_start")),
    "swa_every": (1, lambda value: checks.positive_int(value, "swa_every")),
    "groups": ({}, _groups),
}


def checked(common: Common) -> dict[str, object]:
    """All settings of COMMON, as given or by default."""
    settings = {name: check(common.get(name, default)) for name, (default, check) in COMMON.items()}
    if settings["ema"] is not None and settings["swa_start"] is not None:
        raise ValueError("ema and swa_start are two averages; an optimizer keeps one")
    return settings


def of_means(betas: tuple[float, ...], eps: float, count: int = 2) -> dict[str, object]:
    """The settings of Adam and its variants: the decay rates of their means, and eps."""
    return {"betas": checks.fractions(betas, count, "betas"), "eps": checks.in_range(eps, "eps", 0.0)}
