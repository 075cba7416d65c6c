"""The processor is asked for all that the compiler may use: the compiler's macros and Linux's flags are the oracles."""

import ast
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fastbp._engine import cpu

SETUP = Path(__file__).parents[2] / "setup.py"
X86 = platform.machine() in ("x86_64", "AMD64")
# Macros of the compiler that stand for no instruction of their own.
BY_ANOTHER_NAME = {"gcc_have_sync_compare_and_swap_16": "cmpxchg16b", "crc32": "sse4_2"}
OF_THE_COMPILER = {"evex256", "evex512", "sse_math", "sse2_math"}
# Where Linux calls a flag otherwise than the compiler.
LINUX = {"sse3": "pni", "cmpxchg16b": "cx16", "lahf_sahf": "lahf_lm", "bmi": "bmi1", "lzcnt": "abm"}


def flags_of_setup() -> dict[str, list[str]]:
    """The flags of each instruction set on x86: the last dict of that name in setup.py."""
    found = {}
    for node in ast.walk(ast.parse(SETUP.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "INSTRUCTION_SETS":
            value = ast.literal_eval(node.value)
            found = value if len(value) > len(found) else found
    return found


def macros(flags: list[str]) -> set[str]:
    compiler = shutil.which("gcc")
    if compiler is None or not X86:
        pytest.skip("needs gcc and x86-64")
    command = [compiler, *flags, "-dM", "-E", "-x", "c", "/dev/null"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = {name.lower() for name in re.findall(r"#define __(\w+?)(?:__)? 1$", text, re.MULTILINE)}
    return {name for name in names if not name.startswith("fp_fast_")}  # said of numbers, not of instructions


def missing(isa: str, flags: list[str], levels: dict) -> set[str]:
    """What the compiler uses under these flags, and a variant of this name does not ask for."""
    used = macros(flags) - macros(["-march=x86-64"]) - OF_THE_COMPILER
    levels = {name: set(features) for name, (features, _) in levels.items()}
    asked = set().union(*[levels[name] for name in list(levels)[: list(levels).index(isa) + 1]])
    return {BY_ANOTHER_NAME.get(name, name) for name in used} - asked


@pytest.mark.parametrize("isa", cpu.LEVELS)
def test_a_variant_asks_for_all_that_its_flags_allow(isa: str) -> None:
    assert not missing(isa, flags_of_setup()[isa], cpu.LEVELS)


def test_the_check_of_flags_finds_what_is_not_asked_for() -> None:
    features, registers = cpu.LEVELS["avx2"]
    few = {**cpu.LEVELS, "avx2": (tuple(set(features) - {"bmi2", "movbe"}), registers)}
    assert missing("avx2", flags_of_setup()["avx2"], few) == {"bmi2", "movbe"}


def test_setup_builds_what_can_be_asked_for() -> None:
    assert list(flags_of_setup()) == list(cpu.LEVELS)
    assert {name for features, _ in cpu.LEVELS.values() for name in features} == set(cpu.FEATURES)


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists() or not X86, reason="needs Linux on x86-64")
def test_the_processor_says_what_the_system_says() -> None:
    line = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    assert line
    flags = set(line[1].split())
    for name in cpu.FEATURES:
        if name not in ("osxsave", "xsave"):  # of which Linux shows what it uses itself
            assert cpu.has(name) == (LINUX.get(name, name) in flags), name


def test_best_first() -> None:
    order = list(cpu.LEVELS)[::-1] if X86 else ["generic"]
    found = cpu.supported()
    assert found == order[len(order) - len(found) :]
    assert found[-1] == "generic"
