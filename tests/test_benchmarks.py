"""The benchmark itself: its oracle catches a wrong peer, its table says what was measured."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import one_by_one, one_row, report, rl_loop, rounds, scaling  # noqa: E402
from benchmarks.cases import CASES, Case, operations, problem  # noqa: E402
from benchmarks.peers import installed  # noqa: E402

PEERS = installed(["fastbp", "pure", "numpy"])
SMALL = {
    "tanh": Case((3, 5, 2), "tanh", 7, "mse"),
    "relu": Case((3, 5, 4), "relu", 7),
    "sgd": Case((3, 5, 2), "tanh", 1, "mse", "sgd"),
    "gradient": Case((3, 5, 2), "tanh", 7, "mse", task="gradient", dtype="float64"),
    "predict": Case((3, 5, 4), "relu", 7, task="predict"),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_peers_agree(name: str, dtype: str) -> None:
    runners, differences = rounds.checked(problem(SMALL[name], dtype), PEERS, 1)
    assert set(runners) == {"fastbp", "pure", "numpy"}
    assert max(differences.values()) < (1e-5 if dtype == "float32" else 1e-10)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_our_other_ways_and_the_frontier_agree(name: str, dtype: str) -> None:
    peers = installed(["fastbp", "compiled", "fit", "frontier"])
    runners, differences = rounds.checked(problem(SMALL[name], dtype), peers, 1)
    assert "frontier" in runners
    assert max(differences.values()) < (1e-5 if dtype == "float32" else 1e-10)


@pytest.mark.parametrize("peer", ["fit", "frontier", "numba", "jax_scan"])
@pytest.mark.parametrize("name", ["tanh", "relu", "sgd"])
def test_an_epoch_in_one_call_is_its_steps(name: str, peer: str) -> None:
    given = problem(SMALL[name], "float32")
    found = {peer.name: peer.start(given, 1) for peer in installed(["fastbp", peer])}
    if peer not in found:
        pytest.skip(f"{peer} is not installed")
    for k in range(len(given.X)):
        found["fastbp"].step(k)
    assert found[peer].several(len(given.X)) == len(given.X) > 1
    found[peer].wait()
    ours, theirs = (np.concatenate([np.ravel(part) for part in runner.result()]) for runner in found.values())
    assert np.linalg.norm(ours - theirs) < 1e-4 * np.linalg.norm(ours)


OTHERS = ["sklearn", "torch", "manual", "jax", "jax_scan", "jax_forward", "numba", "onnxruntime"]


@pytest.mark.parametrize("peer", OTHERS)
@pytest.mark.parametrize("name", ["tanh", "relu", "predict"])
def test_peers_that_are_other_libraries_agree(name: str, peer: str) -> None:
    peers = installed(["fastbp", peer])
    if len(peers) == 1:
        pytest.skip(f"{peer} is not installed")
    runners, differences = rounds.checked(problem(SMALL[name], "float32"), peers, 1)
    assert max(differences.values(), default=0.0) < 1e-3
    assert "fastbp" in runners


def test_a_wrong_peer_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.peers import with_numpy

    monkeypatch.setattr(with_numpy, "LR", 1.01e-3)
    with pytest.raises(SystemExit, match="numpy and fastbp differ"):
        rounds.checked(problem(SMALL["tanh"], "float64"), PEERS, 1)


def test_operations_are_those_of_three_products() -> None:
    # Forward 3 x 5 and 5 x 2, both dW, dX of the second layer only; a multiply and an add each.
    assert operations(SMALL["tanh"]) == 2 * 7 * (2 * (15 + 10) + 10)
    assert operations(SMALL["predict"]) == 2 * 7 * (15 + 20)


def test_optimizers_are_compared_with_torch_and_a_copy() -> None:
    pytest.importorskip("torch")
    from benchmarks import optimizers

    results = {name: {"1000": optimizers.measured(name, 1000, 3)} for name in ("adam, clipped", "rprop", "lion")}
    for name, by_size in results.items():
        assert by_size["1000"]["bytes"] == 4 * 1000 * (5 if name == "lion" else 7)
        assert by_size["1000"]["of_copy"] > 0
        assert (by_size["1000"]["times_faster_than_torch"] is None) == (name == "lion")
    assert len(optimizers.table(results).splitlines()) == 5


@pytest.mark.parametrize("name", one_by_one.CASES)
def test_learning_one_by_one_is_compared_with_what_others_learn(name: str) -> None:
    peers = one_by_one.CASES[name].peers[1:]
    for peer in peers:
        pytest.importorskip(peer)
    result = one_by_one.measured(name, 2, rows=40)
    assert set(result["differences"]) == set(result["ratios"]) == set(peers)
    assert max(result["differences"].values()) < 1e-6
    assert one_by_one.table({name: result}).count(f"| {name} |") == len(peers)


def test_one_who_learns_something_else_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for peer in one_by_one.CASES["16-32-1 tanh"].peers[1:]:
        pytest.importorskip(peer)
    monkeypatch.setitem(one_by_one.PEERS, "sklearn", lambda W, b: one_by_one.with_fastbp(W, [1.001 * one for one in b]))
    with pytest.raises(SystemExit, match="sklearn and fastbp differ"):
        one_by_one.measured("16-32-1 tanh", 1, rows=5)


@pytest.mark.parametrize("task", ["train", "predict"])
def test_fann_takes_single_rows(task: str) -> None:
    pytest.importorskip("cynn")
    given = problem(Case((3, 5, 4, 2), "tanh", 1, "mse", "sgd", task), "float32")
    runners, differences = rounds.checked(given, installed(["fastbp", "fann"]), 1)
    assert set(runners) == {"fastbp", "fann"}
    assert max(differences.values()) < 1e-4
    several = problem(Case((3, 5, 2), "tanh", 7, "mse", "sgd", task), "float32")
    assert set(rounds.checked(several, installed(["fastbp", "fann"]), 1)[0]) == {"fastbp"}


# The classes of RTNeural's that its peer uses, as far as it does.
RTNEURAL = """
#include <cmath>
#include <tuple>
#include <vector>
namespace RTNeural {
template <typename T, int I, int O> struct DenseT {
    static constexpr int out_size = O;
    T W[O][I], b[O], y[O];
    void setWeights(const std::vector<std::vector<T>> &all)
    {
        for (int o = 0; o < O; o++)
            for (int i = 0; i < I; i++)
                W[o][i] = all[o][i];
    }
    void setBias(T *all)
    {
        for (int o = 0; o < O; o++)
            b[o] = all[o];
    }
    void forward(const T *x)
    {
        for (int o = 0; o < O; o++) {
            y[o] = b[o];
            for (int i = 0; i < I; i++)
                y[o] += W[o][i] * x[i];
        }
    }
};
template <typename T, int N> struct TanhActivationT {
    static constexpr int out_size = N;
    T y[N];
    void forward(const T *x)
    {
        for (int n = 0; n < N; n++)
            y[n] = std::tanh(x[n]);
    }
};
template <typename T, int N> struct ReLuActivationT {
    static constexpr int out_size = N;
    T y[N];
    void forward(const T *x)
    {
        for (int n = 0; n < N; n++)
            y[n] = x[n] > 0 ? x[n] : 0;
    }
};
template <typename T, int I, int O, typename... Layers> struct ModelT {
    std::tuple<Layers...> layers;
    const T *outs;
    template <int k> auto &get() { return std::get<k>(layers); }
    void reset() {}
    void forward(const T *x)
    {
        std::apply([&](auto &...each) { ((each.forward(x), x = each.y), ...); }, layers);
        outs = x;
    }
    const T *getOutputs() const { return outs; }
};
}
"""


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a compiler of C++")
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rtneural_is_compiled_where_its_sources_are(dtype: str, activation: str, tmp_path, monkeypatch) -> None:
    name = "benchmarks.peers.with_rtneural"
    monkeypatch.delenv("RTNEURAL", raising=False)
    sys.modules.pop(name, None)
    assert installed(["rtneural"]) == []
    (tmp_path / "RTNeural").mkdir()
    (tmp_path / "RTNeural" / "RTNeural.h").write_text(RTNEURAL)
    monkeypatch.setenv("RTNEURAL", str(tmp_path))
    given = problem(Case((3, 5, 7, 2), activation, 1, "mse", task="predict"), dtype)
    try:
        runners, differences = rounds.checked(given, installed(["fastbp", "rtneural"]), 1)
    finally:
        sys.modules.pop(name, None)
    assert set(runners) == {"fastbp", "rtneural"}
    assert max(differences.values()) < (1e-5 if dtype == "float32" else 1e-10)


PLAYED = problem(Case((3, 5, 4), "tanh", 7, "mse"), "float32")


@pytest.mark.parametrize("name", [name for name in rl_loop.PLAYERS if name != "frontier"])
def test_who_plays_the_loop_of_reinforcement_learning_acts_and_learns_alike(name: str) -> None:
    players = rl_loop.checked(PLAYED, ["frontier", name])
    if name not in players:
        pytest.skip(f"{name} is not installed")
    assert (players[name].play(30) > 0).any()


def test_who_learns_something_else_in_it_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(given):
        right = rl_loop.with_python(given)
        return right._replace(result=lambda: [1.001 * np.asarray(part) for part in right.result()])

    monkeypatch.setitem(rl_loop.PLAYERS, "fastbp from Python", (wrong, ""))
    with pytest.raises(SystemExit, match="fastbp from Python and frontier differ"):
        rl_loop.checked(PLAYED, ["frontier", "fastbp from Python"])


def one_row_of(task: str):
    return problem(Case((3, 5, 2), "tanh", 1, "mse", "sgd", task), "float32")


@pytest.mark.parametrize("task", ["predict", "train"])
def test_every_way_of_one_row_has_the_frontiers_numbers(task: str) -> None:
    pytest.importorskip("numba")
    ways_of = {"predict": one_row.predictions, "train": one_row.steps}[task]
    ways = one_row.checked(ways_of(one_row_of(task)))
    figures = one_row.measured(ways, 7, turns=2)
    assert list(figures) == list(ways)
    assert all(seconds > 0 for seconds, _ in figures.values())
    assert figures["frontier"][1] == 1


def test_a_way_of_one_row_with_other_numbers_ends_the_run() -> None:
    y = np.array([1.0, 2.0])
    with pytest.raises(SystemExit, match=r"native and the frontier differ by 0\.001"):
        one_row.checked({"frontier": lambda: y, "native": lambda: 1.001 * y})


def test_a_run_end_to_end(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "--cases",
        "online,predict_one",
        "--peers",
        "numpy",
        "--quick",
        "--rounds",
        "3",
        "--seconds",
        "0.1",
        "--out",
        str(out),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    assert [line.split("|")[1].strip() for line in done.stdout.splitlines()[2:]] == ["online", "predict_one"]
    for result in results["threads"]["1"].values():
        assert 0 < result["seconds"]["fastbp"] < 1
        ratio = result["ratios"]["numpy"]
        assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
        assert 0 < result["peak_fraction"]["median"] < 1


@pytest.mark.parametrize("wrong", [["--cases", "nope"], ["--peers", "nope"], ["--threads", "0"], ["--threads", "a"]])
def test_wrong_arguments_are_named(wrong: list[str]) -> None:
    command = [sys.executable, "-m", "benchmarks", *wrong]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert wrong[1] in done.stderr


def test_both_readmes_have_room_for_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ("benchmarks/README.md", "README.md")
    (tmp_path / "benchmarks").mkdir()
    for path in paths:
        (tmp_path / path).write_text((ROOT / path).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(report, "HERE", tmp_path / "benchmarks")
    spread = {"median": 2.0, "low": 1.0, "high": 3.0}
    result = {"seconds": {"fastbp": 1e-6, "numpy": 2e-6}, "ratios": {"numpy": spread}, "peak_fraction": spread}
    whole = {
        "machine": report.machine(),
        "versions": {"fastbp": "0", "numpy": np.__version__},
        "dtype": "float32",
        "threads": {"1": dict.fromkeys(CASES, result)},
        "scaling": {"costs": {"torch": {"import_seconds": 1.5, "installed_bytes": 7e8}}},
    }
    for _ in range(2):
        report.write_readme(whole)
    assert (tmp_path / paths[0]).read_text(encoding="utf-8").count("| torch | 1,500 | 700.0 |") == 1
    for path, row in zip(paths, ("| rl | 1 | 1.00 |", "| Adam step, 4-64-64-2, 32 rows | 1.00 | 2.00 |"), strict=True):
        written, text = (tmp_path / path).read_text(encoding="utf-8"), (ROOT / path).read_text(encoding="utf-8")
        assert written.count(row) == 1
        assert written.startswith(text[:10])
        assert written.endswith(text[-40:])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_the_peak_of_memory_is_that_of_the_net_alone() -> None:
    """Parameters, gradients and two means of Adam; not the peak of this process, which is its parent's, nor 0."""
    ballast = np.ones(30_000_000)
    needed = 2 * (512**2 + 512) * 4 * 4
    used = float(scaling._python(scaling.MEMORY.format(width=512, peer="fastbp")))
    assert needed * 0.9 < used < 3 * needed < ballast.nbytes
