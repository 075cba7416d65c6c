"""Steps of several ranks are those of one process on the whole batch; all ranks have the same bits."""

import numpy as np
import pytest

import fastbp as fb
from ranks import of_ranks, on_ranks

ROWS, INPUTS, OUTPUTS = 23, 5, 3
CUTS = {1: [0, 23], 2: [0, 7, 23], 3: [0, 7, 10, 23], 4: [0, 7, 7, 19, 23]}  # uneven, and one rank without rows
RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(ROWS, INPUTS)), RNG.normal(size=(ROWS, OUTPUTS))
LABELS = RNG.integers(0, OUTPUTS, ROWS)
WEIGHTS = RNG.uniform(0.1, 5, ROWS)
MASKED = np.where(RNG.random((ROWS, OUTPUTS)) < 0.4, np.nan, Y)


def plain(dtype="float64"):
    return fb.Sequential(fb.Input(INPUTS), fb.Dense(7, "tanh"), fb.Dense(OUTPUTS), dtype=dtype, seed=4)


def normalized(dtype="float64"):
    layers = [fb.Dense(7, "tanh"), fb.BatchNorm(), fb.Dense(6, "relu"), fb.BatchNorm(), fb.Dense(OUTPUTS)]
    return fb.Sequential(fb.Input(INPUTS), *layers, dtype=dtype, seed=4)


def dropped(dtype="float64"):
    layers = [fb.Dense(7, "tanh"), fb.Dropout(0.3), fb.Dense(8, "rrelu"), fb.Dense(OUTPUTS)]
    return fb.Sequential(fb.Input(INPUTS), *layers, dtype=dtype, seed=4)


def constrained(dtype="float64"):
    layers = [fb.Dense(7, "tanh", constraint=fb.MaxNorm(1.0)), fb.Dense(OUTPUTS)]
    return fb.Sequential(fb.Input(INPUTS), *layers, dtype=dtype, seed=4)


def squared(Y, t, weights=None):
    """A loss in Python."""
    w = np.ones(len(Y)) if weights is None else weights
    value = (w * ((Y - t) ** 2).mean(axis=1)).mean()
    return value, 2 * (Y - t) * w[:, None] / Y.size


CASES = {
    "mse": (plain, "mse", Y, None, lambda: fb.Adam(lr=0.01)),
    "weighted": (plain, "mse", Y, WEIGHTS, lambda: fb.Adam(lr=0.01)),
    "labels": (plain, "cross_entropy", LABELS, WEIGHTS, lambda: fb.SGD(lr=0.1, momentum=0.9)),
    "masked": (plain, fb.losses.MSE(mask_nan=True), MASKED, WEIGHTS, lambda: fb.Adam(lr=0.01)),
    "python": (plain, squared, Y, WEIGHTS, lambda: fb.Adam(lr=0.01)),
    "norms": (normalized, "mse", Y, None, lambda: fb.Adam(lr=0.01)),
    "dropout": (dropped, "mse", Y, None, lambda: fb.Adam(lr=0.01)),
    "python and dropout": (dropped, squared, Y, None, lambda: fb.Adam(lr=0.01)),
    "clipped": (plain, "mse", Y, None, lambda: fb.Adam(lr=0.01, clip_norm=0.1)),
    "accumulated": (plain, "mse", Y, None, lambda: fb.Adam(lr=0.01, accumulate=2, clip_norm=0.1)),
    "matrices": (plain, "mse", Y, None, lambda: fb.Muon(lr=0.01)),
    "constrained": (constrained, "mse", Y, None, lambda: fb.SGD(lr=0.3, ema=0.9)),
    "by rows": (plain, "mse", Y, None, lambda: fb.Adam(lr=0.01, l2_by_rows=0.1)),
}
STEPS = 6


def parts(size, rank, *arrays):
    """A rank's rows of arrays, all None where it has none."""
    mine = slice(*CUTS[size][rank : rank + 2])
    empty = mine.start == mine.stop
    return [None if empty or A is None else A[mine] for A in arrays]


