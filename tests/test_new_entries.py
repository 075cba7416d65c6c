"""The table of CONTRIBUTING.md is true: one of each kind, added to a copy of the sources at the listed places only.

The kernels are compiled, for one instruction set and without optimization, and the checks that a contributor would run
pass; with the kernels alone they fail; and a slope that is wrong by a factor of 1.001 is caught.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastbp as fb
from new_entries import ADDED, PYTHON, TESTS

ROOT = Path(__file__).resolve().parents[1]
ENGINE = Path(fb._engine.__file__).parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

# What a check would say if it were left out.
FORGOTTEN = (
    f"{TESTS}/reference/", f"{TESTS}/torch_", f"{PYTHON}/writers/", "docs/", "tests/optimizers/",
    f"{PYTHON}/_engine/tangent_graph.py",
)  # fmt: skip
CHECKS = {
    "_engine/test_activations.py": "wide_softsign or wrong_softsign or every_row",
    "_engine/test_updates.py": "plain_sign or every_row",
    "callbacks/test_stop_after.py": "stop_after",
    "derivatives/test_derivatives.py": "learned_slopes or wide_softsign",
    "layers/test_gates.py": "learned_slopes or blocks and against_torch or every_op",
    "losses/test_losses.py": "soft_l1 or every_row",
    "optimizers/test_optimizers.py": "lion_without_mean or every_optimizer",
    "test_conversion.py": "every_kind or every_activation",
    "test_docs.py": "table_of_losses",
    "test_planted_errors.py": "wide_softsign or wrong_softsign or soft_l1",
    "training/test_against_torch.py": "wide_softsign or every_row",
    "test_typing.py": "stubs_are or one_list",
    "writers/test_derivatives_written.py": "wide_softsign or wrong_softsign or has_its_slope",
}
BUILD = """
from pathlib import Path
text = Path("setup.py").read_text()
for old, new in (('sorted(Path(ENGINE).glob("*.pyx"))', "[]"), ('"-O3"', '"-O0"')):
    assert old in text, old
    text = text.replace(old, new)
exec(compile(text, "setup.py", "exec"))
"""


def copied(to: Path) -> None:
    """What a change touches and what its checks read; compiled modules, but for the kernels."""
    unwanted = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", ".*_cache")
    for folder in ("src", "tests", "docs"):
        shutil.copytree(ROOT / folder, to / folder, ignore=unwanted, dirs_exist_ok=True)
    for name in ("setup.py", "pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, to)
    for module in ENGINE.glob("*.so"):
        if not module.name.startswith("kernels_"):
            shutil.copy(module, to / "src" / "fastbp" / "_engine")


def add(to: Path, left_out: tuple[str, ...] = ()) -> None:
    """Write what is new into the copy."""
    for places in ADDED.values():
        for place, (before, text) in places.items():
            if place.startswith(left_out):
                continue
            path = to / place
            old = path.read_text(encoding="utf-8") if before else ""
            assert old.count(before) == 1 or not before, f"{place}: {before}"
            path.write_text(old.replace(before, text + before) if before else text, encoding="utf-8")


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(folder / "src"), str(folder / "tests" / "helpers")])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "FASTBP_ISA": "generic", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def outcomes(folder: Path) -> dict[str, str]:
    """The new tests, and those of the tables, with "PASSED", "FAILED" or "ERROR" for each."""
    files = [f"tests/{name}" for name in CHECKS]
    words = " or ".join(sorted({word for words in CHECKS.values() for word in words.split(" or ")}))
    done = run(
        folder,
        "-m",
        "pytest",
        "-q",
        "-rA",
        "--tb=no",
        "-p",
        "no:cacheprovider",
        "-k",
        f"({words}) and not every_length",
        *files,
    )
    found = re.findall(r"^(PASSED|FAILED|ERROR) tests/(\S+)", done.stdout, re.MULTILINE)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return {name: outcome for outcome, name in found}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with all that is new, compiled."""
    pytest.importorskip("Cython")
    pytest.importorskip("torch")
    if shutil.which(os.environ.get("CC", "cc").split()[-1]) is None or not (ROOT / "setup.py").exists():
        pytest.skip("wants a compiler and the sources")
    folder = tmp_path_factory.mktemp("copy")
    copied(folder)
    add(folder)
    done = run(folder, "-c", BUILD, "build_ext", "--inplace", FASTBP_VARIANTS="generic")
    assert done.returncode == 0, done.stderr[-3000:]
    assert run(folder, "docs/write_stubs.py").returncode == 0
    return folder


def test_the_places_are_those_of_the_table() -> None:
    rows = re.findall(r"^\| (an? [\w ]+) \| `\w+` \| (.*) \|$", TEXT, re.MULTILINE)
    listed = {kind: set(re.findall(r"`([\w/.]+\.\w+)`(?! \(if)", places)) for kind, places in rows}
    own = {"ops/cube.pxi": "ops/prelu.pxi"}
    for kind, places in ADDED.items():
        names = {re.sub("|".join(own), lambda found: own[found[0]], place) for place in places}
        assert {name for name in names if not name.startswith("tests/callbacks/")} == listed[kind]
    assert set(listed) == set(ADDED)


def test_the_places_are_enough_and_a_wrong_slope_is_caught(built: Path) -> None:
    """Each word of `CHECKS` has a test that passes; all that fails is what the planted slope makes fail."""
    found = outcomes(built)
    failed = {name for name, outcome in found.items() if outcome != "PASSED"}
    assert all("wrong_softsign" in name for name in failed), sorted(failed)
    passed = set(found) - failed
    for file, words in CHECKS.items():
        for word in set(words.split(" or ")) - {"wrong_softsign"}:
            assert any(
                name.startswith(file) and all(part in name for part in word.split(" and ")) for name in passed
            ), f"{file} has no test of {word}"
    caught = {name.partition("[")[0] for name in failed}
    assert {
        "_engine/test_activations.py::test_slopes_are_right_everywhere",
        "_engine/test_activations.py::test_value_and_slope_belong_together",
        "test_planted_errors.py::test_in_the_slope_of_an_activation",
        "writers/test_derivatives_written.py::test_in_onnx",
    } <= caught


def test_a_place_that_is_forgotten_fails_a_check(built: Path) -> None:
    """The kernels and the public classes alone: each reference, twin, format, page and tangent rule is missed."""
    copied(built)
    add(built, FORGOTTEN)
    assert run(built, "docs/write_stubs.py").returncode == 0
    failed = {name.partition("[")[0] for name, outcome in outcomes(built).items() if outcome != "PASSED"}
    assert failed >= {
        "_engine/test_activations.py::test_every_row_of_the_table_has_a_reference_line",
        "_engine/test_updates.py::test_every_row_of_the_table_has_a_reference_line",
        "derivatives/test_derivatives.py::test_jacobians_of_graphs",
        "layers/test_gates.py::test_against_torch",
        "losses/test_losses.py::test_every_row_of_the_table_has_its_reference_and_its_twin",
        "optimizers/test_optimizers.py::test_every_optimizer_has_a_line",
        "test_conversion.py::test_every_activation_is_written",
        "test_conversion.py::test_every_kind_is_written_or_named_as_impossible",
        "test_docs.py::test_the_table_of_losses_is_that_of_the_engine",
        "writers/test_derivatives_written.py::test_each_activation_has_its_slope_in_other_formats",
    }
