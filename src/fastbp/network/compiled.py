"""The compiled programs of a network, its two parameter vectors, and the lock around them.

Training and inference have a program each, so that `predict` between forward and backward does no harm. The lock makes
calls thread-safe: one thread at a time. All arrays are already checked: by the network in each call of a user, by the
trainer once for a whole data set. Without `threads` the engine chooses the number.
"""

import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastbp import _engine
from fastbp.inputs.array_sources import refuse_unfit
from fastbp.network.compiled_derivatives import DerivativePrograms, aligned_zeros
from fastbp.network.expansion import Expansion
from fastbp.threads import for_engine


class Inference:
    """A program for inference, from a graph (widths, ops, inputs, outputs) and a network's live parameters."""

    def __init__(self, graph: tuple[list, list, list, list], params, grads, lock: _engine.Lock):
        self.program = _engine.Program(params.dtype.name, *graph, params, grads)
        self.program.guard(lock)
        self._lock = lock
        single = len(graph[2]) == len(graph[3]) == 1
        # (X, threads=None, out=None): checks X and returns the outputs, or None if X needs a conversion.
        self.quick_predict = _engine.FastPath(self.program, lock, params.dtype).predict if single else _never

    def predict(self, xs: tuple, threads: int | None = None) -> tuple:
        """Outputs without dropout."""
        ys, unfit = self._lock.call(_engine.predict_fit, self.program, xs, for_engine(threads))
        if unfit:
            refuse_unfit(xs)
        return ys


