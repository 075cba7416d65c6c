"""Builds the engine: some modules once, the kernels once for each instruction set and number type.

One source, `kernels/all.pxi`, gives every variant; flags make the difference.  Which one runs is decided at import
(src/fastbp/_engine/variant.py).
"""

import os
import platform
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ENGINE = "src/fastbp/_engine"
STUBS = Path("build/variants")
MSVC = sys.platform == "win32"

# Vectorising needs -O3 and the two -fno flags; -ffast-math would change the mode of the whole process.
FLAGS = (
    "/O2 /std:c11"
    if MSVC
    else (
        "-std=gnu11 -g0 -ffp-contract=fast -fno-math-errno -fno-trapping-math -fno-strict-aliasing -fvisibility=hidden"
    )
)
# Kernels run over whole vectors, so what is left over need not be fast, and what is no kernel need not be large:
# together a sixth of the wheel.
GCC = sys.platform == "linux" and "clang" not in os.environ.get("CC", "")
KERNEL_FLAGS = [] if MSVC else ["-O3", *(["--param", "vect-epilogues-nomask=0"] if GCC else [])]
MODULE_FLAGS = [] if MSVC else ["-Os"]
STRIPPED = ["-Wl,-s"] if GCC else []
INSTRUCTION_SETS = {"generic": []}
if platform.machine().lower() in ("x86_64", "amd64") and not MSVC:
    INSTRUCTION_SETS = {
        "generic": ["-march=x86-64-v2"],
        "avx2": ["-march=x86-64-v3"],
        "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    }
NUMBERS = {"float32": "float", "float64": "double"}


def variant(isa: str, flags: list[str], dtype: str, real: str) -> Extension:
    """A module of its own needs a source file of its own: one line that includes the kernels."""
    source = STUBS / f"kernels_{isa}_{dtype}.pyx"
    STUBS.mkdir(parents=True, exist_ok=True)
    if not source.exists():
        source.write_text('include "kernels/all.pxi"\n')
    return Extension(
        f"fastbp._engine.{source.stem}",
        [str(source)],
        include_dirs=[ENGINE],
        define_macros=[("REAL", real)],
        extra_compile_args=[*FLAGS.split(), *KERNEL_FLAGS, *flags],
        # tests/test_machine_code.py looks functions up by their names
        extra_link_args=[] if isa == "avx512" else STRIPPED,
    )


def module(name: str) -> Extension:
    return Extension(
        f"fastbp._engine.{name}",
        [f"{ENGINE}/{name}.pyx"],
        include_dirs=[ENGINE],
        extra_compile_args=[*FLAGS.split(), *MODULE_FLAGS],
        extra_link_args=STRIPPED,
    )


extensions = [module(path.stem) for path in sorted(Path(ENGINE).glob("*.pyx"))] + [
    variant(isa, flags, dtype, real) for isa, flags in INSTRUCTION_SETS.items() for dtype, real in NUMBERS.items()
]

setup(
    options={"build_ext": {"parallel": os.cpu_count()}},
    ext_modules=cythonize(
        extensions,
        build_dir="build/cython",
        include_path=["src", ENGINE],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "infer_types": False,
        },
    ),
)
