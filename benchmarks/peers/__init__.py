"""One module a peer, with `start(problem, threads)`, which returns a Runner or None where it cannot.

`TASKS` says what it does, if that is other than training, gradients and predictions.

Each is written the way its own users would write it to be fast.
"""

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple, Protocol

# Name on the screen: module, package whose version is reported and which pip installs.
PEERS = {
    "fastbp": ("ours", "fastbp"),
    "compiled": ("ours_compiled", "fastbp"),
    "fit": ("ours_fit", "fastbp"),
    "to_c": ("ours_in_c", "fastbp"),
    "frontier": ("frontier", None),
    "pure": ("pure_python", None),
    "numpy": ("with_numpy", "numpy"),
    "numba": ("with_numba", "numba"),
    "sklearn": ("with_sklearn", "scikit-learn"),
    "torch": ("with_torch", "torch"),
    "manual": ("with_torch_manual", "torch"),
    "compile": ("with_torch_compile", "torch"),
    "jax": ("with_jax", "jax"),
    "jax_scan": ("with_jax_scan", "jax"),
    "jax_forward": ("with_jax_forward", "jax"),
    "onnxruntime": ("with_onnxruntime", "onnxruntime"),
    "openvino": ("with_openvino", "openvino"),
    "litert": ("with_litert", "ai-edge-litert"),
    "fann": ("with_fann", "cynn"),
    "rtneural": ("with_rtneural", None),
}
# No rivals: other ways to call us, and the loop that bounds what a library can reach.
OURS, BOUND = ("fastbp", "compiled", "fit", "to_c"), "frontier"


class Runner(Protocol):
    """A net of a peer's, ready to go.

    One that goes through several batches in one call has `several(count)` too, and is timed by it: about so many steps,
    it returns how many.
    """

    def step(self, k: int):
        """Go through batch k; the result may still be on its way."""

    def wait(self) -> None:
        """Come back when all of it has been computed."""

    def result(self) -> list:
        """What is compared: all parameters, or the outputs or the gradient of the last step."""


class Peer(NamedTuple):
    """A library that is installed."""

    name: str
    version: str
    start: object
    tasks: tuple[str, ...]


def installed(names) -> list[Peer]:
    """Those of the named peers that can be imported."""
    found = []
    for name in names:
        module, package = PEERS[name]
        try:
            at = version(package) if package else ""
            peer = import_module(f"benchmarks.peers.{module}")
            found.append(Peer(name, at, peer.start, getattr(peer, "TASKS", ("train", "gradient", "predict"))))
        except (ImportError, PackageNotFoundError) as error:
            sys.stderr.write(f"left out: {name}, {error}{f' (pip install {package})' if package else ''}\n")
    return found
