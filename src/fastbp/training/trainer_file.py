"""Files and copies of a trainer: its network and all state needed to resume exactly, also within a fit.

`load` creates a new trainer from a file; `restore` requires the same network, loss and optimizer, and reports the first
difference. Losses and metrics that are Python functions are stored by name only.
"""

import math
import os
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from fastbp._engine import Chain
from fastbp.errors import DAMAGE, ModelFormatError
from fastbp.files import model_file, safetensors
from fastbp.inputs import checks
from fastbp.losses.loss import Loss, resolve
from fastbp.metrics.metric import Metric
from fastbp.network.network import Network
from fastbp.optimizers import optimizer as optimizers
from fastbp.schedules.shapes import Function
from fastbp.training.fit import Position
from fastbp.training.one_by_one import Online

STATES = "optimizer.states"
STATE = "fastbp.trainer"
FIT = "fastbp.fit"
FUNCTION = "python function"
MADE = ("objective", "metrics", "chain", "_lane", "_fit", "_online")  # what a trainer has made of the rest


class Resumable:
    """Methods of a trainer for files, `pickle` and `copy.deepcopy`; training continues from them with the same bits."""

    net: Network
    chain: Chain
    optimizer: optimizers.Optimizer
    pending: Position | None
    position: Callable[[], Position | None]
    _take: Callable[[Network], None]
    _fit: Any
    _online: Online | None

    def save(self, path: str | os.PathLike, metadata: dict[str, str] | None = None) -> None:
        """Save the network and all state needed to resume training exactly.

        Parameters
        ----------
        path : str or path-like
            A .safetensors file.
        metadata : dict from str to str, optional
            Further entries of the metadata of the file.

        Raises
        ------
        TypeError
            If a loss or a metric is a Python function, which a file cannot hold.
        """
        save(path, self, metadata, functions=False)

    def checkpoint(self, path: str | os.PathLike) -> None:
        """Save a checkpoint for `restore`: like `save`, but Python functions are stored by name instead of refused.

        Parameters
        ----------
        path : str or path-like
            A .safetensors file.
        """
        save(path, self, None, functions=True)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Load a trainer from a file that `save` wrote.

        Raises
        ------
        ModelFormatError
            If the file is damaged or does not hold a trainer.
        """
        return load(cls, path)

    def restore(self, path: str | os.PathLike) -> None:
        """Restore parameters, optimizer state, learning rate and random generators from a file.

        Parameters
        ----------
        path : str or path-like
            A file from `save` or `checkpoint`, of the same network, loss, metrics and optimizer.

        Raises
        ------
        ValueError
            If it is of another network or training; the message names the first difference.
        ModelFormatError
            If the file is damaged or does not hold a trainer.

        Examples
        --------
        >>> import tempfile
        >>> from fastbp import Dense, Input, Sequential, Trainer
        >>> one, other = (Trainer(Sequential(Input(2), Dense(width))) for width in (3, 4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f"{folder}/it.safetensors"
        ...     one.save(path)
        ...     other.restore(path)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: ...it.safetensors holds another network: units of node dense_1 is 3 there and 4 here
        """
        restore(path, self)

    def resumed(self, resume: bool | str | os.PathLike, check: Callable[[Position], None]) -> Position | None:
        """Restore the state of a checkpoint and return the position of its fit; nothing changes if `check` raises."""

        def check_place(position: Position | None) -> None:
            if position is None:
                raise ValueError("there is no fit to resume: the checkpoint was not written within one")
            check(position)

        if resume is True:
            check_place(self.pending)
        elif resume is not False:
            restore(resume, self, check_place)
        position, self.pending = self.pending if resume is not False else None, None
        return position

    def __getstate__(self):
        online, chain = self._online, self.chain
        return {
            **{name: value for name, value in vars(self).items() if name not in MADE},
            "pending": self.position() or self.pending,
            "chain": (chain.states, chain.t, chain.loss, self.optimizer.epoch),
            "online": None if online is None else (online.columns, online.labels or {}),
        }

    def __setstate__(self, state):
        kept = dict(state)
        states, steps, loss, epoch = kept.pop("chain")
        online = kept.pop("online")
        vars(self).update(kept)
        self._fit = None
        self._take(self.net)
        self.chain.states[...] = states
        self.chain.t, self.chain.loss, self.optimizer.epoch = steps, loss, epoch
        self._online = None if online is None else Online(self, *online)


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
    metadata = {**(metadata or {}), STATE: model_file.encoded(state)}
    position = trainer.position()
    if position is not None:
        metadata[FIT] = model_file.encoded(position.state)
        arrays.update(position.arrays)
    model_file.save(path, trainer.net, arrays, metadata, functions)


def load(cls: type, path: str | os.PathLike) -> Any:
    """A new trainer of the class from a file."""
    net, arrays, metadata = model_file.load(path)
    try:
        state = model_file.decoded(metadata, STATE)
        for name in ("loss", "metrics"):
            _refuse_functions(state[name])
        optimizer = optimizers.from_config(state["optimizer"])
        shares = _unlisted(state["loss_weights"])
        trainer = cls(net, _unlisted(state["loss"]), optimizer, loss_weights=shares, metrics=state["metrics"])
        _take(trainer, state, arrays, _position(metadata, arrays))
    except (ModelFormatError, *DAMAGE) as error:
        raise ModelFormatError(f"{os.fspath(path)}: no trainer: {error}") from error
    return trainer


def restore(
    path: str | os.PathLike, trainer: Any, check: Callable[[Position | None], None] = lambda position: None
) -> None:
    """Put a trainer in the state that a file holds, unless `check` raises at the place of its fit."""
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
            here = {**here, "lr": there.get("lr")}  # the file's is taken over
        if there != here:
            raise ValueError(f"{name} is of another training: {what} is {_shown(there)} there, {_shown(here)} here")
    try:
        params = {key: checks.as_stored(arrays[key], view, key) for key, view in net.arrays().items()}
        lr = _rate(state["optimizer"]["lr"], trainer.optimizer)
        seed = checks.as_seed(config["seed"])
        position = _position(metadata, arrays)
    except (ModelFormatError, *DAMAGE) as error:
        raise ModelFormatError(f"{name}: no trainer: {error}") from error
    check(position)
    try:
        _take(trainer, state, arrays, position)
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
        return model_file.graph(metadata)
    except ModelFormatError as error:
        raise ModelFormatError(f"{name}: {error}") from error


def _take(trainer, state, arrays, position):
    """Restore the state other than parameters and settings; nothing changes before all of it is validated."""
    chain = trainer.chain
    states = checks.as_stored(arrays[STATES], chain.states, STATES) if chain.states.size else 0
    steps, draws, epochs = (checks.as_count(state[name], name) for name in ("steps", "draws", "epochs"))
    loss = math.nan if state["batch_loss"] is None else checks.in_range(state["batch_loss"], "batch_loss")
    rng = np.random.default_rng(0)
    rng.bit_generator.state = state["rng"]
    trainer.restore_online(state.get("online"))
    chain.states[...] = states
    chain.t, chain.loss, trainer.optimizer.epoch = steps, loss, epochs
    trainer.net.programs.draws = draws
    trainer.rng.bit_generator.state = rng.bit_generator.state
    trainer.pending = position


def _position(metadata, arrays):
    """The place of the fit that a file was written in, if it was."""
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
