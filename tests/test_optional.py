"""Packages that may be missing: whoever needs one says which, and how pip gets it. All are missing at once here."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastbp as fb

SOURCES = Path(fb.__file__).resolve().parent
# Package: what needs it, as Python that raises.
USES = {
    "keras": ["fb.from_keras(__file__)"],
    "matplotlib": [
        "history.plot()",
        "net.plot()",
        "fb.diagnose(net, X, y).plot()",
        "fb.explain(net, X[:1], y[:1]).plot()",
        "fb.plotting.loss_curves({'a': history})",
        "fb.plotting.confusion_matrix([0, 1], [1, 1])",
        "fb.plotting.residuals(y[:, 0], y[:, 0])",
        "fb.plotting.decision_boundary(net, X, np.arange(9) % 2)",
        "fb.plotting.prediction_interval(fb.Sequential(fb.Input(1), fb.Dense(3)), X[:, 0], y[:, 0])",
        "fb.plotting.weights(net)",
        "monitor.plot()",
    ],
    "mlflow": ["net.fit(X, y, callbacks=[fb.MlflowLogger()])"],
    "mpi4py": ["fb.distributed.mpi()"],
    "onnx": ["fb.from_onnx('net.onnx')", "net.to_onnx('net.onnx')"],
    "optuna": ["fb.OptunaPruning(None)"],
    "pandas": ["history.to_frame()", "fb.diagnose(net, X, y).to_frame()"],
    "pyarrow": ["fb.Chunks.parquet('t.parquet', 'y')"],
    "river": ["import fastbp.river"],
    "scipy": ["fb.minimize(net, X, y, method='newton-cg')", "fb.minimize(net, X, y)"],
    "sklearn": [
        "fb.MLPClassifier",
        "import fastbp.sklearn",
        "from fastbp import MLPRegressor",
    ],
    "tensorboard": ["net.fit(X, y, callbacks=[fb.TensorBoardLogger()])"],
    "threadpoolctl": ["import fastbp.threads; fastbp.threads.register_threadpoolctl()"],
    "torch": ["net.to_torch()", "fb.distributed.torch()", "fb.from_torch(Module())"],
    "wandb": ["net.fit(X, y, callbacks=[fb.WandbLogger()])"],
}
NAMES = {"sklearn": "scikit-learn"}
CODE = """
import json, sys
uses = json.loads(sys.argv[1])
for package in [*uses, "tqdm", "polars"]:
    sys.modules[package] = None
import numpy as np, fastbp as fb
X, y = np.ones((9, 2)), np.ones((9, 2))
net = fb.Sequential(fb.Input(2), fb.Dense(3, "tanh"), fb.Dense(2), seed=0)
monitor = fb.GradientMonitor()
history = net.fit(X, y, epochs=2, callbacks=[monitor])
class Module:
    named_modules = forward = lambda self: ()
said = {}
for package, lines in uses.items():
    for line in lines:
        params = net.params.copy()
        try:
            exec(line)
        except Exception as error:
            said[line] = f"{type(error).__name__}: {error}"
        assert (net.params == params).all(), line
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("empty")
    (folder / "code.py").write_text(CODE)
    done = subprocess.run(
        [sys.executable, "code.py", json.dumps(USES)],
        env={**os.environ, "PYTHONPATH": str(SOURCES.parent)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == {"code.py"}
    return json.loads(done.stdout)


@pytest.mark.parametrize(("package", "line"), [(package, line) for package, lines in USES.items() for line in lines])
def test_the_error_names_the_package_and_pip(said: dict[str, str], package: str, line: str) -> None:
    name = NAMES.get(package, package)
    kind, who, rest = re.match(r"(\w+): (.+) needs (.*)", said.get(line, "nothing: is raised, it needs")).groups()
    assert (kind, rest) == ("ImportError", f"{name}: pip install {name}")
    assert who


def test_every_package_that_the_sources_load_is_here() -> None:
    loaded = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and ast.unparse(node.func) in ("package", "_optional.package")
            if called and isinstance(node.args[0], ast.Constant):  # a name that is computed is one of a table's
                loaded.add(node.args[0].value.partition(".")[0])
    assert loaded == set(USES)


def test_a_package_that_is_there_and_lacks_something(tmp_path: Path, python) -> None:
    (tmp_path / "onnx.py").write_text("import nothing_of_this_name")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import fastbp as fb; fb.from_onnx('net.onnx')"
    last = python("-c", code).stderr.splitlines()[-1]
    assert last == ("ImportError: from_onnx needs onnx, which cannot be loaded: No module named 'nothing_of_this_name'")
