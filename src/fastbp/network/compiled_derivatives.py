"""The programs that compute derivatives of a network's outputs, compiled on first use.

They are separate from the training programs, so that `grads` and the state of a pending backward pass do not change.
"""

import contextlib

import numpy as np

from fastbp import _engine
from fastbp.layers.layer import Layer
from fastbp.network.expansion import Expansion
from fastbp.threads import for_engine

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


class DerivativePrograms:
    """The programs of a network's graph (widths, ops, inputs, outputs), over its live parameters.

    Arrays are already checked. `inference` is the network's program for predictions; `lock` is the network's.
    """

    def __init__(
        self,
        expansion: Expansion,
        params: np.ndarray,
        inference: _engine.Program,
        lock: _engine.Lock,
    ):
        self._expansion = expansion
        self._graph = expansion.graph
        self._params = params
        self._inference = inference
        self._lock = lock
        self._tangent_programs: dict[bool, tuple] = {}
        self._hidden: tuple | None = None
        self._observer: _engine.Program | None = None
        self._explainer: tuple | None = None

    def vjp(self, xs: tuple, dys: tuple, threads: int | None = None) -> tuple:
        """Gradients of the inputs."""
        return self._lock.call(_engine.vjp, self._inference, xs, dys, for_engine(threads))

    def jvp(self, xs: tuple, directions: tuple, threads: int | None = None) -> tuple:
        """Directional derivatives of the outputs along directions of the inputs."""
        program, _ = self._tangents(False)
        return self._lock.call(program.predict, (*xs, *directions), for_engine(threads))[len(self._graph[3]) :]

    def jacobian(self, xs: tuple, outs: list, forward: bool, threads: int | None = None) -> None:
        """Fill outs, one array (rows, output, input) for each output and input."""
        if forward:
            self._lock.call(_engine.push, *self._tangents(False), xs, outs, for_engine(threads))
        else:
            self._lock.call(_engine.pull, self._inference, xs, outs, for_engine(threads))

    def whole_jacobian(self, xs: tuple, threads: int | None = None) -> np.ndarray | None:
        """The Jacobian of a net of one hidden layer as one product; None for other nets."""
        if self._hidden is None:
            self._hidden = self._compile_hidden()
        if not self._hidden:
            return None
        program, params, W, V, products = self._hidden
        with self._lock:
            params[: self._params.size] = self._params
            _engine.weight_products(W, V, products)
            J = program.predict(xs, for_engine(threads))[0]
        return J.reshape(len(J), V.shape[1], W.shape[0])

    def second(self, xs: tuple, out, feature: int, ts, terms, threads: int | None = None) -> None:
        """Fill `out` with Hessians by the input, or with Hessian-vector products if xs also has a direction."""
        tangents = self._tangents(False)
        self._lock.call(_engine.second, *tangents, xs, out, feature, ts, terms, for_engine(threads))

    def parameter_second(self, xs: tuple, direction: np.ndarray, ts: tuple, terms: tuple) -> np.ndarray:
        """The Hessian of the batch's loss by the parameters, times a direction."""
        size = self._params.size
        with self._lock:
            program, _ = self._tangents(True)
            params, grads = self._tangent_programs[True][2:]
            params[:size], params[size:] = self._params, direction
            _engine.parameter_second(program, xs, ts, terms)
            return grads[:size].copy()

    def rows_gradients(self, xs: tuple, ts: tuple, terms, out, norms, threads: int | None = None) -> None:
        """Fill `out` with the gradient of each row's loss, or `norms` with the norms of these gradients.

        Without terms, ts holds the gradients of the outputs.
        """
        size, threads = self._params.size, for_engine(threads)
        self._lock.call(_engine.rows_gradients, self._inference, xs, ts, terms, out, norms, size, threads)

    def figures(self, xs: tuple, ts: tuple, objective) -> tuple:
        """Loss and, by node, the figures, bounds of the slopes and values, from one pass without dropout."""
        with self._lock:
            if self._observer is None:
                self._observer = self._program(self._graph, self._params)[0]
            value = _pass(self._observer, xs, ts, objective)
            table = np.empty((len(self._graph[1]), len(_engine.FIGURES)))
            _engine.describe(self._observer, table, True)
            bounds = np.array(_engine.slope_bounds(self._observer))
            figures = self._expansion.rows_of(table, False), self._expansion.rows_of(bounds, False)
            return value, *figures, self._expansion.by_node(_engine.values(self._observer))

    def explained(self, xs: tuple, ts: tuple, objective) -> tuple:
        """Loss, and by node: values, gradients, the gradient its op sent to each parent, Z before an activation.

        An activation is an op of its own in this program, so that both its incoming gradient and dZ are kept.
        """
        widths, ops, inputs, outputs = self._graph
        with self._lock:
            if self._explainer is None:
                graph = _activations_apart(widths, ops)
                self._explainer = self._program((*graph, inputs, outputs), self._params)[0], graph[1]
            program, apart = self._explainer
            value = _pass(program, xs, ts, objective)
            values, (totals, edges) = _engine.values(program), _engine.tensor_gradients(program)
        made = {op[2]: k for k, op in enumerate(apart)}
        if self._expansion.parts is not None:
            return value, *self._expansion.explained(apart, values, totals, edges)
        sent, Z = {}, {}
        for kind, parents, output, _, _ in ops:
            last = made[output]
            first = made[apart[last][1][0]] if kind == "dense" and apart[last][0] == "activation" else last
            sent[output] = edges[first]
            if apart[last][0] == "activation":
                Z[output] = values[apart[last][1][0]]
            assert len(sent[output]) == len(parents)
        return value, values, totals, sent, Z

    def _tangents(self, of_parameters: bool) -> tuple[_engine.Program, list[bool]]:
        """The program of the graph's tangents, and its tensors that depend on the inputs."""
        if of_parameters not in self._tangent_programs:
            size = self._params.size
            try:
                graph, moving, along = _engine.tangent(*self._graph, size if of_parameters else None)
            except _engine.NoTangentRule as error:
                found = error.args[0]  # a layer written in Python, or the name of an op
                name = repr(found) if isinstance(found, Layer) else f"{found!r}, which has no tangent rule"
                why = f"no tangents go through {name}: its net has derivatives in reverse mode only"
                raise ValueError(why) from None
            params = aligned_zeros(2 * size, self._params.dtype) if of_parameters else self._params
            program, grads = self._program(graph, params)
            program.freeze(frozenset(along))
            self._tangent_programs[of_parameters] = (program, moving, params, grads)
        return self._tangent_programs[of_parameters][:2]

    def native(self, rows: int) -> _engine.Native:
        """Native functions for a fixed number of rows, with programs of their own."""
        tangents = None
        with contextlib.suppress(_engine.NoTangentRule):
            tangents, _ = self._program(_engine.tangent(*self._graph, None)[0], self._params)
        return _engine.Native(self._lock, rows, self._program(self._graph, self._params)[0], tangents)

    def _compile_hidden(self):
        """The program of `whole_jacobian` and its parameters: the network's, then the products of its weights."""
        size = self._params.size
        found = _engine.one_hidden_layer(*self._graph, size)
        if found is None:
            return ()
        graph, first, last = found
        widths, ops, inputs, outputs = self._graph
        I, H, O = widths[inputs[0]], widths[ops[0][2]], widths[outputs[0]]
        params = aligned_zeros(size + H * O * I, self._params.dtype)
        W, V = self._params[first : first + I * H].reshape(I, H), self._params[last : last + H * O].reshape(H, O)
        return self._program(graph, params)[0], params, W, V, params[size:].reshape(H, O, I)

    def _program(self, graph, params):
        grads = aligned_zeros(params.size, params.dtype)
        program = _engine.Program(params.dtype.name, *graph, params, grads)
        program.guard(self._lock)
        return program, grads


def _pass(program, xs, ts, objective):
    """Run forward, the objective, and backward down to the inputs; return the loss."""
    ys = program.forward(xs, False, 0, 0)
    value, dys = objective(ys, ts, None)
    program.backward(dys, False, True)
    return value


def _activations_apart(widths, ops):
    """The graph with each dense layer cut in two: the product, and the activation."""
    widths, apart = list(widths), []
    for kind, parents, output, offsets, settings in ops:
        if kind == "dense" and settings["activation"] != "linear":
            widths.append(widths[output])
            Z = len(widths) - 1
            apart.append((kind, parents, Z, offsets, {**settings, "activation": "linear"}))
            kind, parents, offsets = "activation", (Z,), ()
        apart.append((kind, parents, output, offsets, settings))
    return widths, apart


def aligned_zeros(size: int, dtype: np.dtype) -> np.ndarray:
    """A zero vector aligned to a cache line, followed by a line that may be read: its last vector may overrun."""
    raw = np.zeros(size * dtype.itemsize + 2 * ALIGNMENT, np.uint8)
    first = -raw.ctypes.data % ALIGNMENT
    return raw[first : first + size * dtype.itemsize].view(dtype)
