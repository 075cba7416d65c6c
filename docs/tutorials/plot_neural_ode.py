"""
A neural ordinary differential equation
=======================================

A neural ODE learns the right-hand side of a differential equation, dx/dt = f(x), from measured states. The network f
is used in each stage of a Runge-Kutta step and in each of several steps; backpropagation runs through all of them,
and the gradients of all uses add up.

The example is the predator and prey model of Lotka and Volterra, measured with noise. The network knows nothing of
the formula; at the end it continues a trajectory from a start that it has not seen.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# Data
# ----
#
# Eight trajectories of 61 measurements each, at a distance of 0.1 in time.

DT, STEPS = 0.1, 5
rng = np.random.default_rng(0)


def truth(X):
    prey, hunters = X[..., 0], X[..., 1]
    return np.stack([1.1 * prey - 0.8 * prey * hunters, 0.8 * prey * hunters - 1.0 * hunters], axis=-1)


def runge_kutta(f, x, dt):
    """One step of the classical method of fourth order, on arrays or on nodes of a network."""
    k1 = f(x)
    k2 = f(x + 0.5 * dt * k1)
    k3 = f(x + 0.5 * dt * k2)
    k4 = f(x + dt * k3)
    return x + (dt / 6) * (k1 + 2 * (k2 + k3) + k4)


def trajectory(f, x, steps):
    path = [x]
    for _ in range(steps):
        path.append(runge_kutta(f, path[-1], DT))
    return np.stack(path)


starts = rng.uniform(0.5, 2.5, (8, 2))
clean = trajectory(truth, starts, 60)  # (times, trajectories, 2)
measured = clean + 0.02 * rng.normal(size=clean.shape)

# %%
# The network, unrolled
# ---------------------
#
# ``f`` has two layers. Each call of ``f`` uses *the same* layers, so they share their weights. Nodes have the
# operators of arithmetic, so ``runge_kutta`` from above also builds the network: five steps of four stages each are
# twenty copies of ``f`` with one set of parameters.

hidden, out = fb.Dense(32, "tanh", name="hidden"), fb.Dense(2, name="out")


def f(x):
    return out(hidden(x))


state = fb.Input(2, name="state")
states = [state]
for _ in range(STEPS):
    states.append(runge_kutta(f, states[-1], DT))
unrolled = fb.Model(state, states[1:], dtype="float64", seed=0)
print(f"{len(unrolled.params)} parameters, used {4 * STEPS} times in a pass")

# %%
# Training
# --------
#
# Each measurement is a start (*multiple shooting*), and the next five are the targets: five outputs, five losses.
# Starting from the whole trajectory at once is harder: the errors of sixty steps build up.

X = measured[:-STEPS].reshape(-1, 2)
T = tuple(measured[k : len(measured) - STEPS + k].reshape(-1, 2) for k in range(1, STEPS + 1))
history = unrolled.fit(
    X,
    T,
    loss=("mse",) * STEPS,
    optimizer=fb.Adam(lr=fb.schedules.Cosine(0.02, 200 * 14)),
    epochs=200,
    batch_size=32,
    seed=0,
)

# %%
# The field that it found
# -----------------------
#
# ``field`` is the right-hand side alone. Its Jacobian tells how the equilibrium behaves: purely imaginary
# eigenvalues, so the populations go round it.


def field(X):
    return np.tanh(X @ hidden.W + hidden.b) @ out.W + out.b


start = np.array([1.8, 0.7])
true_path, found_path = trajectory(truth, start, 120), trajectory(field, start, 120)
error = np.sqrt(np.mean((found_path - true_path) ** 2))
print(f"from a new start, root mean square error over 120 steps: {error:.3f}")
assert error < 0.1

alone = fb.Sequential(fb.Input(2), fb.Dense(32, "tanh"), fb.Dense(2), dtype="float64")
alone.params[:] = unrolled.params  # the same parameters, in the same order
assert np.allclose(alone.predict(X), field(X))
centre = np.array([1.0 / 0.8, 1.1 / 0.8])
eigenvalues = np.linalg.eigvals(fb.jacobian(alone, centre[None])[0])
print("eigenvalues at the equilibrium", eigenvalues.round(2), "true: +-", round(np.sqrt(1.1), 2), "i")
assert abs(abs(eigenvalues[0].imag) - np.sqrt(1.1)) < 0.1

fig, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
grid = np.stack(np.meshgrid(np.linspace(0.2, 3.2, 14), np.linspace(0.2, 3.2, 14)), axis=-1)
for f_of, color, width in ((truth, "0.7", 0.009), (field, "tab:red", 0.003)):
    arrows = f_of(grid)
    axes[0].quiver(grid[..., 0], grid[..., 1], arrows[..., 0], arrows[..., 1], color=color, width=width)
axes[0].plot(measured[..., 0], measured[..., 1], ".", ms=3, color="tab:blue", alpha=0.5)
axes[0].set(
    xlabel="prey", ylabel="hunters", title="Field: grey true, red learned, blue measured", xlim=(0, 3.4), ylim=(0, 3.4)
)
time = DT * np.arange(121)
for k, name in enumerate(("prey", "hunters")):
    axes[1].plot(time, true_path[:, k], color=f"C{k}", lw=4, alpha=0.3)
    axes[1].plot(time, found_path[:, k], color=f"C{k}", label=name)
axes[1].axvspan(6, 12, color="0.95", zorder=0)
axes[1].text(9, 0.15, "longer than any measurement", ha="center", fontsize=9)
axes[1].set(xlabel="time", ylabel="population", title="A new start: wide true, thin learned", ylim=(0, 3))
axes[1].legend(loc="upper right")
plt.show()
