"""
A damped oscillator whose friction is found
===========================================

u'' + c u' + k u = 0 with a known k = 400 and an unknown c. 40 measurements of u, with noise, and the equation together
give c and u: an inverse problem. Its truth is c = 4 and u = exp(-2 t) cos(sqrt(396) t).
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# ``fb.Parameter`` is a number that is trained like a weight. The residual is divided by k, so that it is of u's size.

t = fb.Input(1, name="t")
c = fb.Parameter(0.0, name="friction")
u = fb.Dense(1)(fb.Dense(24, "tanh")(fb.Dense(24, "tanh")(t)))
ut = fb.diff(u, t)
residual = (fb.diff(ut, t) + c * ut) / 400 + u
net = fb.Model(t, [u, residual], dtype="float64", seed=0)


def solution(T):
    return np.exp(-2 * T) * np.cos(np.sqrt(396) * T)


# %%
# Measured rows have a target for u; the equation holds in rows of its own.

rng = np.random.default_rng(0)
measured = np.linspace(0, 1, 40)[:, None]
noisy = solution(measured) + 0.02 * rng.normal(size=measured.shape)
places = np.linspace(0, 1, 200)[:, None]
X = np.vstack([measured, places])
values = np.vstack([noisy, np.full_like(places, np.nan)])
zeros = np.vstack([np.full_like(measured, np.nan), np.zeros_like(places)])
masked = fb.losses.MSE(mask_nan=True)
start = time.process_time()
found = fb.minimize(net, X, (values, zeros), loss=(masked, 100 * masked), method="lm", max_iter=150)
seconds = time.process_time() - start

T = np.linspace(0, 1, 501)[:, None]
Y = net.predict(T)[0]
distance = np.linalg.norm(Y - solution(T)) / np.linalg.norm(solution(T))
friction = float(c.value)
error = abs(friction - 4) / 4
print(f"friction {friction:.3f}, in truth 4; relative error of u {distance:.1e}, noise of the measurements 0.02")
print(f"relative error {error:.1e}, {seconds:.2f} s of CPU")
assert error < 2e-2
assert distance < 2e-2

figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
ax.plot(T, solution(T), color="#bbbbbb", linewidth=5, label="solution, c = 4")
ax.plot(T, Y, color="#4a7ebb", label=f"net, c = {friction:.3f}")
ax.plot(measured, noisy, "o", color="#c0504d", markersize=3, label="measurements")
ax.set(xlabel="t", ylabel="u")
ax.legend()
