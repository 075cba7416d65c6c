"""Compiles an optimizer to the engine's update rules: a chain of rules for each group of parameters.

Decay, clipping, accumulation and averages are rules of the chain, and their order is fixed here. Rejected: a list of
transformations that the user chains, as in optax. Their order matters, and only one order is right.
"""

from collections.abc import Mapping
from typing import Any

from fastbp import _engine
from fastbp.inputs import checks
from fastbp.network.network import Network
from fastbp.optimizers.settings import DECOUPLED, OF_GROUPS, PENALTIES, Rule


def compiled(optimizer: Any, net: Network) -> _engine.Chain:
    """The chain of an optimizer for a network, with a state of its own."""
    known = {*net.slices, *(name.rpartition(".")[0] for name in net.slices)}
    for name in optimizer.settings["groups"]:
        checks.one_of(name, "layer in groups", known)
    groups: dict[tuple, int] = {}
    segments: list[tuple[int, int]] = []  # the end of a stretch of parameters of one group, and the group's number
    matrices: list[tuple] = []
    decays = {layer.name: layer.decay for layer in net.layers if layer.decay is not None}
    # A network on the layers of another network may have them in another order, or only a part of them.
    for name, (part, shape) in sorted(net.slices.items(), key=lambda entry: entry[1][0].start):
        lr_scale, rules = group_of(optimizer, name, len(shape) == 2, decays)
        group = groups.setdefault((lr_scale, tuple(rules)), len(groups))
        if segments and segments[-1][1] == group:
            segments.pop()
        segments.append((part.stop, group))
        if any(_engine.RULES[rule].whole for rule, _ in rules):
            matrices.append((part.start, *shape, group))
    every, size = list(groups) or [(1.0, optimizer.rules())], net.params.size
    if segments:
        segments[-1] = size, segments[-1][1]
    return _engine.Chain(net.dtype.name, every, size, segments or None, matrices)


def group_of(optimizer: Any, name: str, is_matrix: bool, decays: Mapping) -> tuple[float, list[Rule]]:
    """The factor of lr and all rules for a parameter; `decays` are the weight decays that layers set, by name."""
    settings = optimizer.settings
    own, decoupled = _of_parameter(settings, name, is_matrix, decays), settings[DECOUPLED]
    decay = optimizer.decay if decoupled is None else "decoupled_decay" if decoupled else "l2"
    own_scale, rules = optimizer.rules_for(is_matrix)
    before, after = _before(settings, own, is_matrix, decay), _after(settings, own, decay)
    return own["lr_scale"] * own_scale, [*before, *rules, *after]


def _of_parameter(settings, name, is_matrix, decays):
    """The settings of OF_GROUPS for one parameter."""
    own = {key: value if value is not None else settings[key] for key, value in OF_GROUPS.items()}
    layer = name.rpartition(".")[0]
    if is_matrix and layer in decays:
        own["weight_decay"] = decays[layer]
    own |= settings["groups"].get(layer, {})
    if not (is_matrix or settings["decay_biases"]):
        own |= dict.fromkeys(PENALTIES, 0.0)
    return own | settings["groups"].get(name, {})


def _before(settings: Mapping, own: Mapping, is_matrix: bool, decay: str) -> list[Rule]:
    """The rules before the optimizer's own, which move the parameters."""
    rules: list[Rule] = []
    if settings["accumulate"] > 1:
        rules.append(("mean_of_batches", (settings["accumulate"],)))
    if settings["l2_by_rows"] and is_matrix:
        rules.append(("l2_of_sum", (settings["l2_by_rows"],)))
    if settings["clip_norm"] is not None:
        rules.append(("clip_by_norm", (settings["clip_norm"],)))
    if settings["clip_value"] is not None:
        rules.append(("clip_by_value", (settings["clip_value"],)))
    if own["weight_decay"] and decay != "proximal_decay":
        rules.append((decay, (own["weight_decay"],)))
    return [*rules, ("l1", (own["l1"],))] if own["l1"] else rules


def _after(settings: Mapping, own: Mapping, decay: str) -> list[Rule]:
    """The rules after the optimizer's own."""
    rules: list[Rule] = []
    if own["weight_decay"] and decay == "proximal_decay":
        rules.append((decay, (own["weight_decay"],)))
    if own["proximal_l1"]:
        rules.append(("soft_threshold", (own["proximal_l1"],)))
    if settings["ema"] is not None:
        rules.append(("moving_average", (settings["ema"],)))
    if settings["swa_start"] is not None:
        rules.append(("plain_average", (settings["swa_start"], settings["swa_every"])))
    return rules
