"""Files of a trainer: a network, and all that training needs to go on exactly, in the middle of a fit too.

A file that is loaded makes a new trainer; one that is restored into a trainer must be of the same network, loss
and optimizer, and says where it is not. Losses and metrics that are Python functions are only named in a file.
"""

import math
import os
from typing import Any

import numpy as np

from fastbp import checks, optimizers, safetensors, serialization
from fastbp.errors import ModelFormatError
from fastbp.fitting import Position
from fastbp.losses import Loss, resolve
from fastbp.metrics_base import Metric
from fastbp.network import DAMAGE
from fastbp.schedules import Function

STATES = "optimizer.states"
STATE = "fastbp.trainer"
FIT = "fastbp.fit"
FUNCTION = "python function"


def save(path: str | os.PathLike, trainer: Any, metadata: dict[str, str] | None, functions: bool) -> None:
    """Write a trainer, and where its fit is if one is under way; functions are named, or refused."""
    state = {
        **_recipe(trainer, functions),
        "steps": trainer.chain.t,
        "epochs": trainer.optimizer.epoch,
        "batch_loss": None if math.isnan(trainer.chain.loss) else trainer.chain.loss,
        "draws": trainer.net.draws,
        "rng": trainer.rng.bit_generator.state,
    }
    online = trainer.online_state()
    if online is not None:
        state["online"] = online
    arrays = {STATES: trainer.chain.states} if trainer.chain.states.size else {}
    metadata = {**(metadata or {}), STATE: serialization.encoded(state)}
    position = trainer.position()
    if position is not None:
        metadata[FIT] = serialization.encoded(position.state)
        arrays.update(position.arrays)
    serialization.save(path, trainer.net, arrays, metadata, functions)


def load(cls: type, path: str | os.PathLike) -> Any:
    """A new trainer of the class from a file."""
    net, arrays, metadata = serialization.load(path)
    try:
        state = serialization.decoded(metadata, STATE)
        for name in ("loss", "metrics"):
            _refuse_functions(state[name])
        optimizer = optimizers.from_config(state["optimizer"])
        shares = _unlisted(state["loss_weights"])
        trainer = cls(net, _unlisted(state["loss"]), optimizer, loss_weights=shares, metrics=state["metrics"])
        _take(trainer, state, arrays, metadata)
    except (ModelFormatError, *DAMAGE) as error:
        raise ModelFormatError(f"{os.fspath(path)}: no trainer: {error}") from error
    return trainer


def restore(path: str | os.PathLike, trainer: Any) -> None:
    """Put a trainer in the state that a file holds."""
    name, net = os.fspath(path), trainer.net
    arrays, metadata = safetensors.read(path)
    config = _graph(name, metadata)
    try:
        different = serialization.difference(config, serialization.stored(net.config()))
    except DAMAGE as error:
        raise ModelFormatError(f"{name}: no network: {type(error).__name__}: {error}") from error
    if different:
        raise ValueError(f"{name} holds another network: {different}")
    state = serialization.decoded(metadata, STATE)
    for what, here in serialization.stored(_recipe(trainer, functions=True)).items():
        there = state.get(what)
        if what == "optimizer" and isinstance(there, dict):
            here = {**here, "lr": there.get("lr")}  # the file's is taken over
        if there != here:
            raise ValueError(f"{name} is of another training: {what} is {_shown(there)} there, {_shown(here)} here")
    try:
        params = {key: checks.as_stored(arrays[key], view, key) for key, view in net.arrays().items()}
        lr = _rate(state["optimizer"]["lr"], trainer.optimizer)
        seed = checks.as_seed(config["seed"])
        _take(trainer, state, arrays, metadata)
    except (ModelFormatError, *DAMAGE) as error:
        raise ModelFormatError(f"{name}: no trainer: {error}") from error
    for key, view in net.arrays().items():
        view[...] = params[key]
    trainer.optimizer.lr = lr
    net.seed = net.programs.seed = seed


