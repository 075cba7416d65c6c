"""
Deploying to C on a microcontroller
===================================

A trained network as one C file: no library but ``math.h``, no memory allocation, no interpreter. It compiles for
anything with a C99 compiler, a microcontroller (Cortex-M, ESP32, RISC-V) as well as a plug-in. This tutorial trains a
network that tells gestures from an accelerometer, writes it as C, compiles it, and compares the results.
"""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# Data
# ----
#
# Windows of 24 readings of an acceleration, of four gestures, made here: rest, a shake, a tap and a tilt.

rng = np.random.default_rng(0)
NAMES = ["rest", "shake", "tap", "tilt"]
time = np.linspace(0, 1, 24)


def window(kind):
    noise, height, start = 0.3 * rng.normal(size=24), rng.uniform(0.6, 1.4), rng.uniform(0.2, 0.6)
    if kind == 1:
        return noise + height * np.sin(2 * np.pi * (rng.uniform(3, 5) * time + rng.random()))
    if kind == 2:
        return noise + 1.5 * height * np.exp(-(((time - start) / 0.05) ** 2))
    if kind == 3:
        return noise + height / (1 + np.exp(-12 * (time - start)))
    return noise


y = rng.integers(4, size=2400)
X = np.array([window(kind) for kind in y], "float32")
X, y, X_test, y_test = X[:2000], y[:2000], X[2000:], y[2000:]

# %%
# A small network
# ---------------
#
# What limits a microcontroller is memory: flash for the parameters (4 bytes each), RAM for the intermediate results.
# The loss takes logits, and the largest logit belongs to the most probable class, so the device needs no softmax at
# all.

net = fb.Sequential(fb.Input(24), fb.Dense(16, "relu"), fb.Dense(8, "relu"), fb.Dense(4), seed=0)
net.fit(X, y, loss="cross_entropy", optimizer=fb.Adam(lr=3e-3), epochs=40, seed=0)
accuracy = net.evaluate(X_test, y_test, loss="cross_entropy", metrics=["accuracy"])["accuracy"]
print(net)
print(f"accuracy on new windows {accuracy:.3f}; flash for parameters {4 * len(net.params):,} bytes")
assert accuracy > 0.95

# %%
# The C file
# ----------
#
# One function, ``void classify(const float *x, float *y)``. Its parameters are constants, so that the linker puts
# them into flash. ``-DPREDICT_STORAGE=static`` moves the intermediate results from the stack to static memory, for
# devices with a small stack.

net.to_c("classify.c", name="classify")
source = Path("classify.c").read_text(encoding="utf-8")
lines = source.splitlines()
print("\n".join([*lines[:11], "...", *lines[lines.index(next(line for line in lines if "void classify" in line)) :]]))

# %%
# A sketch for the device is then, with ``read_accelerometer`` of your board::
#
#     void classify(const float *x, float *y);
#
#     void loop(void) {
#         static float x[24];
#         float y[4];
#         read_accelerometer(x, 24);
#         classify(x, y);
#         int best = 0;
#         for (int k = 1; k < 4; k++)
#             if (y[k] > y[best]) best = k;
#         if (best != 0) report(best);
#     }

# %%
# Compile and compare
# -------------------
#
# Here with the compiler of this machine, as a shared library that Python loads. For a Cortex-M4 the command would be
# ``arm-none-eabi-gcc -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard -O2 -c classify.c``. Without a compiler
# nothing is compared.

compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
expected = net.predict(X_test)
if compiler and os.name == "posix":
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "classify.c", "-o", "classify.so", "-lm"], check=True)
    classify = ctypes.CDLL(os.path.abspath("classify.so")).classify
    got = np.empty((len(X_test), 4), "float32")
    for row, result in zip(np.ascontiguousarray(X_test), got, strict=True):
        classify(row.ctypes.data_as(ctypes.c_void_p), result.ctypes.data_as(ctypes.c_void_p))
    difference = np.abs(got - expected).max()
    print(f"largest difference {difference:.1e}, of outputs up to {np.abs(expected).max():.1f}")
    assert difference < 1e-4 * np.abs(expected).max()
    assert np.array_equal(got.argmax(axis=1), expected.argmax(axis=1))
else:
    print("no C compiler found")

# %%
# How small can it be?
# --------------------
#
# Accuracy against flash, for several widths. Weights of smaller networks are learned anew, not cut out of the large
# one.

sizes, scores = [], []
for width in (2, 4, 8, 16, 32):
    small = fb.Sequential(
        fb.Input(24), fb.Dense(width, "relu"), fb.Dense(max(width // 2, 2), "relu"), fb.Dense(4), seed=0
    )
    small.fit(X, y, loss="cross_entropy", optimizer=fb.Adam(lr=3e-3), epochs=40, seed=0)
    sizes.append(4 * len(small.params))
    scores.append(small.evaluate(X_test, y_test, loss="cross_entropy", metrics=["accuracy"])["accuracy"])

fig, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
for kind, name in enumerate(NAMES):
    shown = X_test[y_test == kind][:3]
    axes[0].plot(np.arange(24), shown.T - 4 * kind, color=f"C{kind}", lw=1)
    axes[0].text(24, -4 * kind, name, color=f"C{kind}", va="center")
axes[0].set(
    xlabel="reading", ylabel="acceleration, shifted", title="Three windows of each gesture", xlim=(0, 28), yticks=[]
)
axes[1].semilogx(sizes, scores, "o-", base=2)
axes[1].set(xlabel="bytes of flash for the parameters", ylabel="accuracy on new windows", title="How small can it be?")
axes[1].set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
plt.show()
