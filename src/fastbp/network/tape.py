"""Tapes: forward passes kept for backward passes in any order, any number of them at once.

Each tape has a program with memory of its own, which a later tape reuses when no reference to the first is left.
Rejected: one program with a stack of activations, since all kernels take its buffers as plain rows.
"""

import weakref
from typing import Any

import numpy as np

from fastbp import _engine
from fastbp._typing import Arrays, OneOrMore
from fastbp.inputs import checks


class Tapes:
    """Shared by the tapes of a network: programs that are free, and the parameters of the last forward pass."""

    def __init__(self, net: Any):
        self.programs, self.outputs, self.dtype = net.programs, net.outputs, net.dtype
        fixed = {f"{layer.name}.{name}" for layer in net.layers for name in layer.statistics}
        self.spans = [part for name, (part, _) in net.slices.items() if name not in fixed]
        self.free: list[_engine.Program] = []
        self.seen: np.ndarray | None = None

    def forward(self, xs: tuple, training: bool) -> "Tape":
        """Run a forward pass on these inputs and return its tape."""
        if self.seen is None or not self.are_current(self.seen):
            self.seen = self.programs.params.copy()
        program = self.free.pop() if self.free else self.programs.for_tape()
        tape = Tape(self, program, self.seen, len(xs[0]))
        ys = self.programs.forward_on(program, xs, training)
        tape.output = ys[0] if len(ys) == 1 else ys
        return tape

    def are_current(self, params: np.ndarray) -> bool:
        """Whether the network still has these parameters, except running averages."""
        now = self.programs.params
        return all(now[span].tobytes() == params[span].tobytes() for span in self.spans)


class Tape:
    """A forward pass kept for its backward pass: `net.forward(X, keep=True)` returns it.

    Any number of tapes of a network may exist at once; each has memory for the activations of its rows and their
    gradients, which is reused when the tape is deleted.

    Attributes
    ----------
    output : ndarray of shape (rows, outputs), or a tuple of them for several outputs
        The outputs of the forward pass.

    See Also
    --------
    Model : Its methods forward and backward, for one pass at a time.

    Examples
    --------
    Backpropagation through time, h = tanh([x, h] W + b) over five steps:

    >>> import numpy as np
    >>> from fastbp import Concatenate, Dense, Input, Model
    >>> x, h = Input(2), Input(3)
    >>> cell = Model([x, h], Dense(3, "tanh")(Concatenate()(x, h)), dtype="float64", seed=0)
    >>> X, state, tapes = np.ones((5, 4, 2)), np.zeros((4, 3)), []
    >>> for k in range(5):
    ...     tapes.append(cell.forward((X[k], state), keep=True))
    ...     state = tapes[-1].output
    >>> cell.grads[...] = 0
    >>> dh = np.ones((4, 3))
    >>> for tape in reversed(tapes):
    ...     dx, dh = tape.backward(dh)
    >>> dh.shape
    (4, 3)
    """

    output: OneOrMore

    def __init__(self, tapes: Tapes, program: _engine.Program, params: np.ndarray, rows: int):
        self._tapes, self._program, self._params, self._rows = tapes, program, params, rows
        weakref.finalize(self, tapes.free.append, program).atexit = False

    def backward(self, dY: Arrays, accumulate: bool = True) -> OneOrMore:
        """Compute the gradients from the gradients of the outputs, and add them to `net.grads`.

        Parameters
        ----------
        dY : array of shape (rows, outputs), or a tuple of them for several outputs
            Gradient of the loss with respect to `output`.
        accumulate : bool, default=True
            Whether to add to `grads` instead of overwriting it. For the first tape set `grads` to 0 or pass False.

        Returns
        -------
        ndarray of shape (rows, inputs), or a tuple of them for several inputs
            Gradient of the loss with respect to X.

        Raises
        ------
        RuntimeError
            If the parameters have changed since the forward pass; running averages of BatchNorm may change.
        """
        tapes = self._tapes
        dys = checks.as_batch(dY, tapes.outputs, tapes.dtype, "dY", check_finite=False)
        checks.same_rows(dys[0], self._rows, "dY", "the X of forward")
        if not tapes.are_current(self._params):
            raise RuntimeError(
                "the parameters have changed since the forward pass of this tape, whose gradient would be of neither:"
                " call backward of all tapes before the update, or forward again"
            )
        dxs = tapes.programs.backward_on(self._program, dys, bool(accumulate))
        return dxs[0] if len(dxs) == 1 else dxs

    def __repr__(self):
        return f"<Tape of {self._rows} rows>"
