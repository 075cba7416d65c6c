"""
From FANN, line by line
=======================

The Fast Artificial Neural Network library (FANN) is written in C. Its functions and those of fastbp are listed side
by side; its files of training data and its saved networks are read directly.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# Side by side
# ------------
#
# .. list-table::
#    :header-rows: 1
#
#    * - FANN
#      - fastbp
#    * - ``fann_create_standard(3, 2, 6, 1)``
#      - ``fb.Sequential(fb.Input(2), fb.Dense(6, "tanh"), fb.Dense(1, "tanh"))``
#    * - ``fann_create_shortcut(...)``
#      - ``fb.Model`` with ``fb.Concatenate()(x, h)``
#    * - ``FANN_SIGMOID_SYMMETRIC``
#      - ``"tanh"``; ``FANN_SIGMOID`` is ``"sigmoid"``
#    * - ``fann_set_activation_steepness_hidden(ann, 0.5)``
#      - a factor of the weights; ``from_fann`` multiplies it in
#    * - ``fann_randomize_weights``, ``fann_init_weights``
#      - start values by the activation, or ``weights=``
#    * - ``fann_read_train_from_file("xor.data")``
#      - ``fb.datasets.read_fann("xor.data")``
#    * - ``fann_train_on_data(ann, data, 500, 10, 0.001)``
#      - ``net.fit(X, y, epochs=500, ...)``
#    * - ``FANN_TRAIN_RPROP`` (the default)
#      - ``fb.Rprop()`` with ``batch_size=len(X)``
#    * - ``FANN_TRAIN_INCREMENTAL``
#      - ``fb.SGD(lr=0.7)`` with ``batch_size=1``
#    * - ``FANN_TRAIN_BATCH``
#      - ``fb.SGD(lr=0.7)`` with ``batch_size=len(X)``
#    * - desired error 0.001
#      - a ``LambdaCallback`` that returns True ends the fit
#    * - ``fann_train(ann, input, output)``
#      - ``trainer.step(x, t)``
#    * - ``fann_run(ann, input)``
#      - ``net.predict(x)``; for one row, ``net.compiled()`` is the fastest
#    * - ``fann_test_data``, ``fann_get_MSE``
#      - ``net.evaluate(X, y, loss="mse")``
#    * - ``fann_save(ann, "xor.net")``
#      - ``net.save("xor.safetensors")``; ``net.to_c("xor.c")`` for C
#    * - ``fann_create_from_file("xor.net")``
#      - ``fb.from_fann("xor.net")``

# %%
# The example of FANN's documentation: XOR
# ----------------------------------------
#
# In C with FANN::
#
#     struct fann *ann = fann_create_standard(3, 2, 6, 1);
#     fann_set_activation_function_hidden(ann, FANN_SIGMOID_SYMMETRIC);
#     fann_set_activation_function_output(ann, FANN_SIGMOID_SYMMETRIC);
#     fann_train_on_file(ann, "xor.data", 500, 10, 0.001);
#     fann_save(ann, "xor.net");
#
# The file of training data has the numbers of samples, inputs and outputs, then inputs and outputs in turn.

Path("xor.data").write_text("4 2 1\n-1 -1\n-1\n-1 1\n1\n1 -1\n1\n1 1\n-1\n", encoding="ascii")
X, y = fb.datasets.read_fann("xor.data")

net = fb.Sequential(fb.Input(2), fb.Dense(6, "tanh"), fb.Dense(1, "tanh"), dtype="float64", seed=0)
good_enough = fb.LambdaCallback(on_epoch_end=lambda trainer, epoch, logs: logs["loss"] < 0.001)
history = net.fit(X, y, optimizer=fb.Rprop(), epochs=500, batch_size=len(X), callbacks=[good_enough], seed=0)
print(f"{len(history.history['loss'])} epochs, error {history.history['loss'][-1]:.5f}")
print(np.hstack([X, y, net.predict(X)]).round(2))
assert np.all(np.sign(net.predict(X)) == y)

# %%
# FANN's optimizers
# -----------------
#
# FANN's default is Rprop on the whole batch, which goes by the sign of a gradient. It is still good for small data.

kinds = {"Rprop, whole batch": (fb.Rprop(), 4), "incremental": (fb.SGD(lr=0.1), 1), "batch": (fb.SGD(lr=0.1), 4)}
curves = {}
for name, (optimizer, size) in kinds.items():
    net = fb.Sequential(fb.Input(2), fb.Dense(6, "tanh"), fb.Dense(1, "tanh"), dtype="float64", seed=0)
    curves[name] = net.fit(X, y, optimizer=optimizer, epochs=200, batch_size=size, seed=0).history["loss"]

# %%
# Read a network that FANN saved
# ------------------------------
#
# This is such a file: a network of 2, 3 and 1 neurons with biases. Each neuron has its number of connections, its
# activation (5 is ``FANN_SIGMOID_SYMMETRIC``) and its steepness; each connection has the neuron it comes from and its
# weight.

saved = """FANN_FLO_2.1
num_layers=3
learning_rate=0.700000
connection_rate=1.000000
network_type=0
learning_momentum=0.000000
training_algorithm=2
train_error_function=1
train_stop_function=0
cascade_output_change_fraction=0.010000
quickprop_decay=-0.000100
quickprop_mu=1.750000
rprop_increase_factor=1.200000
rprop_decrease_factor=0.500000
rprop_delta_min=0.000000
rprop_delta_max=50.000000
rprop_delta_zero=0.100000
cascade_output_stagnation_epochs=12
cascade_candidate_change_fraction=0.010000
cascade_candidate_stagnation_epochs=12
cascade_max_out_epochs=150
cascade_min_out_epochs=50
cascade_max_cand_epochs=150
cascade_min_cand_epochs=50
cascade_num_candidate_groups=2
bit_fail_limit=3.49999994039535522461e-01
cascade_candidate_limit=1.00000000000000000000e+03
cascade_weight_multiplier=4.00000005960464477539e-01
cascade_activation_functions_count=2
cascade_activation_functions=3 5 
cascade_activation_steepnesses_count=1
cascade_activation_steepnesses=5.00000000000000000000e-01 
layer_sizes=3 4 2 
scale_included=0
neurons (num_inputs, activation_function, activation_steepness)=(0, 0, 0.0) (0, 0, 0.0) (0, 0, 0.0) (3, 5, 0.5) (3, 5, 0.5) (3, 5, 0.5) (0, 5, 0.5) (4, 5, 0.5) (0, 5, 0.5) 
connections (connected_to_neuron, weight)=(0, 2.7) (1, -2.9) (2, -2.5) (0, -2.6) (1, 2.8) (2, -2.4) (0, 0.2) (1, -0.1) (2, 0.6) (3, 3.1) (4, 3.2) (5, 0.4) (6, 2.6) 
"""  # noqa: E501, W291
Path("xor.net").write_text(saved, encoding="ascii")
read = fb.from_fann("xor.net", dtype="float64")
print(read)

# %%
# What FANN computes in such a neuron is ``tanh(steepness * sum)``. By hand, for one row:

x = np.array([1.0, -1.0])
hidden = np.tanh(0.5 * np.array([2.7 + 2.9 - 2.5, -2.6 - 2.8 - 2.4, 0.2 + 0.1 + 0.6]))
by_hand = np.tanh(0.5 * (hidden @ [3.1, 3.2, 0.4] + 2.6))
assert np.isclose(read.predict(x).item(), by_hand, rtol=1e-12)
assert np.all(np.sign(read.predict(X)) == y)
print(read.predict(X).round(3).ravel(), "targets", y.ravel())

fig, axes = plt.subplots(1, 2, figsize=(10.5, 4), layout="constrained")
for name, curve in curves.items():
    axes[0].semilogy(np.arange(1, 201), curve, label=name)
axes[0].set(xlabel="epoch", ylabel="mean squared error", title="XOR by FANN's ways to train", ylim=(1e-8, None))
axes[0].legend()
side = np.linspace(-1.5, 1.5, 121)
plane = read.predict(np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)).reshape(121, 121)
image = axes[1].contourf(side, side, plane, levels=np.linspace(-1, 1, 21), cmap="RdBu")
axes[1].scatter(*X.T, c=y[:, 0], cmap="RdBu", vmin=-1, vmax=1, edgecolor="white", linewidth=2, s=130)
axes[1].set(xlabel="first input", ylabel="second input", title="The network that was read", aspect="equal")
fig.colorbar(image, ax=axes[1], label="output", ticks=[-1, 0, 1])
plt.show()
