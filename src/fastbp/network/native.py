"""Native: a network as C functions for a fixed number of rows, which compiled loops call without Python.

The engine has the functions (`_engine/native.pyx`); this module gives them addresses, ctypes prototypes and capsules.
"""

import ctypes
from typing import Any

from fastbp import _engine
from fastbp._optional import package
from fastbp.inputs import checks

_AT, _NUMBER = ctypes.c_void_p, ctypes.c_double
# Arguments and signature of each function; x, y, t and so on are arrays of the network's dtype.
_FUNCTIONS: dict[str, tuple[Any, tuple, str]] = {
    "predict": (ctypes.c_int, (_AT, _AT, _AT), "int (void *, const void *, void *)"),
    "vjp": (ctypes.c_int, (_AT, _AT, _AT, _AT, _AT), "int (void *, const void *, const void *, void *, void *)"),
    "jvp": (ctypes.c_int, (_AT, _AT, _AT, _AT, _AT), "int (void *, const void *, const void *, void *, void *)"),
    "step": (ctypes.c_int, (_AT, _AT, _AT, _NUMBER, _AT), "int (void *, const void *, const void *, double, double *)"),
    "integrand": (_NUMBER, (ctypes.c_int, _AT, _AT), "double (int, double *, void *)"),
}


class Native:
    """A network as C functions for a fixed number of rows; `Network.native` and `Trainer.native` create it.

    Every function takes `handle` first and returns 0, or a status that says what failed; docs/native.md has the table
    of them. A handle has memory of its own: different handles can run at the same time in different threads.
    Arrays are C-contiguous, of the network's dtype; nothing checks them, and a wrong size corrupts memory.

    Attributes
    ----------
    handle : int
        Address of the handle, the first argument of every function. It is open until `close`, or until this object, its
        functions and capsules are gone; after that the functions return 6.
    rows : int
        Number of rows of every call.
    predict, vjp, jvp, step : ctypes function, or None
        predict(handle, x, y): y = net(x).
        vjp(handle, x, dy, dx, dparams): dx, dy times the derivative at x by the input; dparams, by the parameters,
        summed over the rows; pass 0 for a result that is not wanted.
        jvp(handle, x, dx, y, dy): the outputs, and the directional derivative along dx; pass 0 for a result that is not
        wanted. None if an operation of the network has no tangent rule.
        step(handle, x, t, lr, loss): one training step; writes the loss, a double, unless `loss` is 0. None without a
        trainer.
    addresses : dict from str to int
        Addresses of the same functions by name, and "integrand" of a float64 network of one output at one row.
    capsules : dict from str to PyCapsule
        The same functions as capsules, named by their C signatures, with the handle as their context.
    """

    def __init__(self, engine: _engine.Native, rows: int, net: Any):
        self._engine, self.rows, self._net = engine, rows, net
        self.handle: int = engine.address
        self.addresses: dict[str, int] = engine.addresses()
        self.capsules = {name: _engine.capsule(engine, name, _FUNCTIONS[name][2].encode()) for name in self.addresses}
        self.predict = self._function("predict")
        self.vjp = self._function("vjp")
        self.jvp = self._function("jvp")
        self.step = self._function("step")

    def _function(self, name):
        if name not in self.addresses:
            return None
        result, arguments, _ = _FUNCTIONS[name]
        made = ctypes.CFUNCTYPE(result, *arguments)(self.addresses[name])
        made.engine = self._engine  # the function alone keeps the handle open
        return made

    def integrand(self) -> Any:
        """The network as a `scipy.LowLevelCallable`, for `scipy.integrate.quad` and `nquad`.

        Raises
        ------
        ValueError
            If the network is not float64 with one output, or the handle is not for one row.
        """
        if "integrand" not in self.addresses:
            raise ValueError("an integrand is a float64 network with one output, for rows=1")
        return package("scipy", "an integrand").LowLevelCallable(self.capsules["integrand"])

    def close(self) -> None:
        """Make every function return 6 from now on; wait for a call that runs in another thread."""
        self._engine.close()

    def __repr__(self):
        return f"<Native of {self._net!r}, {self.rows} rows: {', '.join(self.addresses)}>"


def of_network(net: Any, rows: int) -> _engine.Native:
    """The engine's handle of a network."""
    rows = checks.positive_int(rows, "rows")
    if len(net.inputs) != 1 or len(net.outputs) != 1:
        raise ValueError(f"a native function is of one input and one output, got {net!r}")
    for layer in net.layers:
        if layer.kind in ("python", "embedding"):
            what = "calls Python" if layer.kind == "python" else "selects rows of a table, which nothing checks"
            raise ValueError(f"{layer!r} {what}: no native function of it")
    return net.programs.native(rows)
