"""Interleaved rounds, in a process of its own for each number of threads.

On a shared machine a single time says nothing. A round times every peer once, ours among them, and the FMA peak around
each of ours; a ratio is taken within a round, and the median of the ratios is reported.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np

from benchmarks.cases import CASES, Problem, operations, problem
from benchmarks.peers import Peer, installed

CHECKED_STEPS = 10
# Of all parameters together, relative: Adam makes full steps from gradients that are only rounding errors.
TOLERANCE = {"float32": 1e-3, "float64": 1e-5}
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


# With FASTBP_ISA=avx2: settings that make libraries avoid AVX-512. XLA's setting does not apply to its products.
AVX2 = {
    "OPENBLAS_CORETYPE": "Haswell",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "NUMBA_CPU_NAME": "haswell",
}


def environment(threads: int) -> dict[str, str]:
    """The environment of every peer: the number of threads, and the instruction set where the peer has a setting."""
    settings = dict.fromkeys((*VARIABLES, "FASTBP_NUM_THREADS"), str(threads))
    settings["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    if os.environ.get("FASTBP_ISA") == "avx2":
        settings |= AVX2 | {"XLA_FLAGS": f"{settings['XLA_FLAGS']} --xla_cpu_max_isa=AVX2"}
    return os.environ | settings | {"TF_CPP_MIN_LOG_LEVEL": "2"}


def in_process(arguments: dict, threads: int) -> dict:
    """Return what `measured` returns, from a new process that may use `threads` processors."""
    command = [sys.executable, "-m", "benchmarks.rounds", json.dumps(arguments | {"threads": threads})]
    done = subprocess.run(command, env=environment(threads), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)  # the process has printed its error
    return json.loads(done.stdout.splitlines()[-1])


def measured(arguments: dict) -> dict:
    """All cases at one number of threads."""
    from benchmarks.peak import Peak

    threads = arguments["threads"]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    peak = Peak()
    peers = installed(arguments["peers"])
    results = {}
    for name in arguments["cases"]:
        if arguments["verbose"]:
            sys.stderr.write(f"{name}, {threads} thread{'s' * (threads > 1)} ...\n")
        given = problem(CASES[name], arguments["dtype"])
        results[name] = of_case(given, peers, threads, peak, arguments["rounds"], arguments["seconds"])
    return {"cases": results, "versions": {peer.name: peer.version for peer in peers}}


def of_case(given: Problem, peers: list[Peer], threads: int, peak, rounds: int, seconds: float) -> dict:
    """Seconds of a step by peer and round, ratios to ours, fractions of the peak."""
    runners, differences = checked(given, peers, threads)
    calls = {name: _calls(runner, given, seconds / rounds / len(runners)) for name, runner in runners.items()}
    times = {name: [] for name in runners}
    peaks = []
    for number in range(rounds):
        # Each round begins with another peer, so that the order does not favour one.
        names = list(runners)[number % len(runners) :] + list(runners)[: number % len(runners)]
        for name in names:
            before = peak.sample()
            times[name].append(_timed(runners[name], given, calls[name]))
            if name == "fastbp":
                peaks.append((before + peak.sample()) / 2)
    ours = np.array(times["fastbp"])
    # A core does half as many operations on numbers of double size.
    speed = operations(given.case) / ours / (np.array(peaks) * threads * 4 / given.dtype.itemsize)
    return {
        "dtype": given.dtype.name,
        "seconds": {name: float(np.median(list_)) for name, list_ in times.items()},
        "ratios": {name: _spread(np.array(t) / ours) for name, t in times.items() if name != "fastbp"},
        "epochs": _epochs(runners, times),
        "peak_fraction": _spread(speed),
        "peak": float(np.median(peaks)),
        "differences": differences,
    }


def checked(given: Problem, peers: list[Peer], threads: int) -> tuple[dict, dict]:
    """The peers that can run the case and agree with ours after some steps, and the difference of each from ours."""
    runners, results, differences = {}, {}, {}
    for peer in peers:
        runner = peer.start(given, threads) if given.case.task in peer.tasks else None
        if runner is None:
            continue
        steps = CHECKED_STEPS if given.case.task == "train" else 1
        for k in range(steps):
            runner.step(k % len(given.X))
        runner.wait()
        runners[peer.name] = runner
        results[peer.name] = _comparable(given, runner.result())
    ours = results["fastbp"]
    for name, theirs in results.items():
        if name == "fastbp":
            continue
        differences[name] = float(np.linalg.norm(theirs - ours) / np.linalg.norm(ours))
        if not differences[name] <= TOLERANCE[given.dtype.name]:
            raise SystemExit(f"{name} and fastbp differ by {differences[name]:.2g} after {CHECKED_STEPS} steps")
    return runners, differences


def _comparable(given, parts):
    if given.case.task == "predict" and given.case.loss == "cross_entropy":  # logits, or logarithms of probabilities
        (Y,) = (np.asarray(part, np.float64) for part in parts)
        return Y - np.logaddexp.reduce(Y, axis=1, keepdims=True)
    return np.concatenate([np.asarray(part, np.float64).ravel() for part in parts])


def _timed(runner, given, calls):
    """Seconds of one step."""
    step, batches, several = runner.step, len(given.X), getattr(runner, "several", None)
    begin = time.perf_counter()
    if several is not None:
        calls = several(calls)
    else:
        for k in range(calls):
            step(k % batches)
    runner.wait()
    return (time.perf_counter() - begin) / calls


def _calls(runner, given, seconds):
    """The number of steps that take this time."""
    calls = 1
    while (taken := _timed(runner, given, calls) * calls) < seconds / 4 and calls < 1_000_000:
        calls *= 4 if taken < seconds / 16 else 2
    return max(1, round(calls * seconds / taken))


def _epochs(runners, times):
    """Ratios to `fit` of the peers that go through an epoch in one call."""
    several = [name for name in times if hasattr(runners[name], "several")]
    return {name: _spread(np.divide(times[name], times["fit"])) for name in several if "fit" in times and name != "fit"}


def _spread(values):
    """The median and the middle half."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"median": float(median), "low": float(low), "high": float(high)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measured(json.loads(sys.argv[1]))) + "\n")
