"""
Reinforcement learning: DQN on a cart-pole
==========================================

A pole stands on a cart; the network pushes the cart left or right and learns to keep the pole upright. The algorithm
is deep Q-learning (DQN) with a replay memory and a target network. The simulation is a few lines of NumPy, so the
whole program is below and takes seconds: a training step of a small network costs microseconds, where the overhead of
a large framework would dominate.
"""

import math

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# The cart-pole
# -------------
#
# Four numbers are the state: position and speed of the cart, angle and angular speed of the pole. The equations and
# constants are those of Barto, Sutton and Anderson (1983), as in Gymnasium's ``CartPole-v1``. An episode ends when
# the pole falls beyond 12 degrees, the cart leaves the track, or after 500 steps. The reward is 1 for each step.

GRAVITY, POLE, CART, HALF, FORCE, DT = 9.8, 0.1, 1.0, 0.5, 10.0, 0.02
LIMIT = 500


def moved(state, action):
    """The next state, and whether the pole has fallen."""
    x, v, angle, turn = state
    sin, cos = math.sin(angle), math.cos(angle)
    push = (FORCE if action else -FORCE) + POLE * HALF * turn * turn * sin
    swing = (GRAVITY * sin - cos * push / (CART + POLE)) / (HALF * (4 / 3 - POLE * cos * cos / (CART + POLE)))
    speed_up = (push - POLE * HALF * swing * cos) / (CART + POLE)
    state = (x + DT * v, v + DT * speed_up, angle + DT * turn, turn + DT * swing)
    return state, abs(state[0]) > 2.4 or abs(state[2]) > math.radians(12)


# %%
# Network, target network, memory
# -------------------------------
#
# The network has one output for each action: the sum of discounted rewards, Q, that follows if that action is taken
# now.
#
# * ``net.compiled(rows=1)`` is the fastest call for one state. It reads the parameters of ``net``, so it follows the
#   training.
# * Only the action that was taken has a target. The other one is NaN, and ``mask_nan=True`` leaves it out of the
#   loss.
# * The target network is a copy that follows slowly: ``target.params += 0.005 * (net.params - target.params)``. All
#   parameters of a network are one flat NumPy array.

rng = np.random.default_rng(1)
net = fb.Sequential(fb.Input(4), fb.Dense(64, "relu"), fb.Dense(64, "relu"), fb.Dense(2), seed=1)
target = net.copy()
values_of = net.compiled(rows=1)
trainer = fb.Trainer(net, loss=fb.losses.Huber(mask_nan=True), optimizer=fb.Adam(lr=1e-3, clip_norm=10.0))

SIZE, BATCH, DISCOUNT = 50_000, 128, 0.99
before, after = np.zeros((SIZE, 4), "float32"), np.zeros((SIZE, 4), "float32")
actions, fell = np.zeros(SIZE, int), np.zeros(SIZE, bool)

scale = np.array([1.0, 1.0, 5.0, 1.0], "float32")  # angles are small: scale them up


def greedy(state):
    return int(values_of(scale * np.array(state, "float32")).argmax())


def played(policy, rng):
    """The states of one episode."""
    state, path, ended = tuple(rng.uniform(-0.05, 0.05, 4)), [], False
    while not ended and len(path) < LIMIT:
        path.append(state)
        state, ended = moved(state, policy(state))
    return np.array(path)


# %%
# Training
# --------
#
# One training step for each step of the simulation. With *double* DQN the network chooses the next action and the
# target network values it, which keeps the values from running away. Actions are random at first (exploration), then
# less and less.
#
# Q-learning is unsteady: a network that balanced well may fall again a few episodes later. So every five episodes the
# network is tested without exploration, the best one is kept, and training stops early when it stays upright ten
# times in a row.

seen, episode_lengths, tests = 0, [], {}
best, best_params = 0.0, net.params.copy()
while best < LIMIT and len(episode_lengths) < 400:
    state, steps, ended = tuple(rng.uniform(-0.05, 0.05, 4)), 0, False
    while not ended and steps < LIMIT:
        explore = max(0.02, 1 - seen / 5000)
        action = int(rng.integers(2)) if rng.random() < explore else greedy(state)
        at = seen % SIZE
        before[at], actions[at] = scale * np.array(state, "float32"), action
        state, ended = moved(state, action)
        after[at], fell[at] = scale * np.array(state, "float32"), ended
        seen, steps = seen + 1, steps + 1
        if seen >= 500:
            chosen = rng.integers(min(seen, SIZE), size=BATCH)
            follow = net.predict(after[chosen]).argmax(axis=1)
            worth = target.predict(after[chosen])[np.arange(BATCH), follow]
            T = np.full((BATCH, 2), np.nan, "float32")
            T[np.arange(BATCH), actions[chosen]] = 1 + DISCOUNT * worth * ~fell[chosen]
            trainer.step(before[chosen], T)
            target.params += 0.005 * (net.params - target.params)
    episode_lengths.append(steps)
    if len(episode_lengths) % 5 == 0:
        test = np.mean([len(played(greedy, rng)) for _ in range(10)])
        tests[len(episode_lengths)] = test
        if test > best:
            best, best_params = test, net.params.copy()
net.params[:] = best_params
print(f"{len(episode_lengths)} episodes, {seen} steps")

# %%
# Does it balance?
# ----------------
#
# Without exploration, from 20 starts that it has not seen.

rng = np.random.default_rng(7)
lengths = [len(played(greedy, rng)) for _ in range(20)]
by_chance = [len(played(lambda state: int(rng.integers(2)), rng)) for _ in range(20)]
print(f"steps upright: {np.mean(lengths):.0f} trained, {np.mean(by_chance):.0f} by chance")
assert np.mean(lengths) > 400 > 50 > np.mean(by_chance)

fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
axes[0].plot(episode_lengths, color="0.7", label="episode")
axes[0].plot(list(tests), list(tests.values()), "o-", ms=3, label="test without exploration, mean of ten")
axes[0].set(xlabel="episode", ylabel="steps upright", title="Training")
axes[0].legend(loc="upper left")
path, fallen = played(greedy, np.random.default_rng(3)), played(lambda state: 0, np.random.default_rng(3))
seconds = DT * np.arange(LIMIT)
axes[1].plot(seconds[: len(path)], np.degrees(path[:, 2]), label="angle, trained")
axes[1].plot(seconds[: len(fallen)], np.degrees(fallen[:, 2]), label="angle, always pushed left")
axes[1].axhspan(-12, 12, color="0.95", zorder=0)
axes[1].set(xlabel="seconds", ylabel="degrees", title="The pole; fallen outside the grey band", ylim=(-16, 16))
axes[1].legend(loc="lower right")
plt.show()
