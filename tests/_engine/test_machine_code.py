"""What the compiler made of the register tile for AVX-512, which no emulator that counts instructions can run.

A tile is fast only while its sums stay in registers: one that lies on the stack waits for its own store at every
step.  So the innermost loops are read: their multiply-adds are of 512 bits, and nothing goes through the stack.
"""

import importlib.machinery
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastbp

ENGINE = Path(fastbp.__file__).parent / "_engine"
JUMP = re.compile(r"\tj\w+ +([0-9a-f]+) ")


def listing(dtype: str) -> str:
    objdump = shutil.which("objdump")
    if objdump is None or platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("needs objdump and x86-64")
    module = ENGINE / f"kernels_avx512_{dtype}{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    command = [objdump, "--disassemble", "--no-show-raw-insn", str(module)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def functions(text: str, wanted: str) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Name and (address, instruction) of every function whose name begins so."""
    for part in text.split("\n\n"):
        head = re.match(rf"[0-9a-f]+ <({wanted}\w*)>:", part.strip())
        if head:
            lines = [line.split(":", 1) for line in part.strip().splitlines()[1:]]
            yield head[1], [(int(address, 16), code) for address, code in lines]


def innermost_loops(code: list[tuple[int, str]]) -> list[list[str]]:
    """Bodies of the loops without a loop in them, by their jumps backwards."""
    spans = []
    for address, instruction in code:
        jump = JUMP.search(instruction)
        if jump and int(jump[1], 16) < address:
            spans.append((int(jump[1], 16), address))
    inner = [(a, b) for a, b in spans if not any((c, d) != (a, b) and a <= c and d <= b for c, d in spans)]
    return [[instruction for address, instruction in code if a <= address <= b] for a, b in inner]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_are_vectors_and_call_no_libm(dtype: str) -> None:
    """Each has a loop over 512-bit registers, and calls nothing but copies, other rows, and far_wave one by one.

    Some systems' Python has compilers guard the stack.
    """
    text = listing(dtype)
    for name, row in fastbp._engine.ACTIVATIONS.items():
        if row.by_rows or name in ("linear", "rrelu"):  # rrelu's are leaky_relu's
            continue
        for part in ("value", "vjp", "curvature") if row.curved else ("value", "vjp"):
            wanted = rf"__pyx_f\w*?kernels_3all_{name}_{part}"
            found = [code for full, code in functions(text, wanted) if full.endswith(f"_{name}_{part}")]
            assert found, f"{name}_{part} is not there"
            lines = [line for _, line in found[0]]
            called = {line.split("<")[-1].split(">")[0].split("@")[0] for line in lines if "call" in line}
            called -= {"memcpy", "memset", "__stack_chk_fail"}
            assert all(other.endswith("far_wave") for other in called), called
            jumps = [line for line in lines if "jmp" in line and "_waves" in line]
            tails = {line.split("<")[1].split("+")[0].rstrip(">") for line in jumps}
            found += [code for tail in tails for full, code in functions(text, re.escape(tail.split(".")[0]))]
            loops = [loop for code in found for loop in innermost_loops(code)]
            fused = [line for code in found for _, line in code if re.search(r"vfn?m(add|sub)", line)]
            narrow = [line for line in fused if "%zmm" not in line]
            if name in ("sin", "cos"):  # vectors, unrolled, and after each some of them far_wave, one by one
                assert len(fused) - len(narrow) >= 10, f"{name}_{part} has no polynomials of vectors"
                continue
            assert any("%zmm" in line for loop in loops for line in loop), f"{name}_{part} has no loop of vectors"
            assert not narrow, f"{name}_{part} has a second loop, for what is left of a vector:\n" + "\n".join(narrow)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_a_tile_stay_in_512_bit_registers(dtype: str) -> None:
    heights = {1: 14, 2: 14, 3: 9, 4: 6}
    seen = set()
    for name, code in functions(listing(dtype), "tile_"):
        rows, vectors = map(int, name.split("_")[-2:])
        hot = [loop for loop in innermost_loops(code) if any("vfmadd" in line for line in loop)]
        assert hot, f"{name}: no loop of multiply-adds"
        for loop in hot:
            fused = [line for line in loop if "vfmadd" in line]
            assert len(fused) % (rows * vectors) == 0, f"{name}: {len(fused)} multiply-adds in its loop"
            assert all("%zmm" in line for line in fused), f"{name}: multiply-adds narrower than the register"
            spilled = [line for line in loop if "mm" in line and re.search(r"\(%r[sb]p[,)]", line)]
            assert not spilled, f"{name}: sums on the stack:\n" + "\n".join(spilled)
        seen.add((rows, vectors))
    assert seen == {(rows, vectors) for vectors, most in heights.items() for rows in range(1, most + 1)}
