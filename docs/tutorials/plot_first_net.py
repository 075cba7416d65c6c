"""
A first network
===============

A network learns to recognize handwritten digits. Then we look at what it gets wrong.
"""

# %%
# The package includes 1,797 images of 8 x 8 pixels. The network sees the first 1,500 of them.
import numpy as np

import fastbp as fb

X, y = fb.datasets.digits()
Xt, yt, Xv, yv = X[:1500], y[:1500], X[1500:], y[1500:]

# %%
# One hidden layer of 64 units. The last layer has an output for each class and no activation: ``cross_entropy`` takes
# logits.
net = fb.Sequential(fb.Input(64), fb.Dense(64, "relu"), fb.Dense(10), seed=0)
history = net.fit(
    Xt,
    yt,
    loss="cross_entropy",
    optimizer="adam",
    epochs=20,
    batch_size=32,
    validation_data=(Xv, yv),
    metrics=["accuracy"],
    seed=0,
)
print(f"accuracy on images it has not seen: {history.history['val_accuracy'][-1]:.3f}")

# %%
# The loss on the training images and on those held out.
ax = history.plot()

# %%
# Which digits it takes for which.
ax = fb.plotting.confusion_matrix(yv, net.predict(Xv), [str(digit) for digit in range(10)])

# %%
# The probabilities of a wrong answer: softmax of the logits.
wrong = np.flatnonzero(net.predict(Xv).argmax(axis=1) != yv)[0]
Z = net.predict(Xv[wrong : wrong + 1])
P = fb.activations.softmax()(Z)[0]
print(f"it is a {yv[wrong]}; the net says", {int(k): round(float(P[k]), 2) for k in P.argsort()[:-4:-1]})
