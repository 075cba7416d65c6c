"""Network: a graph of nodes with its parameters; computes forward and backward passes, does not train.

The graph is immutable; the parameters are one flat vector, and a layer's parameters are views into it.
Copies, pickles and files all use `config()` and `arrays()`. Training is in folders above.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, overload

import numpy as np

from fastbp._configured import Registry
from fastbp._typing import Arrays, DTypeLike, OneOrMore
from fastbp.inputs import checks
from fastbp.inputs.array_sources import as_source, inputs_of, limited, refuse_beyond
from fastbp.inputs.few_rows import is_empty, is_row
from fastbp.layers.embedding import limits_of, tables_of
from fastbp.layers.layer import Layer
from fastbp.layers.node import Input, Node, names_for
from fastbp.network import sharing
from fastbp.network.as_layer import AsLayer
from fastbp.network.compiled import Programs
from fastbp.network.config import built, check_arrays, unpickled, written
from fastbp.network.expansion import expanded
from fastbp.network.native import Native, of_network
from fastbp.network.structure import offsets_in, ordered, size_of, slices_of, started
from fastbp.network.tape import Tape, Tapes


class Network(AsLayer):
    """A directed acyclic graph of layers.

    Parameters
    ----------
    inputs : Input or list of Input
        The inputs, one or several.
    outputs : Node or list of Node
        The outputs, one or several.
    dtype : {"float32", "float64"}, optional
        dtype of parameters, gradients and all results. If not given, the dtype of the model that the layers belong
        to, else float32.
    seed : int, optional
        Seed of the initial values, the dropout masks and, unless a trainer has its own, the shuffling. Random if not
        given.
    name : str, optional
        Name in `summary`; the class's name if not given.

    Attributes
    ----------
    params, grads : ndarray of shape (n,)
        All parameters and their gradients, flat and live. `slices` has the (slice, shape) of each by its full name.
    inputs, outputs, nodes : tuple of Node
        Nodes in topological order.
    layers : tuple of Layer
        Each layer once, in the order of application.

    See Also
    --------
    Sequential : A chain of layers.
    Trainer : Keeps the state of the training.
    load : Reads a model file.

    Notes
    -----
    If all nodes already belong to one model, the new model shares its parameters: `params` and `grads` are the vectors
    of the first model. The first model can be trained; so can the new one if it uses all of the parameters.
    """

    classes: ClassVar[Registry] = Registry("class of model", "class")

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        Network.classes[cls.__name__] = cls

    def __init__(
        self,
        inputs: Input | Sequence[Input],
        outputs: Node | Sequence[Node],
        *,
        dtype: DTypeLike | None = None,
        seed: int | None = None,
        name: str | None = None,
    ):
        self._build(inputs, outputs, dtype, seed, name, None)

    def _build(self, inputs, outputs, dtype, seed, name, arrays):
        self._clones = {}
        self._probe = None
        self._tapes = None
        self.inputs = checks.instances(inputs, Input, "inputs")
        self.outputs = checks.instances(outputs, Node, "outputs")
        self.nodes = ordered(self.inputs, self.outputs)
        self.layers = tuple(dict.fromkeys(node.layer for node in self.nodes if node.layer is not None))
        self._owner = sharing.owner_of(self.layers)
        self.dtype = self._dtype_wanted(dtype)
        self.seed = checks.as_seed(seed)
        self.name = checks.as_name(name, "a model") or type(self).__name__.lower()
        self._tables = tables_of(self.inputs, self.nodes, self.dtype)
        names = names_for([*self.inputs, *self.layers])
        self.slices = slices_of(self.layers, names) if self._owner is None else self._slices_of_owner()
        if arrays is not None:
            check_arrays(arrays, self.slices, self.dtype)
        elif self._owner is None:
            arrays = started(self.layers, names, self.seed)
        self.programs = self._compile(names)
        if arrays is not None:
            for full_name, (part, _) in self.slices.items():
                self.params[part] = arrays[full_name].reshape(-1)
        self._bind(names)

    def _dtype_wanted(self, dtype):
        own = None if self._owner is None else self._owner.dtype
        wanted = checks.as_dtype(dtype if dtype is not None else own or "float32")
        if own not in (None, wanted):
            raise ValueError(f"the layers belong to a model of {own}, got dtype={wanted.name!r}; leave dtype out")
        return wanted

    def _slices_of_owner(self):
        names = [f"{layer.name}.{name}" for layer in self.layers for name in layer.fixed_shapes]
        return {name: self._owner.slices[name] for name in names}

    def _compile(self, names, vectors=None):
        places = {layer: offsets_in(self.slices, layer, names[layer]) for layer in self.layers}
        expansion = expanded(self.nodes, self.inputs, self.outputs, places)
        shared = None if self._owner is None else self._owner.programs
        return Programs(self.dtype, expansion, size_of(self.slices), self.seed, shared, vectors)

    def _bind(self, names):
        for node in self.inputs:
            node.name = names[node]
        owner = sharing.Owner(self.programs, self.slices, self.dtype)
        nodes: dict = {layer: [] for layer in self.layers}
        for node in self.nodes:
            nodes.get(node.layer, []).append(node)
        for layer in self.layers:
            views, parts = {}, []
            for name in layer.fixed_shapes:
                part, shape = self.slices[f"{names[layer]}.{name}"]
                views[name] = self.params[part].reshape(shape)
                views[f"d{name}"] = self.grads[part].reshape(shape)
                parts.append((part.start, part.stop))
            if layer.owner is None:
                layer.bind(names[layer], views, owner, nodes[layer])
            layer.tells(sharing.teller(self.programs, parts))
        self.programs.fix(
            [
                (part.start, part.stop)
                for layer in self.layers
                for part, _ in [self.slices[f"{names[layer]}.{name}"] for name in layer.statistics]
            ]
        )
        # One input without embeddings, the usual case, takes a shorter path through the checks.
        self._input_width = self.inputs[0].width if len(self.inputs) == 1 and not self._tables[0] else None

    @property
    def params(self) -> np.ndarray:
        """All parameters, flat and live; assignment copies values into them."""
        return self.programs.params

    @params.setter
    def params(self, values):
        params = self.params
        params[...] = checks.as_shaped(values, params.shape, self.dtype, "params")

    @property
    def grads(self) -> np.ndarray:
        """All gradients, flat and live."""
        return self.programs.grads

    @property
    def draws(self) -> int:
        """Number of forward passes in training so far, which selects the dropout masks."""
        return self.programs.draws

    @overload
    def forward(
        self, X: Arrays, training: bool = True, check_finite: bool = True, *, keep: Literal[False] = False
    ) -> OneOrMore: ...
    @overload
    def forward(self, X: Arrays, training: bool = True, check_finite: bool = True, *, keep: Literal[True]) -> Tape: ...
    def forward(
        self, X: Arrays, training: bool = True, check_finite: bool = True, *, keep: bool = False
    ) -> OneOrMore | Tape:
        """Compute the outputs and keep what `backward` needs.

        Parameters
        ----------
        X : array of shape (rows, inputs), or a tuple of them
            The inputs; a tuple for several.
        training : bool, default=True
            Whether dropout is on and BatchNorm uses the statistics of this batch.
        check_finite : bool, default=True
            Whether a NaN or infinity in X raises.
        keep : bool, default=False
            Whether to return a `Tape`, which has the outputs and its own `backward`; `net.backward` then still refers
            to the previous `forward`.

        Returns
        -------
        ndarray of shape (rows, outputs), a tuple of them for several outputs, or Tape
            The outputs; with `keep`, a Tape that holds them.
        """
        xs = self.as_inputs(X, check_finite)
        if keep:
            self._tapes = self._tapes or Tapes(self)
            return self._tapes.forward(xs, bool(training))
        ys = self.programs.forward(xs, bool(training))
        return ys[0] if len(ys) == 1 else ys

    def backward(self, dY: Arrays, accumulate: bool = False) -> OneOrMore:
        """Compute all gradients from the gradients of the outputs, for the last `forward`.

        Parameters
        ----------
        dY : array of shape (rows, outputs), or a tuple of them for several outputs
            Gradient of the loss with respect to the output.
        accumulate : bool, default=False
            Whether to add to `grads` instead of overwriting it.

        Returns
        -------
        ndarray of shape (rows, inputs), or a tuple of them for several inputs
            Gradient of the loss with respect to X.

        Raises
        ------
        RuntimeError
            If there was no `forward`, or a training step has used its memory since.

        Examples
        --------
        >>> from fastbp import Dense, Sequential, losses
        >>> net = Sequential(Input(2), Dense(1, weights="ones"), dtype="float64")
        >>> value, dY = losses.mse(net.forward([[1.0, 2.0]]), [[0.0]])
        >>> net.backward(dY)
        array([[6., 6.]])
        >>> net["dense_1"].dW
        array([[ 6.],
               [12.]])
        """
        rows = self.programs.pending
        if not rows:
            raise RuntimeError("backward needs a forward of its own before it")
        dys = checks.as_batch(dY, self.outputs, self.dtype, "dY", check_finite=False)
        checks.same_rows(dys[0], rows, "dY", "the X of forward")
        dxs = self.programs.backward(dys, bool(accumulate))
        return dxs[0] if len(dxs) == 1 else dxs

    def predict(
        self, X: Any, *, check_finite: bool = True, threads: int | None = None, out: OneOrMore | None = None
    ) -> OneOrMore:
        """Compute the outputs for inference: without dropout, and without changing what `backward` needs.

        Parameters
        ----------
        X : array of shape (rows, inputs), or a tuple of them
            The inputs; a tuple for several. One input may also be a single row of shape (inputs,), or have no rows.
            Batches from an iterable, as for `fit`, give an iterator of outputs.
        check_finite : bool, default=True
            Whether a NaN or infinity in X raises.
        threads : int, optional
            Number of threads of the engine, which chooses if not given.
        out : ndarray of shape (rows, outputs), or a tuple of them for several outputs, optional
            Arrays of the network's dtype to write the outputs to, and to return; new ones if not given.

        Returns
        -------
        ndarray of shape (rows, outputs), or (outputs,) for a single row, or a tuple of them for several outputs
            The outputs, of the network's dtype; `out` if it was given.
        """
        Y = self.programs.quick_predict(X, threads, out)
        if Y is not None:
            return Y
        width = self._input_width
        if width is not None and is_row(X, width):
            Y = self.predict(np.asarray([X]), check_finite=check_finite, threads=threads)
            ys = tuple(part[0] for part in (Y if isinstance(Y, tuple) else (Y,)))
        elif width is not None and is_empty(X, width):
            ys = tuple(np.empty((0, node.width), self.dtype) for node in self.outputs)
        elif out is None and (batches := inputs_of(X, len(self.inputs))) is not None:
            return (self.predict(x, check_finite=check_finite, threads=threads) for x in batches)
        else:
            ys = self.programs.predict(self.as_sources(X, check_finite), threads)
        if out is not None:
            ys = tuple(checks.into(*pair) for pair in zip(checks.one_each(out, len(ys), "out"), ys, strict=True))
        return ys[0] if len(ys) == 1 else ys

    def compiled(self, rows: int = 1) -> Callable[..., np.ndarray]:
        """A function f(x, y=None) that predicts a fixed number of rows in a third of the time of `predict`.

        It has memory of its own, and checks the shape and dtype of arrays, not their values. It converts nothing: x
        must be C-contiguous and of the network's dtype.

        Parameters
        ----------
        rows : int, default=1
            Number of rows of each call.

        Returns
        -------
        function
            With x alone it returns a new array, else it writes to y and returns y. x has shape (rows, inputs). For one
            row x may have shape (inputs,), and then the result has shape (outputs,).

        Raises
        ------
        ValueError
            For several inputs or outputs, a Lambda or an Embedding; from f, for an array that does not fit.

        Examples
        --------
        >>> from fastbp import Dense, Sequential
        >>> Sequential(Input(2), Dense(1, weights="ones")).compiled()(np.array([1.0, 2.0], "float32"))
        array([3.], dtype=float32)
        """
        return of_network(self, rows).call

    def native(self, rows: int = 1) -> Native:
        """The network as C functions for numba, Cython, SciPy and C; the functions of `Trainer.native` also train.

        Parameters
        ----------
        rows : int, default=1
            Number of rows of each call.

        Returns
        -------
        Native
            The functions, with their handle and addresses.

        Raises
        ------
        ValueError
            For several inputs or outputs, a Lambda or an Embedding.

        Examples
        --------
        >>> from fastbp import Dense, Sequential
        >>> functions = Sequential(Input(2), Dense(1, weights="ones")).native()
        >>> x, y = np.array([1.0, 2.0], "float32"), np.empty(1, "float32")
        >>> functions.predict(functions.handle, x.ctypes.data, y.ctypes.data), y
        (0, array([3.], dtype=float32))
        """
        return Native(of_network(self, rows), rows, self)

    def as_inputs(self, X: Arrays, check_finite: bool = True, name: str = "X") -> tuple[np.ndarray, ...]:
        """Checked X: one array for each input."""
        if self._input_width is not None:
            return (checks.as_rows(X, self._input_width, self.dtype, name, check_finite),)
        xs = checks.as_batch(X, self.inputs, self.dtype, name, check_finite)
        for x, tables, part in zip(xs, self._tables, checks.each_name(name, self.inputs), strict=True):
            if tables:
                refuse_beyond(x, limits_of(tables, x.shape[1]), part, range(len(x)))
        return xs

    def as_sources(self, X: Arrays, check_finite: bool = True, name: str = "X") -> tuple:
        """X checked as by `as_inputs`; an array that needs a conversion becomes a Source instead of a copy."""
        if self._input_width is not None:
            return (as_source(X, self._input_width, self.dtype, name, check_finite),)
        xs = checks.as_batch(X, self.inputs, self.dtype, name, check_finite, as_source)
        parts = zip(xs, self._tables, checks.each_name(name, self.inputs), strict=True)
        return tuple(
            limited(x, limits_of(tables, x.shape[1]), self.dtype, part) if tables else x for x, tables, part in parts
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Every parameter by its full name, such as "dense_1.W": live views."""
        return self.named(self.params)

    def named(self, params: np.ndarray) -> dict[str, np.ndarray]:
        """The parts of a vector like `params` by the full names of the parameters: views.

        Parameters
        ----------
        params : ndarray of shape (n,)
            A vector with a number for each parameter, such as `grads`.

        Returns
        -------
        dict from str to ndarray
            Views of it, of the shapes of the parameters.
        """
        return {name: params[part].reshape(shape) for name, (part, shape) in self.slices.items()}

    def snapshot(self) -> tuple[dict[str, np.ndarray], int]:
        """A copy of `arrays`, and `draws`, taken between two steps even if another thread is training."""
        params, draws = self.programs.snapshot()
        return self.named(params), draws

    def config(self) -> dict:
        """The graph and all settings, for JSON; without the parameters."""
        return written(self)

    @staticmethod
    def from_config(config: dict, arrays: dict[str, np.ndarray] | None = None) -> "Network":
        """Create a network from a configuration, of the class that it names.

        Parameters
        ----------
        config : dict
            As returned by `config()`.
        arrays : dict from str to ndarray, optional
            The parameters, as returned by `arrays()`; new initial values if not given.

        Returns
        -------
        Network
            The network, of the class that wrote the configuration.

        Raises
        ------
        ModelFormatError
            If the configuration is invalid or the arrays do not fit it.
        """
        return built(Network.classes, config, arrays)

    def copy(self) -> "Network":
        """An independent network with the same graph, parameters and future dropout masks."""
        return unpickled(type(self), self.config(), *self.snapshot())

    def in_double(self) -> "Network":
        """A copy in float64, for methods that depend on small differences."""
        arrays = {name: array.astype(np.float64) for name, array in self.snapshot()[0].items()}
        return Network.from_config({**self.config(), "dtype": "float64"}, arrays)

    def __reduce__(self):
        custom = tuple({type(layer) for layer in self.layers if layer.kind == "python"})
        return unpickled, (type(self), self.config(), *self.snapshot(), *((custom,) if custom else ()))

    def __getitem__(self, name: str) -> Layer:
        layers = {layer.name: layer for layer in self.layers}
        return layers[checks.one_of(name, "layer", layers, KeyError)]

    def __repr__(self):
        size = size_of(self.slices)
        return f"<{type(self).__name__} {self.name!r}, {size:,} parameters, {self.dtype}>"


Network.classes[Network.__name__] = Network
