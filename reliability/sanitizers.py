"""Builds the engine with a sanitizer, in a temporary folder, and runs the tests that can show memory errors or races.

    python -m reliability.sanitizers address --seconds 400     AddressSanitizer and UndefinedBehaviorSanitizer
    python -m reliability.sanitizers thread --seconds 300      ThreadSanitizer

Needs GCC. Only one instruction set is built. Tests of the machine code, and tests that start interpreters under other
instruction sets, are left out. Leaks are not checked, since CPython keeps memory until it exits.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHECKED = {
    "address": (
        "-fsanitize=address,undefined",
        ("asan", "ubsan"),
        {
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=0",
            "PYTHONMALLOC": "malloc",
        },
        "tests/many/test_lanes.py tests/many/test_side_by_side.py tests/_engine tests/files"
        " tests/test_threads.py tests/network/test_lock.py",
    ),
    "thread": (
        "-fsanitize=thread",
        ("tsan",),
        {"TSAN_OPTIONS": "report_signal_unsafe=0:die_after_fork=0:exitcode=66"},
        "tests/test_threads.py tests/network/test_lock.py",
    ),
}
LEFT_OUT = ("tests/_engine/test_isa.py", "tests/_engine/test_machine_code.py", "tests/_engine/test_cpu.py")
SIGNS = ("ERROR: AddressSanitizer", "runtime error:", "WARNING: ThreadSanitizer", "FATAL: ")


def library(name: str) -> str:
    found = subprocess.run(["gcc", f"-print-file-name=lib{name}.so"], capture_output=True, text=True, check=True)
    path = found.stdout.strip()
    if not os.path.isabs(path):
        raise SystemExit(f"GCC has no lib{name}.so here")
    return path


def build(tree: Path, flags: str, isa: str) -> None:
    """Copy and compile the sources, with symbols and without flags that make faults harder to see."""
    shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copytree(ROOT / "tests", tree / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    text = (ROOT / "setup.py").read_text()
    for old, new in (("-g0", "-g1"), ('["-Wl,-s"]', "[]"), ('"-O3"', '"-O1"'), ('"-Os"', '"-O1"')):
        if old not in text:
            raise SystemExit(f"setup.py has no {old} any more")
        text = text.replace(old, new)
    (tree / "setup.py").write_text(text)
    environment = {**os.environ, "FASTBP_VARIANTS": isa, "CC": os.environ.get("CC", "gcc")}
    environment.update(CFLAGS=f"{flags} -fno-omit-frame-pointer", LDFLAGS=flags)
    command = [sys.executable, "setup.py", "build_ext", "--inplace", "-j2"]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.sanitizers", description=__doc__.partition("\n")[0])
    parser.add_argument("which", choices=CHECKED)
    parser.add_argument("--seconds", type=float, default=600.0, help="for the tests, after the build")
    parser.add_argument("--isa", default="avx2" if "avx2" in Path("/proc/cpuinfo").read_text() else "generic")
    parser.add_argument("--tests", nargs="*", help="other tests than those that are meant for it")
    options = parser.parse_args(arguments)
    flags, libraries, settings, tests = CHECKED[options.which]
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        build(Path(folder), flags, options.isa)
        print(f"built in {time.monotonic() - begin:.0f} s", flush=True)
        preload = " ".join(library(name) for name in (*libraries, "stdc++"))  # exceptions of C++ packages need the last
        environment = {**os.environ, **settings, "LD_PRELOAD": preload, "FASTBP_ISA": options.isa}
        environment["PYTHONPATH"] = f"{folder}/src"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(options.tests or tests.split())]
        command += [f"--ignore={name}" for name in LEFT_OUT]
        begin, log = time.monotonic(), Path(folder, "log")
        with log.open("w") as file:
            try:
                done = subprocess.run(command, cwd=folder, env=environment, stdout=file, stderr=file,
                                      timeout=options.seconds, check=False).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                done = None
        text = log.read_text(errors="replace")
        found = sum(text.count(sign) for sign in SIGNS)
        print(text[-6000:] if done != 0 or found else text.strip().splitlines()[-1])
        took = time.monotonic() - begin
        print(f"{options.which}: {found} reports, pytest ended with {done} after {took:.0f} s", flush=True)
        return 0 if done == 0 and not found else 1


if __name__ == "__main__":
    sys.exit(main())
