"""Files and copies of a trainer: its network and all state needed to resume exactly, also within a fit.

`load` creates a new trainer from a file; `restore` requires the same network, loss and optimizer, and reports the first
difference. Losses and metrics that are Python functions are stored by name only.
"""

import os
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np

from fastbp.errors import DAMAGE, ModelFormatError
from fastbp.files import model_file, safetensors
from fastbp.inputs import checks
from fastbp.losses.loss import Loss
from fastbp.metrics.metric import METRICS, Metric
from fastbp.network.network import Network
from fastbp.optimizers import optimizer as optimizers
from fastbp.schedules.shapes import Function, as_schedule
from fastbp.training.batch_runner import BatchRunner
from fastbp.training.fit import Position
from fastbp.training.objective import Objective
from fastbp.training.one_by_one import Online, numbered
from fastbp.training.state import STATES, State

STATE = "fastbp.trainer"
FIT = "fastbp.fit"
FUNCTION = "python function"


class Training(Protocol):
    """The parts of a trainer that a file stores."""

    net: Network
    objective: Objective
    optimizer: optimizers.Optimizer
    recipe: dict[str, Any]
    runner: BatchRunner

    online: Online | None
    pending: Position | None

    def state(self) -> State:
        """The state needed to resume training."""

    def go_to(self, state: State) -> None:
        """Restore a state."""

    def place(self) -> tuple[State, Position | None]:
        """The state of the training, and the position of the current fit, if any."""

    def _take(self, net: Network) -> None:
        """Create what belongs to a network: objective, metrics, runner."""

    def _new_online(self, *known: Any) -> Online:
        """The online learner, with the features and labels seen so far."""


T = TypeVar("T", bound=Training)


def save(path: str | os.PathLike, trainer: Training, metadata: dict[str, str] | None, functions: bool) -> None:
    """Write a trainer, with the position of its current fit, if any; Python functions are stored by name or refused."""
    (now, position), online = trainer.place(), trainer.online
    state = {**_recipe(trainer, functions), **now.numbers()}
    if online is not None:
        state["online"] = online.names()
    arrays = {STATES: now.states} if now.states.size else {}
    metadata = {**(metadata or {}), STATE: model_file.encoded(state)}
    if position is not None:
        metadata[FIT] = model_file.encoded(position.state)
        arrays.update(position.arrays)
    model_file.save(path, trainer.net, arrays, metadata, functions, now.params)


def load(cls: Callable[..., T], path: str | os.PathLike) -> T:
    """Create a trainer of the class from a file."""
    net, arrays, metadata = model_file.load(path)
    try:
        state = model_file.decoded(metadata, STATE)
        for name in ("loss", "metrics"):
            _refuse_functions(state[name])
        optimizer = optimizers.Optimizer.from_config(state["optimizer"])
        shares = _unlisted(state["loss_weights"])
        loss, metrics = _unlisted(_made(state["loss"], Loss.classes)), _made(state["metrics"], METRICS)
        trainer = cls(net, loss, optimizer, loss_weights=shares, metrics=metrics)
        lr = optimizer.schedule or optimizer.lr
        now = State.read(state, arrays, trainer.runner, net.params, lr)
        online = _online_of(trainer, state.get("online"))
        trainer.go_to(now)
        trainer.online, trainer.pending = online, _position(metadata, arrays)
    except (ModelFormatError, *DAMAGE) as error:
        raise ModelFormatError(f"{os.fspath(path)}: no trainer: {error}") from error
    return trainer


