"""The variant of the kernels that runs here: the best that the processor has, or what FASTBP_ISA names."""

import os
import sys
from importlib import import_module

import numpy as np

from fastbp._engine import cpu


def _tables(isa: str) -> dict:
    tables = {
        np.dtype(dtype): import_module(f"fastbp._engine.kernels_{isa}_{dtype}").TABLE
        for dtype in ("float32", "float64")
    }
    # All variants come from one C source, which registers its module under the name that Cython translated it by.
    sys.modules.pop("fastbp._engine.kernels.all", None)
    return tables


def _at_a_shell() -> bool:
    """Whether this process is the command `fastbp`, or `python -m fastbp`."""
    script = os.path.splitext(os.path.basename(sys.argv[0]))[0] if sys.argv else ""
    return script == "fastbp" or sys.orig_argv[1:3] == ["-m", "fastbp"]


def _select() -> tuple[str, dict]:
    supported = cpu.supported()
    if not supported:
        needed = ", ".join(name for name in cpu.LEVELS["generic"][0] if not cpu.has(name))
        raise ImportError(f"fastbp needs a processor of x86-64-v2; this one lacks: {needed}")
    forced = os.environ.get("FASTBP_ISA")
    if forced:
        if forced not in supported:
            message = f"FASTBP_ISA is {forced!r}; this processor runs: {', '.join(supported)}"
            if _at_a_shell():  # the command line is loaded after this and could not report it
                raise SystemExit(f"fastbp: error: {message}")
            raise ImportError(message)
        return forced, _tables(forced)
    for isa in supported:
        try:
            return isa, _tables(isa)
        except ModuleNotFoundError:  # not built for this platform
            continue
    raise ImportError("fastbp is installed without compiled kernels; build it again with a C compiler")


isa, TABLES = _select()
