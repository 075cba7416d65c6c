"""
Poisson's equation in one dimension
===================================

-u'' = f on 0 ... 1 with u = 0 at both ends, for an f whose solution is sin(pi x) + sin(4 pi x) / 4.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# x (1 - x) N(x) is 0 at the ends whatever the net N is, so the conditions at the ends need no term in the loss. The
# second derivative is a node, and an output of the model beside u itself.

x = fb.Input(1, name="x")
u = x * (1 - x) * fb.Dense(1)(fb.Dense(24, "tanh")(x))
net = fb.Model(x, [u, -fb.diff(fb.diff(u, x), x)], dtype="float64", seed=0)

# %%
# Targets are known for the equation only: u has NaN, which the loss leaves out. Levenberg-Marquardt minimizes the sum
# of the squared residuals.


def solution(X):
    return np.sin(np.pi * X) + np.sin(4 * np.pi * X) / 4


X = np.linspace(0, 1, 100)[:, None]
source = np.pi**2 * np.sin(np.pi * X) + 4 * np.pi**2 * np.sin(4 * np.pi * X)
masked = fb.losses.MSE(mask_nan=True)
start = time.process_time()
found = fb.minimize(
    net, X, (np.full_like(X, np.nan), source), loss=(masked, masked), method="lm", max_iter=100, tol=1e-12
)
seconds = time.process_time() - start

# %%
# The error is measured between the points of the training.

T = np.linspace(0, 1, 501)[:, None]
Y = net.predict(T)[0]
error = np.linalg.norm(Y - solution(T)) / np.linalg.norm(solution(T))
print(f"mean square of the residual {found.loss:.1e} after {found.iterations} iterations")
print(f"relative error {error:.1e}, {seconds:.2f} s of CPU")
assert error < 1e-5

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.plot(T, solution(T), color="#bbbbbb", linewidth=5, label="solution")
left.plot(T, Y, color="#4a7ebb", label="net")
left.set(xlabel="x", ylabel="u")
left.legend()
right.semilogy(T, np.abs(Y - solution(T)) + 1e-18, color="#c0504d")
right.set(xlabel="x", ylabel="|error|", ylim=(1e-12, None))
