"""
Lennard-Jones energies and forces
=================================

Four atoms whose energy is the sum of 4 (r^-12 - r^-6) over their pairs. One net of the distance, shared by the six
pairs, is trained on energies and on forces, which are minus the gradient of the energy by the positions.
"""

import itertools
import time

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

ATOMS = 4
PAIRS = list(itertools.combinations(range(ATOMS), 2))

# %%
# The energy as a node: distances of pairs by node arithmetic, then the same two layers for each of them. A layer that
# is called several times has one W, and its gradient is the sum over all calls.

positions = fb.Input(3 * ATOMS, name="positions")
hidden, last = fb.Dense(16, "tanh"), fb.Dense(1)
energy = None
for i, j in PAIRS:
    apart = positions[:, 3 * i : 3 * i + 3] - positions[:, 3 * j : 3 * j + 3]
    pair = last(hidden(fb.sqrt(fb.dot(apart, apart))))
    energy = pair if energy is None else energy + pair
net = fb.Model(positions, [energy, -fb.grad(energy, positions)], dtype="float64", seed=0)

# %%
# The truth, and clusters whose atoms keep a distance of 1 at least: 50 to learn from, 500 to be tested on.


def truth(X):
    places = X.reshape(-1, ATOMS, 3)
    total, forces = np.zeros((len(X), 1)), np.zeros_like(places)
    for i, j in PAIRS:
        apart = places[:, i] - places[:, j]
        r2 = (apart**2).sum(axis=1, keepdims=True)
        total += 4 * (r2**-6 - r2**-3)
        push = (48 * r2**-7 - 24 * r2**-4) * apart
        forces[:, i] += push
        forces[:, j] -= push
    return total, forces.reshape(len(X), -1)


def clusters(rng, count):
    places = rng.uniform(-1.2, 1.2, (40 * count, ATOMS, 3))
    distances = [np.linalg.norm(places[:, i] - places[:, j], axis=1) for i, j in PAIRS]
    return places[np.min(distances, axis=0) > 1][:count].reshape(-1, 3 * ATOMS)


rng = np.random.default_rng(0)
X, T = clusters(rng, 50), clusters(rng, 500)
start = time.process_time()
found = fb.minimize(net, X, truth(X), loss=("mse", "mse"), method="lm", max_iter=100)
seconds = time.process_time() - start

# %%
# The two outputs on clusters that it has not seen.

(E, F), (true_E, true_F) = net.predict(T), truth(T)
error = np.linalg.norm(F - true_F) / np.linalg.norm(true_F)
of_energy = np.linalg.norm(E - true_E) / np.linalg.norm(true_E)
print(
    f"{len(X)} clusters, {net.params.size} parameters; relative error of the energies {of_energy:.1e}, of the forces:"
)
print(f"relative error {error:.1e}, {seconds:.2f} s of CPU")
assert error < 1e-3
assert of_energy < 1e-3

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
r = np.linspace(1, 3, 200)[:, None]
learned = np.tanh(r * hidden.W + hidden.b) @ last.W + last.b
left.plot(r, 4 * (r**-12 - r**-6), color="#bbbbbb", linewidth=5, label="4 (r^-12 - r^-6)")
left.plot(r, learned, color="#4a7ebb", label="net of one pair")
left.set(xlabel="r", ylabel="energy of a pair")
left.legend()
limit = np.abs(true_F).max()
right.plot([-limit, limit], [-limit, limit], color="#bbbbbb")
right.plot(true_F.ravel(), F.ravel(), ".", color="#c0504d", markersize=3)
right.set(xlabel="force", ylabel="force of the net")
