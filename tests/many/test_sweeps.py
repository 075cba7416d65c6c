"""Sweeps and services of other packages: the examples of docs/scale_distributed.md, each where its package is."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp.sklearn import MLPClassifier, MLPRegressor, NetworkClassifier

RNG = np.random.default_rng(2)
X = RNG.normal(size=(150, 4)).astype(np.float32)
Y = X[:, :1] * X[:, 1:2]
LABELS = np.array(["no", "yes"])[(Y[:, 0] > 0).astype(int)]
NO_START = 75
FILES = """
import numpy as np, fastbp as fb
X = np.random.default_rng(2).normal(size=(150, 4)).astype(np.float32)
Y = X[:, :1] * X[:, 1:2]
def fitted(lr, epochs=3):
    net = fb.Sequential(fb.Input(4), fb.Dense(8, "tanh"), fb.Dense(1), seed=0)
    return net, net.fit(X, Y, optimizer=fb.Adam(lr=lr), epochs=epochs).history["loss"]
"""


def run(code: str, folder: Path) -> list[str]:
    """What a script prints, in a process of its own: these packages start threads and servers, and warn.

    It exits with NO_START where servers do not start.
    """
    file = folder / "sweep.py"
    file.write_text(FILES + textwrap.dedent(code), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, cwd=folder)
    if done.returncode == NO_START:
        pytest.skip(f"the servers of the package do not start on this machine: {done.stderr[-300:]}")
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


def net() -> fb.Sequential:
    return fb.Sequential(fb.Input(4), fb.Dense(8, "tanh"), fb.Dense(1), seed=0)


def build(inputs: int, outputs: int, width: int = 8, seed: int | None = None) -> fb.Model:
    x = fb.Input(inputs)
    h = fb.Dense(width, "gelu")(x)
    return fb.Model(x, fb.Dense(outputs)(fb.Concatenate()([h, x])), seed=seed)


GRIDS: list[tuple[Any, dict[str, list[Any]]]] = [
    (MLPClassifier(max_iter=15, random_state=0), {"learning_rate_init": [1e-5, 1e-1]}),
    (NetworkClassifier(build, epochs=15, random_state=0), {"optimizer__lr": [1e-5, 1e-1], "build__width": [4, 8]}),
]


@pytest.mark.parametrize(("model", "grid"), GRIDS, ids=["estimator", "any graph"])
@pytest.mark.parametrize("kind", ["GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_searches_of_scikit_learn(kind: str, model: Any, grid: dict[str, list[Any]]) -> None:
    pytest.importorskip("sklearn.experimental.enable_halving_search_cv")
    from sklearn import model_selection

    more = {"n_iter": 2, "random_state": 0} if kind == "RandomizedSearchCV" else {}
    search = getattr(model_selection, kind)(model, grid, cv=2, **more).fit(X, LABELS)
    assert search.best_params_[next(iter(grid))] == 1e-1
    assert (search.predict(X) == LABELS).mean() > 0.7


@pytest.mark.filterwarnings("ignore")  # Dask-ML's own
@pytest.mark.parametrize(("model", "grid"), GRIDS, ids=["estimator", "any graph"])
def test_search_of_dask_ml(model: Any, grid: dict[str, list[Any]]) -> None:
    search = pytest.importorskip("dask_ml.model_selection").GridSearchCV(model, grid, cv=2, scheduler="threads")
    search.fit(X, LABELS)
    assert search.best_params_[next(iter(grid))] == 1e-1
    assert (search.predict(X) == LABELS).mean() > 0.7


def test_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray.tune")
    code = """
    import os, signal, sys
    os.environ["RAY_AIR_NEW_OUTPUT"] = os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_MODE"] = "disabled"  # else it writes a token into the home folder
    import ray
    from ray import tune
    def trainable(config):
        class Report(fb.Callback):
            def on_epoch_end(self, trainer, epoch, logs):
                tune.report(logs)
        net = fb.Sequential(fb.Input(4), fb.Dense(8, "tanh"), fb.Dense(1), seed=0)
        net.fit(X, Y, optimizer=fb.Adam(lr=config["lr"]), epochs=3, callbacks=[Report()])
    signal.signal(signal.SIGALRM, lambda *_: os._exit(75))
    signal.alarm(120)
    try:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    except Exception as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(75)
    signal.alarm(0)
    space = {"lr": tune.grid_search([1e-4, 1e-2])}
    found = tune.Tuner(trainable, param_space=space, run_config=tune.RunConfig(verbose=0)).fit()
    best = found.get_best_result("loss", "min")
    print(best.config["lr"], best.metrics["training_iteration"], best.metrics["loss"] == fitted(1e-2)[1][-1])

    from ray.util.multiprocessing import Pool
    nets = [fb.Sequential(fb.Input(4), fb.Dense(8, "tanh"), fb.Dense(1), seed=0) for _ in range(2)]
    with Pool(2) as pool:
        fb.fit_many(nets, X, Y, optimizer=[fb.Adam(lr=1e-3), fb.Adam(lr=1e-2)], epochs=3, executor=pool)
    alone = fitted(1e-2)[0].params
    print((nets[1].params == alone).all())

    @ray.remote(num_cpus=1)
    def limit():
        return fb.get_num_threads()
    print(ray.get(limit.remote()))
    ray.shutdown()
    """
    assert run(code, tmp_path)[-3:] == ["0.01 3 True", "True", "1"]


def test_mlflow(tmp_path: Path) -> None:
    pytest.importorskip("mlflow.pyfunc")
    code = """
    import mlflow
    class Net(mlflow.pyfunc.PythonModel):
        def load_context(self, context):
            self.net = fb.load(context.artifacts["net"])
        def predict(self, context, model_input, params=None):
            return self.net.predict(model_input)
    if __name__ == "__main__":
        net, _ = fitted(1e-2)
        net.save("net.safetensors")
        files = {"net": "net.safetensors"}
        mlflow.pyfunc.save_model("model", python_model=Net(), artifacts=files, pip_requirements=["fastbp"])
        print((mlflow.pyfunc.load_model("model").predict(X) == net.predict(X)).all())
    """
    assert run(code, tmp_path)[-1:] == ["True"]


def test_cloud_function(tmp_path: Path) -> None:
    trained = net()
    trained.fit(X, Y, epochs=2)
    trained.save(tmp_path / "net.safetensors")
    code = """
    net = fb.load("net.safetensors")  # once, when the function is loaded
    def handler(event, context=None):
        return {"outputs": net.predict(event["rows"]).tolist()}
    print(handler({"rows": X[:3].tolist()})["outputs"])
    """
    assert run(code, tmp_path) == [str(trained.predict(X[:3]).tolist())]


def test_skops_and_its_trusted_types(tmp_path: Path) -> None:
    io = pytest.importorskip("skops.io")
    models: tuple[Any, ...] = (
        MLPClassifier(hidden_layer_sizes=(8,), max_iter=3, random_state=0),
        MLPRegressor(hidden_layer_sizes=(8,), max_iter=3, random_state=0),
    )
    for model in models:
        with pytest.warns(match="iterations"):
            model.fit(X, LABELS if isinstance(model, MLPClassifier) else Y[:, 0])
        io.dump(model, tmp_path / "model.skops")
        own = io.get_untrusted_types(file=tmp_path / "model.skops")
        with pytest.raises(TypeError, match="fastbp"):
            io.load(tmp_path / "model.skops")
        again = io.load(tmp_path / "model.skops", trusted=own)
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
