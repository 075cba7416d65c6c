"""Fixtures of the whole suite: both dtypes, a generator with a fixed seed, and runs in a fresh interpreter.

Nothing here knows a name of the engine's tables; those are read where they are tested. Shared state between
tests was rejected: each test builds its own small net.
"""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp.data import csv_file

os.environ.setdefault("KERAS_BACKEND", "numpy")  # its default, tensorflow, is rarely installed

SOURCES = Path(fastbp.__file__).resolve().parent


def pytest_report_header() -> str:
    return f"fastbp: {SOURCES}, instruction set {fastbp._engine.isa}"


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> np.dtype:
    return np.dtype(request.param)


@pytest.fixture
def tolerance(dtype: np.dtype) -> float:
    """Relative to the largest element: what ten layers of rounding may cost."""
    return 1e-4 if dtype == np.float32 else 1e-11


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


@pytest.fixture
def python() -> Callable[..., subprocess.CompletedProcess]:
    """Runs arguments under a fresh interpreter that imports this very fastbp."""

    def run(*arguments: str, timeout: float = 100, **environment: str) -> subprocess.CompletedProcess:
        path = os.pathsep.join(
            [str(SOURCES.parent), str(Path(__file__).parent / "helpers"), os.environ.get("PYTHONPATH", "")]
        )
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


# Tables


@pytest.fixture(params=["csv", "pandas"])
def reader(request, monkeypatch):
    """Read with pandas, and as if it were not installed."""
    if request.param == "pandas":
        pytest.importorskip("pandas")
    else:
        monkeypatch.setitem(sys.modules, "pandas", None)
    return request.param


@pytest.fixture
def read(tmp_path):
    """Make a table of a text."""

    def read(text):
        path = tmp_path / "data.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return csv_file.read(path)

    return read


# The command line


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def flowers(tmp_path):
    """Three classes told apart by two numbers and a word; 90 rows."""
    rng = np.random.default_rng(0)
    with open(tmp_path / "flowers.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["length", "width", "place", "kind"])
        for row in range(90):
            kind = row % 3
            place = ("wood", "field", "shore")[kind] if row % 5 else "garden"
            numbers = rng.normal([kind * 2, -kind], 0.2)
            writer.writerow([*(f"{x:.3f}" for x in numbers), place, ("iris", "lily, red", 'rose "x"')[kind]])
    return "flowers.csv"


@pytest.fixture
def houses(tmp_path):
    """A price that is nearly linear in area and age; 80 rows."""
    rng = np.random.default_rng(1)
    with open(tmp_path / "houses.csv", "w") as file:
        file.write("area,age,price\n")
        for area, age in zip(rng.uniform(40, 200, 80), rng.uniform(0, 90, 80), strict=True):
            file.write(f"{area:.1f},{age:.0f},{1000 * area - 800 * age + 50000:.0f}\n")
    return "houses.csv"
