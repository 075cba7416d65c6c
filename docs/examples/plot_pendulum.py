"""
A Hamiltonian pendulum that keeps its energy
============================================

q' = dH/dp, p' = -dH/dq with H = p^2 / 2 + 1 - cos q. A net N(q, p) is trained so that *its* dN/dp and -dN/dq are the
measured speeds: it finds a conserved quantity. A plain net from (q, p) to the speeds, trained on the same rows, knows
of none.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# 200 measured speeds with noise. Both nets have 32 hidden units.


def speeds(X):
    return np.column_stack([X[:, 1], -np.sin(X[:, 0])])


def energy(X):
    return X[:, 1] ** 2 / 2 + 1 - np.cos(X[:, 0])


rng = np.random.default_rng(0)
X = rng.uniform(-2.2, 2.2, (200, 2))
Y = speeds(X) + 0.05 * rng.normal(size=X.shape)

s = fb.Input(2, name="qp")
N = fb.Dense(1)(fb.Dense(32, "tanh")(s))
g = fb.grad(N, s)
hamiltonian = fb.Model(s, fb.Concatenate()(g[:, 1], -g[:, 0]), dtype="float64", seed=0)
plain = fb.Sequential(fb.Input(2), fb.Dense(32, "tanh"), fb.Dense(2), dtype="float64", seed=0)
start = time.process_time()
for net in (hamiltonian, plain):
    fb.minimize(net, X, Y, loss="mse", method="lm", max_iter=50)

# %%
# Both are integrated for 100 units of time, some 15 swings, by the classical method of Runge and Kutta, whose own error
# is far below theirs.


def swing(f, start, step=0.05, count=2000):
    path = [np.array([start])]
    for _ in range(count):
        x = path[-1]
        a = f(x)
        b = f(x + step / 2 * a)
        c = f(x + step / 2 * b)
        path.append(x + step / 6 * (a + 2 * b + 2 * c + f(x + step * c)))
    return np.vstack(path)


begin = (1.5, 0.0)
true, kept, lost = (swing(f, begin) for f in (speeds, hamiltonian.predict, plain.predict))
seconds = time.process_time() - start
drifts = [np.abs(energy(path[-500:]).mean() / energy(true[:1])[0] - 1) for path in (kept, lost)]
print(f"mean energy of the last 25 units of time: off by {drifts[0]:.1e}, of the plain net by {drifts[1]:.1e}")
error = np.abs(energy(kept) / energy(true[:1])[0] - 1).max()
print(f"relative error {error:.1e}, {seconds:.2f} s of CPU")
assert error < 5e-2
assert drifts[0] < drifts[1] / 3

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
T = np.arange(len(true)) * 0.05
paths = (true, "#bbbbbb", "truth"), (kept, "#4a7ebb", "Hamiltonian net"), (lost, "#c0504d", "plain net")
for path, color, name in paths:
    left.plot(*path.T, color=color, linewidth=4 if name == "truth" else 0.8, label=name)
    right.plot(T, energy(path), color=color, linewidth=4 if name == "truth" else 1)
left.set(xlabel="q", ylabel="p")
left.legend(loc="center")
right.set(xlabel="time", ylabel="energy")
