"""
From PyTorch, line by line
==========================

The same network and the same training in PyTorch and in fastbp, side by side; then a module that was trained in
PyTorch is converted, and converted back. With the same start values and batches, both give the same losses.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import fastbp as fb

# %%
# Side by side
# ------------
#
# .. list-table::
#    :header-rows: 1
#
#    * - PyTorch
#      - fastbp
#    * - ``nn.Linear(64, 32)``, ``nn.Tanh()``
#      - ``fb.Dense(32, "tanh")``: the width of the input is that of the layer before
#    * - ``nn.Sequential(...)``
#      - ``fb.Sequential(fb.Input(64), ...)``
#    * - ``nn.Module`` with ``forward``
#      - ``fb.Model(x, f(x))``: call layers on nodes
#    * - ``layer.weight``, shape (outputs, inputs)
#      - ``layer.W``, shape (inputs, outputs), a NumPy array
#    * - ``nn.CrossEntropyLoss()``
#      - ``loss="cross_entropy"``: logits and class indices, as in PyTorch
#    * - ``nn.BCEWithLogitsLoss()``
#      - ``loss="binary_cross_entropy"``
#    * - ``torch.optim.Adam(net.parameters(), lr=1e-3)``
#      - ``fb.Adam(lr=1e-3)``
#    * - ``zero_grad``, ``net(x)``, ``loss``, ``backward``, ``step``
#      - ``trainer.step(x, y)``
#    * - ``net.eval()``, ``torch.no_grad()``
#      - ``net.predict(x)``
#    * - ``net.train()``
#      - ``net.forward(x)``, with dropout
#    * - ``clip_grad_norm_(net.parameters(), 1.0)``
#      - ``fb.Adam(lr=1e-3, clip_norm=1.0)``
#    * - ``DataLoader(dataset, 32, shuffle=True)``
#      - ``fb.batches(X, y, 32, seed=0)``, or the DataLoader itself in ``fit``
#    * - ``torch.autograd.functional.jacobian``
#      - ``fb.jacobian(net, X)``, for all rows at once
#    * - ``torch.manual_seed(0)``
#      - ``seed=0`` of the model and of ``fit``
#    * - ``torch.save(net.state_dict(), path)``
#      - ``net.save("net.safetensors")``

X, y = fb.datasets.digits()
X_train, y_train, X_test, y_test = X[:1400], y[:1400], X[1400:], y[1400:]

# %%
# The network
# -----------

torch.manual_seed(0)
module = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))

net = fb.Sequential(fb.Input(64), fb.Dense(32, "tanh"), fb.Dense(10), seed=0)

# %%
# Start from the same weights, so that the results can be compared. PyTorch's matrices are transposed.

for layer, linear in zip(net.layers, (module[0], module[2]), strict=True):
    layer.W[:] = linear.weight.detach().numpy().T
    layer.b[:] = linear.bias.detach().numpy()

# %%
# The training loop
# -----------------
#
# Five lines of PyTorch are one of fastbp: forward pass, loss, backward pass and update in one compiled call.

batches = [list(fb.batches(X_train, y_train, 32, seed=epoch)) for epoch in range(20)]
losses, seconds = {"PyTorch": [], "fastbp": []}, {}
torch.set_num_threads(1)  # a fair race, and the fastest choice for a network of this size

criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
start = time.perf_counter()
for epoch in batches:
    for xb, yb in epoch:
        optimizer.zero_grad()
        out = module(torch.from_numpy(xb))
        loss = criterion(out, torch.from_numpy(yb))
        loss.backward()
        optimizer.step()
        losses["PyTorch"].append(loss.item())
seconds["PyTorch"] = time.perf_counter() - start

trainer = fb.Trainer(net, loss="cross_entropy", optimizer=fb.Adam(lr=1e-3))
start = time.perf_counter()
for epoch in batches:
    for xb, yb in epoch:
        losses["fastbp"].append(trainer.step(xb, yb))
seconds["fastbp"] = time.perf_counter() - start

difference = np.abs(np.array(losses["PyTorch"]) - np.array(losses["fastbp"]))
print(f"{len(difference)} steps, largest difference of the losses {difference.max():.1e}")
print({name: f"{1e6 * value / len(difference):.0f} us a step" for name, value in seconds.items()})
assert difference.max() < 1e-3

# %%
# Or without a loop: ``net.fit(X_train, y_train, loss="cross_entropy", optimizer=fb.Adam(lr=1e-3), epochs=20,
# seed=0)``.
#
# Prediction
# ----------

with torch.no_grad():
    theirs = module.eval()(torch.from_numpy(X_test)).numpy()
ours = net.predict(X_test)
print(f"accuracy {np.mean(theirs.argmax(axis=1) == y_test):.4f} and {np.mean(ours.argmax(axis=1) == y_test):.4f}")
assert np.mean(theirs.argmax(axis=1) == ours.argmax(axis=1)) > 0.99

# %%
# Convert a trained module, and back
# ----------------------------------
#
# ``fb.from_torch`` traces the module, converts it, and compares both on random rows before it returns. A module of
# your own with a ``forward`` works as well.


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.value, self.gate, self.out = nn.Linear(64, 16), nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, x):
        return self.out(torch.tanh(self.value(x)) * torch.sigmoid(self.gate(x)))


gated = Gated().eval()
converted = fb.from_torch(gated)
print(converted)
x = torch.from_numpy(X_test)
assert np.allclose(converted.predict(X_test), gated(x).detach().numpy(), atol=1e-5)
assert np.allclose(converted.to_torch()(x).detach().numpy(), gated(x).detach().numpy(), atol=1e-5)

fig, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
axes[0].plot(losses["PyTorch"], lw=4, alpha=0.4, label="PyTorch")
axes[0].plot(losses["fastbp"], lw=0.8, label="fastbp")
axes[0].set(xlabel="step", ylabel="loss of the batch", title="The same training")
axes[0].legend()
axes[1].semilogy(np.maximum(difference, 1e-9), lw=0.7)
axes[1].set(xlabel="step", ylabel="difference of the losses", title="float32 rounding, and nothing else")
plt.show()