def steps(case, dtype="float64", **how):
    make, loss, y, weights, optimizer = CASES[case]
    group = how.get("group")
    trainer = fb.Trainer(make(dtype), loss, optimizer(), **how)
    X_, y_, w_ = parts(group.size, group.rank, X, y, weights) if group else (X, y, weights)
    losses = [trainer.step(X_, y_, w_) for _ in range(STEPS)]
    return trainer.net.params.copy(), losses, trainer.chain.states.copy()


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("case", CASES)
def test_ranks_are_one_process(case, size):
    params, losses, states = steps(case)
    found = of_ranks(size, lambda group: steps(case, group=group))
    for other, its_losses, its_states in found:
        np.testing.assert_allclose(other, params, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(its_losses, losses, rtol=1e-12)
        np.testing.assert_allclose(its_states, states, rtol=1e-11, atol=1e-12)
        assert other.tobytes() == found[0][0].tobytes()
        assert its_losses == found[0][1]


@pytest.mark.parametrize("case", ["mse", "norms", "dropout"])
def test_float32(case):
    params, losses, _ = steps(case, "float32")
    found = of_ranks(3, lambda group: steps(case, "float32", group=group))
    for other, its_losses, _ in found:
        np.testing.assert_allclose(other, params, rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(its_losses, losses, rtol=1e-5)
        assert other.tobytes() == found[0][0].tobytes()


def test_a_mean_of_means_would_be_seen():
    """The comparison sees a weight of a rank that is 1.001 of what it is."""
    params, _, _ = steps("weighted")

    class Wrong:
        def __init__(self, group):
            self._group, self.rank, self.size = group, group.rank, group.size
            self.broadcast = group.broadcast

        def allreduce(self, array):
            if len(array) > 20 and self.rank == 0:
                array[:-6] *= 1.001
            self._group.allreduce(array)

    found = of_ranks(2, lambda group: steps("weighted", group=Wrong(group)))
    assert np.abs(found[0][0] - params).max() > 1e-9


def two_outputs():
    x = fb.Input(INPUTS)
    h = fb.Dense(7, "tanh")(x)
    return fb.Model(x, [fb.Dense(OUTPUTS)(h), fb.Dense(2)(h)], dtype="float64", seed=1)


def test_outputs_with_their_own_masks():
    other = np.where(RNG.random((ROWS, 2)) < 0.7, np.nan, Y[:, :2])
    loss = (fb.losses.MSE(mask_nan=True), fb.losses.MAE(mask_nan=True))

    def train(group=None):
        trainer = fb.Trainer(two_outputs(), loss, "adam", loss_weights=(1.0, 0.3), group=group)
        X_, a, b = parts(group.size, group.rank, X, MASKED, other) if group else (X, MASKED, other)
        y = None if a is None else (a, b)
        return [trainer.step(X_, y) for _ in range(STEPS)], trainer.net.params.copy()

    losses, params = train()
    for its_losses, its_params in of_ranks(4, train):
        np.testing.assert_allclose(its_losses, losses, rtol=1e-12)
        np.testing.assert_allclose(its_params, params, rtol=1e-12, atol=1e-12)


def test_a_batch_of_which_nothing_is_known():
    nothing = np.full_like(Y, np.nan)

    def train(group=None):
        trainer = fb.Trainer(normalized(), fb.losses.MSE(mask_nan=True), fb.SGD(lr=0.1), group=group)
        X_, y_ = parts(group.size, group.rank, X, nothing) if group else (X, nothing)
        return trainer.step(X_, y_), trainer.net["dense_1"].W.copy()

    loss, W = train()
    for its_loss, its_W in of_ranks(2, train):
        assert its_loss == loss == 0
        assert (its_W == W).all()


def test_statistics_of_a_ranks_own_rows():
    """Ranks that normalize by their own rows keep the same parameters and running averages."""
    found = of_ranks(3, lambda group: steps("norms", group=group, sync_batch_norm=False))
    assert len({params.tobytes() for params, _, _ in found}) == 1
    whole = of_ranks(3, lambda group: steps("norms", group=group))
    assert np.abs(found[0][0] - whole[0][0]).max() > 1e-6


def test_large_means_do_not_cancel():
    far = X + 1e6

    def train(group=None):
        net = fb.Sequential(fb.Input(INPUTS), fb.BatchNorm(), fb.Dense(OUTPUTS), dtype="float64", seed=0)
        trainer = fb.Trainer(net, "mse", "sgd", group=group)
        X_, y_ = parts(group.size, group.rank, far, Y) if group else (far, Y)
        return [trainer.step(X_, y_) for _ in range(STEPS)]

    losses = train()
    for other in of_ranks(3, train):
        np.testing.assert_allclose(other, losses, rtol=1e-9)


def test_rank_0_has_the_first_parameters():
    def train(group):
        net = fb.Sequential(fb.Input(INPUTS), fb.Dense(OUTPUTS), dtype="float64", seed=group.rank)
        before = net.params.copy()
        fb.Trainer(net, "mse", fb.SGD(lr=0.0), group=group).step(X, Y)
        return before, net.params.copy()

    found = of_ranks(3, train)
    for _, after in found:
        assert (after == found[0][0]).all()


def test_averages_every_few_steps():
    """Three steps by themselves, then the mean by the rows that each has seen."""
    alone = []
    for rank in range(2):
        trainer = fb.Trainer(plain(), "mse", fb.SGD(lr=0.1))
        for _ in range(3):
            trainer.step(*parts(2, rank, X, Y))
        alone.append(trainer.net.params.copy())
    mean = (alone[0] * 7 + alone[1] * 16) / 23

    def train(group):
        trainer = fb.Trainer(plain(), "mse", fb.SGD(lr=0.1), group=group, average_every=3)
        for _ in range(3):
            trainer.step(*parts(2, group.rank, X, Y))
        return trainer.net.params.copy()

    for params in of_ranks(2, train):
        np.testing.assert_allclose(params, mean, rtol=1e-13)


# By hand


@pytest.mark.parametrize(
    "case", ["mse", "weighted", "masked", "norms", "clipped", "accumulated", "constrained", "by rows"]
)
def test_two_halves_are_a_step(case):
    make, loss, y, weights, optimizer = CASES[case]
    whole, halves = (fb.Trainer(make(), loss, optimizer()) for _ in range(2))
    for _ in range(STEPS):
        value = whole.step(X, y, weights)
        before = halves.net.params.copy()
        again, weight = halves.gradients(X, y, weights)
        assert (halves.net.params == before).all()
        halves.update(weight=weight)
        assert again == value
    np.testing.assert_allclose(halves.net.params, whole.net.params, rtol=1e-13, atol=1e-15)
    assert weight == pytest.approx((~np.isnan(y)).mean(axis=1).sum() if case == "masked" else ROWS)


def test_gradients_of_parts_make_that_of_the_batch():
    trainer = fb.Trainer(plain(), fb.losses.MSE(mask_nan=True), "sgd")
    trainer.gradients(X, MASKED)
    whole, total, weights = trainer.net.grads.copy(), np.zeros_like(trainer.net.grads), 0.0
    for rows in (slice(0, 7), slice(7, None)):
        _, weight = trainer.gradients(X[rows], MASKED[rows])
        total += weight * trainer.net.grads
        weights += weight
    np.testing.assert_allclose(total / weights, whole, rtol=1e-12, atol=1e-14)


def test_gradients_of_several_masked_outputs_have_no_weight():
    trainer = fb.Trainer(two_outputs(), (fb.losses.MSE(mask_nan=True), "mse"))
    with pytest.raises(ValueError, match="several outputs with mask_nan"):
        trainer.gradients(X, (MASKED, Y[:, :2]))


def test_what_no_group_is():
    with pytest.raises(TypeError, match="has no rank"):
        fb.Trainer(plain(), group=object())

    class Group:
        rank, size = 2, 2
        allreduce = broadcast = None

    with pytest.raises(ValueError, match="got 2 and 2"):
        fb.Trainer(plain(), group=Group())


def test_ranks_with_different_nets():
    def train(group):
        net = fb.Sequential(fb.Input(INPUTS), fb.Dense(OUTPUTS + group.rank), seed=0)
        fb.Trainer(net, "mse", group=group).step(X, Y)

    for error in on_ranks(2, train):
        assert isinstance(error, fb.distributed.RankError)
        assert str(error) == "numbers of parameters differ between the ranks: 18 on rank 0; 24 on rank 1"
