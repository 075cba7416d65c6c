"""A network at work: its two vectors, its compiled programs, and the lock around them.

Training and inference have a program each, so that a predict between forward and backward does no harm.
One thread at a time is inside; another waits. Everything here takes arrays that are checked already: the
network above checks for users, the trainer checks a whole data set once. Without `threads` the engine chooses.
"""

import threading

import numpy as np

from fastbp import _engine
from fastbp.threads import for_engine

JOB_FIRST = 8  # where the first batch stands among the arguments of a job
ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


class Programs:
    """The parameters, gradients and programs of one graph.

    `draws` counts the forward passes in training, which numbers the dropout masks; `pending` is the number
    of rows of the forward pass that a backward pass may follow, 0 for none.
    """

    def __init__(self, dtype, widths, ops, inputs, outputs, size, seed):
        self.params = aligned_zeros(size, dtype)
        self.grads = aligned_zeros(size, dtype)
        self.seed = seed
        self.draws = 0
        self.pending = 0
        self._lock = threading.Lock()
        self._lane = None
        self._frozen: dict[frozenset[int], list] = {}
        self._fixed: list = []
        self._spans: list | None = None
        self._graph = (widths, ops, inputs, outputs)
        self._tangent_programs: dict[bool, tuple] = {}
        self._training, self._inference = (
            _engine.Program(dtype.name, widths, ops, inputs, outputs, self.params, self.grads) for _ in range(2)
        )
        if len(inputs) == len(outputs) == 1:
            self._lane = _engine.Lane(self._inference, self.params.dtype)

    def forward(self, xs: tuple, training: bool, threads: int | None = None) -> tuple:
        """Outputs; keeps what backward needs."""
        with self._lock:
            self.pending = 0
            ys = self._training.forward(xs, training, self.seed, self.draws, for_engine(threads))
            self.pending = len(xs[0])
            self.draws += training
        return ys

    def backward(self, dys: tuple, accumulate: bool, threads: int | None = None) -> tuple:
        """Gradients of the inputs; fills grads."""
        with self._lock:
            return self._training.backward(dys, accumulate, True, for_engine(threads))

    def quick_predict(self, X, threads: int | None = None) -> np.ndarray | None:
        """Outputs of an X that needs no conversion, checked on the way; None if it does."""
        if self._lane is None:
            return None
        with self._lock:
            return self._lane.predict(X, for_engine(threads))

    def lane(self, losses: tuple | None, chain) -> _engine.Lane | None:
        """What `quick_step` takes; None for several inputs or outputs, or a loss written in Python."""
        if self._lane is None or losses is None:
            return None
        return _engine.Lane(self._training, self.params.dtype, losses[0], chain)

    def quick_step(self, lane, X, y, lr: float, threads: int | None = None) -> tuple[float, int] | None:
        """Loss and status of a step on X and y that need no conversion, checked on the way; None if they do."""
        with self._lock:
            done = lane.step(X, y, lr, self.seed, self.draws, for_engine(threads))
            if done is not None:
                self.pending = 0
                self.draws += done[1] == 0
        return done

    def predict(self, xs: tuple, threads: int | None = None) -> tuple:
        """Outputs without dropout."""
        with self._lock:
            return self._inference.predict(xs, for_engine(threads))

    def run(self, *job, threads: int | None = None) -> tuple[int, int]:
        """Train batches of a job: what `_engine.Program.run` takes before the seed. Next batch (or bad one), status."""
        first = job[JOB_FIRST]
        with self._lock:
            self.pending = 0
            batch, status = self._training.run(*job, self.seed, self.draws, for_engine(threads))
            self.draws += batch - first
        return batch, status

    def loss_and_gradient(self, xs, ts, weights, losses, threads: int | None = None) -> float:
        """The loss without dropout; fills grads."""
        with self._lock:
            self.pending = 0
            return self._training.loss_and_gradient(
                xs, ts, weights, losses, self.seed, self.draws, False, for_engine(threads)
            )

    def update(self, chain, lr: float) -> bool:
        """One step of an optimizer's chain; whether the update was finite."""
        with self._lock:
            fine = chain.step(self.params, self.grads, lr, self._spans)
            self._training.constrain()
        return fine

    # Derivatives of the outputs. They run in programs other than training's, so that `grads` and `pending` stay.

    def vjp(self, xs: tuple, dys: tuple, threads: int | None = None) -> tuple:
        """Gradients of the inputs."""
        with self._lock:
            return _engine.vjp(self._inference, xs, dys, for_engine(threads))

    def jvp(self, xs: tuple, directions: tuple, threads: int | None = None) -> tuple:
        """How the outputs move along directions of the inputs."""
        with self._lock:
            program, _ = self._tangents(False)
            return program.predict((*xs, *directions), for_engine(threads))[len(self._graph[3]) :]

    def jacobian(self, xs: tuple, outs: list, forward: bool, threads: int | None = None) -> None:
        """Fill outs, one array (rows, output, input) for each output and input."""
        with self._lock:
            if forward:
                _engine.push(*self._tangents(False), xs, outs, for_engine(threads))
            else:
                _engine.pull(self._inference, xs, outs, for_engine(threads))

    def second(self, xs: tuple, out, feature: int, ts, losses, threads: int | None = None) -> None:
        """Fill out with Hessians by the input, or with their products with a direction after it in xs."""
        with self._lock:
            _engine.second(*self._tangents(False), xs, out, feature, ts, losses, for_engine(threads))

    def parameter_second(self, xs: tuple, direction: np.ndarray, ts: tuple, losses: tuple) -> np.ndarray:
        """The Hessian of the batch's loss by the parameters, times a direction."""
        size = self.params.size
        with self._lock:
            program, _ = self._tangents(True)
            params, grads = self._tangent_programs[True][2:]
            params[:size], params[size:] = self.params, direction
            _engine.parameter_second(program, xs, ts, losses)
            return grads[:size].copy()

    def rows_gradients(self, xs: tuple, dys: tuple, out, norms, threads: int | None = None) -> None:
        """Fill out with the gradient of each row, or norms with their norms."""
        with self._lock:
            if out is not None and self._spans is not None:
                out[...] = 0
            _engine.rows_gradients(self._inference, xs, dys, out, norms, self.params.size, for_engine(threads))

    def _tangents(self, of_parameters):
        """The program of the graph's tangents and the tensors in it that move, compiled when first wanted."""
        if of_parameters not in self._tangent_programs:
            size = self.params.size
            try:
                graph, moving, along = _engine.tangent(*self._graph, size if of_parameters else None)
            except NotImplementedError:
                raise ValueError(
                    "no tangents go through a Lambda: its net has derivatives in reverse mode only"
                ) from None
            params = aligned_zeros(2 * size, self.params.dtype) if of_parameters else self.params
            grads = aligned_zeros(params.size, self.params.dtype)
            program = _engine.Program(self.params.dtype.name, *graph, params, grads)
            program.freeze(frozenset(along))
            self._tangent_programs[of_parameters] = (program, moving, params, grads)
        return self._tangent_programs[of_parameters][:2]

    def set_trainable(self, tensors: frozenset[int], parts: list, trainable: bool) -> None:
        """Whether training moves these parts of the parameters, of the layer that gives these tensors."""
        with self._lock:
            self._frozen.pop(tensors, None)
            if not trainable:
                self._frozen[tensors] = parts
                for start, stop in parts:
                    self.grads[start:stop] = 0
            for program in (self._training, self._inference):
                program.freeze(frozenset().union(*self._frozen))
            self._find_spans()

    def fix(self, parts: list) -> None:
        """Says which parts of the parameters no optimizer ever moves."""
        self._fixed = parts
        self._find_spans()

    def _find_spans(self):
        """What an optimizer moves: None for all."""
        kept = sorted([*self._fixed, *(part for parts in self._frozen.values() for part in parts)])
        ends = [0, *(end for part in kept for end in part), self.params.size]
        spans = list(zip(ends[::2], ends[1::2], strict=True))
        self._spans = [span for span in spans if span[0] < span[1]] if kept else None


def aligned_zeros(size: int, dtype: np.dtype) -> np.ndarray:
    """A zero vector that begins on a cache line."""
    raw = np.zeros(size * dtype.itemsize + ALIGNMENT, np.uint8)
    first = -raw.ctypes.data % ALIGNMENT
    return raw[first : first + size * dtype.itemsize].view(dtype)
