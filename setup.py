"""Builds the engine: some modules once, the kernels once for each instruction set and number type.

Cython translates each source once, and only when something is compiled, not for metadata.  The kernels' C is compiled
for every variant: a file of a few lines names the variant and includes it, and flags make the difference.  Which one
runs is decided at import (src/fastbp/_engine/variant.py).

    FASTBP_VARIANTS=avx2 python setup.py build_ext --inplace    builds that instruction set only
"""

import os
import platform
import sys
from pathlib import Path

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ENGINE = "src/fastbp/_engine"
KERNELS = f"{ENGINE}/kernels/all.pyx"
TRANSLATED, VARIANTS = Path("build/cython"), Path("build/variants")
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
WITH_NUMPY = ("fast_path", "native")  # what takes arrays by NumPy's C interface
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "infer_types": False,
}


def wanted_sets() -> list[str]:
    """The instruction sets to build."""
    names = os.environ.get("FASTBP_VARIANTS", "").replace(",", " ").split() or list(INSTRUCTION_SETS)
    unknown = sorted(set(names) - set(INSTRUCTION_SETS))
    if unknown:
        raise SystemExit(f"FASTBP_VARIANTS names {', '.join(unknown)}; known: {', '.join(INSTRUCTION_SETS)}")
    return names


def extension(name: str, source: str, flags: list[str], stripped: bool = True) -> Extension:
    numpys = name in WITH_NUMPY
    return Extension(
        f"fastbp._engine.{name}",
        [source],
        include_dirs=[ENGINE, *([numpy.get_include()] if numpys else [])],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")] if numpys else [],
        extra_compile_args=[*FLAGS.split(), *flags],
        extra_link_args=STRIPPED if stripped else [],
        depends=["setup.py"],
    )


modules = [extension(path.stem, path.as_posix(), MODULE_FLAGS) for path in sorted(Path(ENGINE).glob("*.pyx"))]
variants = {
    # tests/_engine/test_machine_code.py looks functions up by their names
    (isa, dtype): extension(
        f"kernels_{isa}_{dtype}", KERNELS, [*KERNEL_FLAGS, *INSTRUCTION_SETS[isa]], stripped=isa != "avx512"
    )
    for isa in wanted_sets()
    for dtype in NUMBERS
}


def translated(extensions: list[Extension]) -> list[Extension]:
    """The same with C sources, and with the headers that these include; made again where this file has changed."""
    from Cython.Build import cythonize

    changed = Path("setup.py").stat().st_mtime
    return cythonize(
        extensions,
        build_dir=str(TRANSLATED),
        include_path=["src"],
        compiler_directives=DIRECTIVES,
        force=any(path.stat().st_mtime < changed for path in TRANSLATED.rglob("*.c")),
    )


def source_of(isa: str, dtype: str, kernels: str) -> str:
    """Of one variant: what differs, and the C that all share."""
    text = f"""\
#define REAL {NUMBERS[dtype]}
#define PyInit_all PyInit_kernels_{isa}_{dtype}
#include "{Path(kernels).resolve().as_posix()}"
"""
    path = VARIANTS / f"kernels_{isa}_{dtype}.c"
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return path.as_posix()


class TranslateAndBuild(build_ext):
    def run(self) -> None:
        *done, kernels = translated([*modules, Extension("fastbp._engine.kernels.all", [KERNELS])])
        for module, c in zip(modules, done, strict=True):
            module.sources, module.depends = c.sources, [*module.depends, *c.depends]
        for (isa, dtype), variant in variants.items():
            variant.sources = [source_of(isa, dtype, kernels.sources[0])]
            variant.depends = [*variant.depends, *kernels.sources, *kernels.depends]
        super().run()


setup(
    options={"build_ext": {"parallel": os.cpu_count()}},
    ext_modules=[*modules, *variants.values()],
    cmdclass={"build_ext": TranslateAndBuild},
)