def restore(
    path: str | os.PathLike, trainer: Training, check: Callable[[Position | None], None] = lambda position: None
) -> None:
    """Set a trainer to the state in a file, unless `check` raises for the position of the fit."""
    name, net = checks.as_path(path), trainer.net
    arrays, metadata = safetensors.read(path)
    config = _graph(name, metadata)
    try:
        different = model_file.difference(config, model_file.stored(net.config()))
    except DAMAGE as error:
        raise ModelFormatError(f"{name}: no network: {type(error).__name__}: {error}") from error
    if different:
        raise ValueError(f"{name} holds another network: {different}")
    state = model_file.decoded(metadata, STATE)
    for what, here in model_file.stored(_recipe(trainer, functions=True)).items():
        there = state.get(what)
        if what == "optimizer" and isinstance(there, dict):
            here = {**here, "lr": there.get("lr")}  # the learning rate of the file is used
        if there != here:
            raise ValueError(f"{name} is of another training: {what} is {_shown(there)} there, {_shown(here)} here")
    try:
        params = {key: checks.as_stored(arrays[key], view, key) for key, view in net.arrays().items()}
        lr = _rate(state["optimizer"]["lr"], trainer.optimizer)
        seed = checks.as_seed(config["seed"])
        position = _position(metadata, arrays)
        flat = np.concatenate([array.ravel() for array in params.values()]) if params else net.params
        now = State.read(state, arrays, trainer.runner, flat, lr)
        online = _online_of(trainer, state.get("online"))
    except (ModelFormatError, *DAMAGE) as error:
        raise ModelFormatError(f"{name}: no trainer: {error}") from error
    check(position)
    trainer.go_to(now)
    trainer.online, trainer.pending = online, position
    net.seed = net.programs.seed = seed


def resumed(trainer: Training, resume: bool | str | os.PathLike, check: Callable[[Position], None]) -> Position | None:
    """Restore a checkpoint and return the position of its fit; nothing changes if `check` raises."""

    def check_place(position: Position | None) -> None:
        if position is None:
            raise ValueError("there is no fit to resume: the checkpoint was not written within one")
        check(position)

    if resume is True:
        check_place(trainer.pending)
    elif resume is not False:
        restore(resume, trainer, check_place)
    position, trainer.pending = trainer.pending if resume is not False else None, None
    return position


def _rate(stored, optimizer):
    """The learning rate in a file; if the file only names a function, the optimizer's schedule."""
    if isinstance(stored, dict) and "function" in stored and optimizer.schedule is not None:
        return optimizer.schedule
    return as_schedule(stored) or checks.in_range(stored, "lr", 0.0)


def _graph(name, metadata):
    try:
        return model_file.graph(metadata)
    except ModelFormatError as error:
        raise ModelFormatError(f"{name}: {error}") from error


def _position(metadata, arrays):
    """The position of the fit during which a file was written, if any."""
    if FIT not in metadata:
        return None
    state = model_file.decoded(metadata, FIT)
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
    if isinstance(recipe, Loss) and recipe == type(recipe)():
        return recipe.__name__
    if isinstance(recipe, (Loss, Metric)):
        return recipe.config()
    if isinstance(recipe, str):
        return recipe
    if not functions:
        raise TypeError(f"only losses and metrics of fastbp's own can be saved, got {recipe!r}")
    return {FUNCTION: recipe.__name__}


def _made(recipe, registry):
    """The objects that a file describes; names are left as names."""
    if isinstance(recipe, list):
        return [_made(one, registry) for one in recipe]
    return registry.from_config(recipe) if isinstance(recipe, dict) else recipe


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
    """JSON as a person would write it, for messages."""
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        head = next((key for key in ("name", "metric", FUNCTION) if key in value), None)
        rest = ", ".join(f"{key}={_shown(each)}" for key, each in value.items() if key != head)
        return f"{value.get(head, '')}({rest})" if rest else str(value.get(head, ""))
    return str(value)


def _online_of(trainer: Training, names: dict | None) -> Online | None:
    """An online learner with the features and labels in a file; None for None."""
    return None if names is None else trainer._new_online(*numbered(names, trainer.net))


def pickled(trainer: Training, made: set[str]) -> dict:
    """The contents of a pickle or copy of a trainer: its state, and its attributes except those created again."""
    online, (state, position) = trainer.online, trainer.place()
    return {
        **{name: value for name, value in vars(trainer).items() if name not in made},
        "pending": position or trainer.pending,
        "state": state,
        "known": None if online is None else (online.columns, online.labels or {}),
    }


def unpickle(trainer: Training, kept: dict) -> None:
    """Restore a trainer from the contents that `pickled` returned."""
    rest = dict(kept)
    state, known = rest.pop("state"), rest.pop("known")
    vars(trainer).update(rest)
    trainer._take(trainer.net)
    trainer.go_to(state)
    trainer.online = None if known is None else trainer._new_online(*known)