class Programs:
    """The parameters, gradients and programs of one graph.

    If the graph consists of layers of another network, `shared` are that network's programs, which own the vectors and
    the lock; the graph may use only a part of the parameters.
    """

    def __init__(
        self,
        dtype: np.dtype,
        expansion: Expansion,
        size: int,
        seed: int,
        shared: "Programs | None" = None,
        vectors: tuple[np.ndarray, np.ndarray] | None = None,
    ):
        given = vectors if shared is None else (shared.params, shared.grads)
        self.params: np.ndarray = aligned_zeros(size, dtype) if given is None else given[0]
        # The vector that is summed over ranks: the gradients, followed by a few numbers.
        room = 0 if given else size + 3 * len(expansion.graph[3]) + 3
        self.message: np.ndarray = aligned_zeros(room, dtype) if shared is None else shared.message
        self.grads: np.ndarray = self.message[:size] if given is None else given[1]
        self._lock: _engine.Lock = _engine.Lock() if shared is None else shared._lock
        self._is_part = size < self.params.size
        self._frozen: dict[tuple, list] = {}
        self._expansion = expansion
        self._partial: dict[tuple[int, ...], _engine.Program] = {}  # programs for training some of the outputs
        self._fixed: list = []
        self._spans: list | None = None
        self._steppers: weakref.WeakSet[_engine.Program] = weakref.WeakSet()  # programs of native steps
        self._taped: weakref.WeakSet[_engine.Program] = weakref.WeakSet()  # programs of tapes
        self._summing = False  # whether gradients were added up since the last update
        self._update = _engine.functional.UPDATES[dtype]
        self._graph = graph = expansion.graph
        self._training = _engine.Program(dtype.name, *expansion.fused, self.params, self.grads)
        self._training.seed = seed
        self._training.guard(self._lock)
        self._inference = Inference(graph, self.params, self.grads, self._lock)
        self.quick_predict, self.predict = self._inference.quick_predict, self._inference.predict
        self.derivatives = DerivativePrograms(expansion, self.params, self._inference.program, self._lock)

    def ending_in(self, activation: str) -> Inference:
        """Inference with another activation of the last layer, which must be linear."""
        widths, ops, inputs, outputs = self._graph
        kind, parents, output, offsets, settings = ops[-1]
        last = (kind, parents, output, offsets, {**settings, "activation": activation})
        return Inference((widths, [*ops[:-1], last], inputs, outputs), self.params, self.grads, self._lock)

    def refuse_part(self) -> None:
        """Raise if the vectors hold parameters of other layers, whose gradients a pass here would not compute."""
        if self._is_part:
            raise ValueError(
                "this model has a part of the layers of another one and shares its parameters; train that one,"
                " or a copy() of this"
            )

    def snapshot(self, chain: _engine.Chain | None = None) -> tuple:
        """A copy of params, and `draws`, taken between two steps even if another thread is training.

        With a chain, also a copy of its states, its number of steps, and its last loss.
        """
        return self._lock.call(_snapshot, self, chain)

    @property
    def seed(self) -> int:
        """Seed of the dropout masks."""
        return self._training.seed

    @seed.setter
    def seed(self, seed: int) -> None:
        self._training.seed = seed

    @property
    def draws(self) -> int:
        """Number of forward passes in training so far, which selects the dropout masks."""
        return self._training.draws

    @draws.setter
    def draws(self, draws: int) -> None:
        self._training.draws = draws

    @property
    def pending(self) -> int:
        """Number of rows of the forward pass that a backward pass may follow; 0 for none."""
        return self._training.pending

    def forward(self, xs: tuple, training: bool, threads: int | None = None) -> tuple:
        """Compute the outputs; keep what backward needs."""
        return self._lock.call(_engine.forward_kept, self._training, xs, training, for_engine(threads))

    def backward(self, dys: tuple, accumulate: bool, threads: int | None = None) -> tuple:
        """Compute the gradients of the inputs; fill grads."""
        self._summing = True
        return self._lock.call(self._training.backward, dys, accumulate, True, for_engine(threads))

    def for_tape(self) -> _engine.Program:
        """A program for training with memory of its own."""
        program = _engine.Program(self.params.dtype.name, *self._expansion.fused, self.params, self.grads)
        program.guard(self._lock)
        with self._lock:
            program.freeze(self._expansion.tensors_with(self._frozen_parts(), True))
            self._taped.add(program)
        return program

    def forward_on(self, program: _engine.Program, xs: tuple, training: bool, threads: int | None = None) -> tuple:
        """`forward` on a program of `for_tape`."""
        return self._lock.call(_engine.forward_taped, program, self._training, xs, training, for_engine(threads))

    def backward_on(self, program: _engine.Program, dys: tuple, accumulate: bool, threads: int | None = None) -> tuple:
        """`backward` on a program of `for_tape`."""
        adds_rows, self._summing = accumulate and self._summing, True
        return self._lock.call(
            _engine.backward_taped, program, self._training, dys, accumulate, adds_rows, for_engine(threads)
        )

    def fast_path(self, terms: tuple | None, chain=None) -> _engine.FastPath | None:
        """The fast path, which checks X and y that need no conversion: for steps, or without a chain for gradients.

        None for several inputs or outputs, a loss in Python, or a part of a network.
        """
        if len(self._graph[2]) > 1 or len(self._graph[3]) > 1 or terms is None or self._is_part:
            return None
        return _engine.FastPath(self._training, self._lock, self.params.dtype, terms[0], chain)

    def native(self, rows: int) -> _engine.Native:
        """Native functions for a fixed number of rows."""
        return self.derivatives.native(rows)

    def give_steps(self, native: _engine.Native, chain, term, next_rate, diverged) -> None:
        """Enable training steps of native functions."""
        self.refuse_part()
        widths, ops, inputs, outputs = self._graph
        program = _engine.Program(self.params.dtype.name, widths, ops, inputs, outputs, self.params, self.grads)
        with self._lock:
            program.freeze(self._expansion.tensors_with(self._frozen_parts(), False))
            self._steppers.add(program)
            native.train_with(program, self._training, chain, term, next_rate, diverged)

    def run(self, batches: _engine.Batches, threads: int | None = None) -> tuple[int, int]:
        """Train; return the number of the next batch, or of the batch that failed, and the status."""
        self.refuse_part()
        return self._lock.call(_engine.train, self._training, batches, for_engine(threads))

    def loss_and_gradient(self, xs, ts, weights, terms, threads: int | None = None) -> float:
        """The loss without dropout; fills grads."""
        return self._lock.call(_engine.gradient_of, self._training, xs, ts, weights, terms, for_engine(threads))

    def keep_rows(self, keeps: bool) -> None:
        """Whether training passes keep all rows of a batch for `figures`, however many there are."""
        with self._lock:
            self._training.keeps_rows = keeps

    def figures(self) -> np.ndarray:
        """The engine's figures of each node except inputs, of the rows that the last training pass has kept."""
        table = np.empty((len(self._expansion.fused[1]), len(_engine.FIGURES)))
        with self._lock:
            _engine.describe(self._training, table)
        return self._expansion.rows_of(table, True)

    def step_on(self, parts: list, chain, lr: float, threads: int | None = None) -> tuple[list[list[float]], int]:
        """A step on the sum of the losses of parts (output numbers, xs, ts, weights, terms); return losses and status.

        The losses are a list for each part, with the loss that each of its outputs adds.
        """
        self.refuse_part()
        self._summing = False
        return self._lock.call(_step_on, self, parts, chain, lr, for_engine(threads))

    def of_outputs(self, wanted: tuple[int, ...]) -> _engine.Program:
        """A program for some of the outputs, which computes only what they need."""
        if wanted not in self._partial:
            widths, ops, inputs, outputs = self._graph
            ends = [outputs[k] for k in wanted]
            needed, kept = {*inputs, *ends}, []
            for op in reversed(ops):
                if op[2] in needed:
                    needed.update(op[1])
                    kept.append(op)
            narrow = [width if t in needed else 1 for t, width in enumerate(widths)]  # the tensors keep their numbers
            graph = narrow, kept[::-1], inputs, ends
            program = _engine.Program(self.params.dtype.name, *graph, self.params, self.grads)
            program.guard(self._lock)
            program.freeze(self._expansion.tensors_with(self._frozen_parts(), False))
            self._partial[wanted] = program
        return self._partial[wanted]

    def update(self, chain, lr: float, loss: float) -> bool:
        """Make one step of an optimizer's chain; return whether the update was finite."""
        self.refuse_part()
        self._summing = False
        arguments = chain, self.params, self.grads, lr, self._spans, loss
        return self._lock.call(_engine.updated, self._training, self._update, arguments)

    def collect(
        self, batches: _engine.Batches, scales: np.ndarray | None = None, threads: int | None = None
    ) -> tuple[list[float], int]:
        """Fill grads from a batch, with dropout; return the loss of each output, and the status."""
        self.refuse_part()
        return self._lock.call(_engine.collected, self._training, batches, scales, for_engine(threads))

    def apply(self, chain, lr: float, loss: float, scale: float, threads: int | None = None) -> bool:
        """Make a step by the gradient of a mean over 1 / scale rows; return whether the update was finite."""
        self.refuse_part()
        self._summing = False
        arguments = chain, lr, loss, scale, for_engine(threads)
        return self._lock.call(_engine.applied, self._training, *arguments)

    @contextmanager
    def part_of_batch(self, first: int, meeting: Callable[..., Any] | None) -> Iterator[None]:
        """Run passes over a part of a batch that begins at row `first`; nodes that couple rows call `meeting`."""
        self._training.row, self._training.meeting = first, meeting
        try:
            yield
        finally:
            self._training.row, self._training.meeting = 0, None

    def coupled(self) -> list[tuple[int, int]]:
        """The nodes that couple the rows of a batch, as (number, width)."""
        return _engine.coupled(self._training)

    def draws_at_random(self) -> bool:
        """Whether passes in training draw random numbers by row."""
        ops = self._graph[1]
        return any(
            kind == "dropout" or _engine.ACTIVATIONS[settings.get("activation", "linear")].draws
            for kind, *_, settings in ops
        )

    def statistics(self) -> list[slice]:
        """The parts of the parameters that training passes update: running averages."""
        return [slice(start, stop) for start, stop in self._fixed]

    def set_trainable(self, parts: list, trainable: bool) -> None:
        """Set whether training updates these parts of the parameters, which are all parameters of one layer."""
        with self._lock:
            self._frozen.pop(tuple(parts), None)
            if not trainable:
                self._frozen[tuple(parts)] = parts
                for start, stop in parts:
                    self.grads[start:stop] = 0
            others = self._inference.program, *self._partial.values(), *self._steppers
            training = self._training, *self._taped
            for program, fused in [*((each, True) for each in training), *((each, False) for each in others)]:
                program.freeze(self._expansion.tensors_with(self._frozen_parts(), fused))
            self._find_spans()

    def _frozen_parts(self):
        return [part for parts in self._frozen.values() for part in parts]

    def fix(self, parts: list) -> None:
        """Set the parts of the parameters that no optimizer updates."""
        self._fixed = parts
        self._find_spans()

    def trained(self) -> np.ndarray:
        """Mask of the parameters that an optimizer updates."""
        moves = np.zeros(self.params.size, bool)
        for start, stop in [(0, moves.size)] if self._spans is None else self._spans:
            moves[start:stop] = True
        return moves

    def _find_spans(self):
        """The spans of parameters that an optimizer updates; None for all."""
        kept = sorted([*self._fixed, *self._frozen_parts()])
        ends = [0, *(end for part in kept for end in part), self.params.size]
        spans = list(zip(ends[::2], ends[1::2], strict=True))
        self._spans = [span for span in spans if span[0] < span[1]] if kept else None


def _step_on(programs, parts, chain, lr, threads):
    training, losses, rows = programs._training, [], 0
    training.pending = 0
    programs.grads[...] = 0
    for outputs, *data in parts:
        program = programs.of_outputs(outputs)
        program.loss_and_gradient(*data, training.seed, training.draws, True, threads, True)
        losses.append(program.losses)
        rows += len(data[0][0])
    total = sum(map(sum, losses))
    if not math.isfinite(total):
        return losses, 1
    training.draws += 1
    arguments = chain, programs.params, programs.grads, lr, programs._spans, total
    return losses, 0 if _engine.updated(training, programs._update, arguments, rows) else 2


def _snapshot(programs, chain):
    own = programs.params.copy(), programs.draws
    return own if chain is None else (*own, chain.states.copy(), chain.t, chain.loss)


def _never(X, threads: int | None = None, out: np.ndarray | None = None) -> None:
    """`quick_predict` of networks without a fast path."""