def _rate(stored, optimizer):
    """The learning rate of a file; where that only names a function, the optimizer's own."""
    if isinstance(stored, dict) and "function" in stored and optimizer.schedule is not None:
        return optimizer.schedule
    return optimizers.stored_rate(stored)


def _graph(name, metadata):
    try:
        return serialization.graph(metadata)
    except ModelFormatError as error:
        raise ModelFormatError(f"{name}: {error}") from error


def _take(trainer, state, arrays, metadata):
    """What there is beside parameters and settings; nothing changes before all of it is found sound."""
    chain = trainer.chain
    states = checks.as_stored(arrays[STATES], chain.states, STATES) if chain.states.size else 0
    steps, draws, epochs = (checks.as_count(state[name], name) for name in ("steps", "draws", "epochs"))
    loss = math.nan if state["batch_loss"] is None else checks.in_range(state["batch_loss"], "batch_loss")
    rng = np.random.default_rng(0)
    rng.bit_generator.state = state["rng"]
    position = _position(serialization.decoded(metadata, FIT), arrays) if FIT in metadata else None
    trainer.restore_online(state.get("online"))
    chain.states[...] = states
    chain.t, chain.loss, trainer.optimizer.epoch = steps, loss, epochs
    trainer.net.programs.draws = draws
    trainer.rng.bit_generator.state = rng.bit_generator.state
    trainer.pending = position


def _position(state, arrays):
    for name in ("rows", "batch", "batches", "batch_size", "samples"):
        checks.as_count(state[name], name)
    for name in ("shuffle", "stopped"):
        checks.as_bool(state[name], name)
    checks.in_range(state["seconds"], "seconds", 0.0)
    np.random.default_rng(0).bit_generator.state = state["rng"]
    lengths = {len([float(value) for value in values]) for values in state["history"].values()}
    if len(lengths) != 1 or not all(isinstance(rest, dict) for _, rest in state["callbacks"]):
        raise ValueError("its history or its callbacks are damaged")
    mine = {name: array for name, array in arrays.items() if name.startswith(("fit.", "callbacks."))}
    return Position(state, mine)


def _recipe(trainer, functions):
    if not functions and isinstance(trainer.optimizer.schedule, Function):
        raise TypeError(f"only schedules of fastbp's own can be saved, got {trainer.optimizer.schedule!r}")
    return {
        "loss": _names(trainer.recipe["loss"], functions),
        "loss_weights": checks.alone(trainer.objective.shares),
        "metrics": _names(trainer.recipe["metrics"], functions),
        "optimizer": trainer.optimizer.config(),
    }


def _names(recipe, functions):
    if isinstance(recipe, (list, tuple)):
        return [_names(one, functions) for one in recipe]
    if isinstance(recipe, Loss) and recipe == resolve(recipe.__name__):
        return recipe.__name__
    if isinstance(recipe, (Loss, Metric)):
        return recipe.config()
    if isinstance(recipe, str):
        return recipe
    if not functions:
        raise TypeError(f"only losses and metrics of fastbp's own can be saved, got {recipe!r}")
    return {FUNCTION: recipe.__name__}


def _refuse_functions(recipe):
    for one in recipe if isinstance(recipe, list) else [recipe]:
        if isinstance(one, list):
            _refuse_functions(one)
        elif isinstance(one, dict) and FUNCTION in one:
            raise ModelFormatError(
                f"{one[FUNCTION]} is a Python function, which the file only names; "
                "make a trainer with it and restore the file into that"
            )


def _unlisted(loss):
    return tuple(loss) if isinstance(loss, list) else loss


def _shown(value):
    """JSON as a person would write it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        head = next((key for key in ("name", "metric", FUNCTION) if key in value), None)
        rest = ", ".join(f"{key}={_shown(each)}" for key, each in value.items() if key != head)
        return f"{value.get(head, '')}({rest})" if rest else str(value.get(head, ""))
    return str(value)
