"""Builds the engine: some modules once, the kernels once for each instruction set and number type.

Cython translates each source once, and only when something is compiled, not for metadata.  The kernels' C is compiled
for every variant: a file of a few lines names the variant and includes the C, and the flags differ.  The import decides
which variant runs (src/fastbp/_engine/variant.py).  Code that Cython needs in every module, mostly memoryviews, is
compiled once, in a module that the others import: a twentieth of the wheel.

    FASTBP_VARIANTS=avx2 python setup.py build_ext --inplace    builds that instruction set only
    CC="python -m ziglang cc" python setup.py build_ext         with the compiler of the package ziglang

On Windows, CC names a GCC or Clang for MinGW; without it MSVC builds the scalar kernels, for one thread.
"""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ENGINE = "src/fastbp/_engine"
KERNELS = f"{ENGINE}/kernels/all.pyx"
TRANSLATED, VARIANTS = Path("build/cython"), Path("build/variants")
CC = os.environ.get("CC", "")
WINDOWS = sys.platform == "win32"
MSVC = WINDOWS and not CC
ZIG = "zig" in CC

# Vectorizing needs -O3 and the two -fno flags; -ffast-math would change the floating-point mode of the whole process.
FLAGS = (
    "/O2 /std:c11"
    if MSVC
    else (
        "-std=gnu11 -g0 -ffp-contract=fast -fno-math-errno -fno-trapping-math -fno-strict-aliasing -fvisibility=hidden"
        " -fno-asynchronous-unwind-tables"  # no exception passes through C: 3 % of the wheel
    )
)
# Kernels run over whole vectors, so loops over remainders need not be fast, and code outside kernels may be optimized
# for size: together a sixth of the wheel.
GCC = sys.platform == "linux" and "clang" not in CC and not ZIG
KERNEL_FLAGS = [] if MSVC else ["-O3", *(["--param", "vect-epilogues-nomask=0"] if GCC else [])]
# Without AVX2 this part of -O3 vectorizes as well as all of it, in half the size.
SMALLER = {"generic": ["-O2", "-ftree-vectorize", "-fvect-cost-model=dynamic", "-finline-functions"]} if GCC else {}
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
WITH_NUMPY = ("fast_path", "native")  # modules that take arrays by NumPy's C interface
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "infer_types": False,
    "auto_pickle": False,  # engine objects are never pickled; two methods less in each class
    "freethreading_compatible": True,  # each net has a lock (threads.pyx); experimental, see RELEASING.md
}


def repository() -> str:
    """The address of the repository, if the environment of the build has one; else ""."""
    server, name = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    return f"{server}/{name}" if server and name else ""


def readme() -> str:
    """README.md for a package index, where relative links lead nowhere: they become absolute, or only their text."""
    text, base = Path("README.md").read_text(encoding="utf-8"), repository()
    link = rf"[\1]({base}/blob/HEAD/\2)" if base else r"\1"
    image = rf"![\1]({base}/raw/HEAD/\2)" if base else ""
    text = re.sub(r"!\[([^\]]*)\]\((?!https?:)([^)]+)\)", image, text)
    return re.sub(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)", link, text)


def urls() -> dict[str, str]:
    """The links of the index page."""
    base = repository()
    pages = {
        "Source": "",
        "Documentation": "/tree/HEAD/docs",
        "Issues": "/issues",
        "Changelog": "/blob/HEAD/CHANGELOG.md",
    }
    return {name: base + page for name, page in pages.items()} if base else {}


def wanted_sets() -> list[str]:
    """The instruction sets to build."""
    names = os.environ.get("FASTBP_VARIANTS", "").replace(",", " ").split() or list(INSTRUCTION_SETS)
    unknown = sorted(set(names) - set(INSTRUCTION_SETS))
    if unknown:
        raise SystemExit(f"FASTBP_VARIANTS names {', '.join(unknown)}; known: {', '.join(INSTRUCTION_SETS)}")
    return names


def flags_of(isa: str) -> list[str]:
    """The flags of an instruction set, as the compiler spells them."""
    return [flag.replace("x86-64-", "x86_64_") if ZIG else flag for flag in INSTRUCTION_SETS[isa]]


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


SHARED = "cython_shared"
shared = extension(SHARED, (TRANSLATED / f"{SHARED}.c").as_posix(), MODULE_FLAGS)
modules = [extension(path.stem, path.as_posix(), MODULE_FLAGS) for path in sorted(Path(ENGINE).glob("*.pyx"))]
variants = {
    # tests/_engine/test_machine_code.py looks functions up by their names
    (isa, dtype): extension(
        f"kernels_{isa}_{dtype}",
        KERNELS,
        [*KERNEL_FLAGS, *SMALLER.get(isa, []), *flags_of(isa)],
        stripped=isa != "avx512",
    )
    for isa in wanted_sets()
    for dtype in NUMBERS
}


def translated(extensions: list[Extension], **options: str) -> list[Extension]:
    """The extensions with C sources and their headers; translated again if this file has changed."""
    from Cython.Build import cythonize

    changed = Path("setup.py").stat().st_mtime
    made = [(TRANSLATED / extension.sources[0]).with_suffix(".c") for extension in extensions]
    return cythonize(
        extensions,
        build_dir=str(TRANSLATED),
        include_path=["src"],
        compiler_directives=DIRECTIVES,
        force=any(path.exists() and path.stat().st_mtime < changed for path in made),
        **options,
    )


def write_shared() -> None:
    """Write the C that Cython needs in every module, from the installed Cython."""
    from Cython import __version__ as version

    stamp = TRANSLATED / f"{SHARED}.version"
    if not stamp.exists() or stamp.read_text() != version or not Path(shared.sources[0]).exists():
        TRANSLATED.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "cython", f"--generate-shared={shared.sources[0]}"], check=True)
        stamp.write_text(version)


def source_of(isa: str, dtype: str, kernels: str) -> str:
    """The source of one variant: the definitions that differ, and the C that all variants share."""
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
        write_shared()
        done = translated(modules, shared_utility_qualified_name=shared.name)
        (kernels,) = translated([Extension("fastbp._engine.kernels.all", [KERNELS])])
        for module, c in zip(modules, done, strict=True):
            module.sources, module.depends = c.sources, [*module.depends, *c.depends]
        for (isa, dtype), variant in variants.items():
            variant.sources = [source_of(isa, dtype, kernels.sources[0])]
            variant.depends = [*variant.depends, *kernels.sources, *kernels.depends]
        super().run()


setup(
    options={"build_ext": {"parallel": os.cpu_count(), **({"compiler": "mingw32"} if WINDOWS and CC else {})}},
    ext_modules=[shared, *modules, *variants.values()],
    cmdclass={"build_ext": TranslateAndBuild},
    long_description=readme(),
    long_description_content_type="text/markdown",
    project_urls=urls(),
)
