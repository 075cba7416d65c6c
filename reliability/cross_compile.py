"""Compiles all C of the engine, ours and Cython's, for other systems, with every warning an error.

    python -m reliability.cross_compile [TARGET ...]

The compiler is Clang as the package ziglang brings it, with the headers of each system's C library.  Python's headers
are those of this interpreter: its pyconfig.h says the same of every 64-bit system but Windows, which gets a short one.
Nothing is linked and nothing runs.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy

ROOT = Path(__file__).resolve().parents[1]
ENGINE = ROOT / "src" / "fastbp" / "_engine"
TARGETS = {
    "aarch64-linux-gnu": [],
    "aarch64-linux-musl": [],
    "x86_64-linux-musl": ["-march=x86_64_v2"],
    "aarch64-macos": [],
    "x86_64-macos": ["-march=x86_64_v2"],
    "x86_64-windows-gnu": ["-march=x86_64_v3"],
}
# The flags of setup.py with less optimization, since only warnings matter here.
FLAGS = ["-std=gnu11", "-O1", "-g0", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
WARNINGS = ["-Wall", "-Wextra", "-Werror"]


def sources() -> list[Path]:
    """The C files that Cython has written, and a file for each number type of the kernels."""
    subprocess.run([sys.executable, "setup.py", "build_ext", "--inplace"], cwd=ROOT, check=True, capture_output=True)
    modules = [path for path in (ROOT / "build" / "cython").rglob("*.c") if path.name != "all.c"]
    return [*sorted(modules), *sorted((ROOT / "build" / "variants").glob("kernels_generic_*.c"))]


def write_windows_headers(folder: str) -> None:
    """Write Python's headers, with a pyconfig.h for Windows."""
    headers = shutil.copytree(sysconfig.get_path("include"), os.path.join(folder, "windows"))
    shutil.copy(ROOT / "reliability" / "windows" / "pyconfig.h", headers)


def compile_one(target: str, source: Path, folder: str) -> str:
    """The compiler's messages; "" if there are none."""
    headers = os.path.join(folder, "windows") if "windows" in target else sysconfig.get_path("include")
    command = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-target",
        target,
        *TARGETS[target],
        *FLAGS,
        *WARNINGS,
        *([] if "linux" in target else ["-isystem", ROOT / "reliability" / "not_linux"]),
    ]
    result = subprocess.run(
        [
            *command,
            f"-I{ENGINE}",
            "-isystem",
            numpy.get_include(),
            "-isystem",
            headers,
            "-c",
            source,
            "-o",
            os.path.join(folder, f"{target}-{source.stem}.o"),
        ],
        capture_output=True,
        text=True,
    )
    return "" if result.returncode == 0 else f"{target}: {source.name}\n{result.stderr}"


def main(targets: list[str]) -> int:
    unknown = sorted(set(targets) - set(TARGETS))
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(TARGETS)}")
        return 2
    files, complaints = sources(), 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        write_windows_headers(folder)
        for target in targets or TARGETS:
            said = [text for text in pool.map(lambda source: compile_one(target, source, folder), files) if text]  # noqa: B023
            print(
                f"{target}: {len(files) - len(said)} of {len(files)} files compile without a warning", *said, sep="\n"
            )
            complaints += len(said)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
