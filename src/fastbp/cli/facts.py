"""The environment of a result: versions, machine, instruction set of the engine, threads."""

import platform

import numpy as np

import fastbp
from fastbp import _engine
from fastbp._engine import cpu
from fastbp.threads import get_num_threads


def facts() -> dict[str, str]:
    """Names and facts, for `fastbp info` and reports."""
    return {
        "fastbp": fastbp.__version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "instruction set": f"{_engine.isa} (of {', '.join(cpu.supported())})",
        "threads": str(get_num_threads()),
    }
