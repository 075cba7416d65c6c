"""The solvers of the estimators: epochs of sgd, adam or another optimizer, or L-BFGS by SciPy.

The order of random draws, the penalty, the schedules and the stopping criteria are those of scikit-learn, so that the
same `random_state` gives the same results; an epoch is one call into the engine. Rejected: updates in NumPy, as in
scikit-learn, which take longer than the rest of the arithmetic.
"""

import copy
import math
import sys
import warnings

import numpy as np

from fastbp import optimizers
from fastbp._optional import package
from fastbp.callbacks.callback import Callbacks
from fastbp.callbacks.history import History
from fastbp.data.batches import Data
from fastbp.errors import DivergenceError
from fastbp.optimizers.optimizer import Optimizer
from fastbp.sklearn.callbacks import Teller
from fastbp.sklearn.network import Runtime
from fastbp.sklearn.targets import Target
from fastbp.training.fit import Calls, Fit
from fastbp.training.state import State
from fastbp.training.trainer import Trainer

ALMOST_1 = math.nextafter(1, 0)  # scikit-learn allows a momentum of 1
SMALLEST_RATE = 1e-6  # below it an adaptive learning rate stops training


def trainer_of(runtime: Runtime, target: Target, optimizer: Optimizer) -> Trainer:
    """A trainer whose losses are those that the estimator reports, up to a factor."""
    trainer = Trainer(runtime.net, target.loss, optimizer)
    trainer.chain.shown_penalty = 1 / target.value
    trainer.objective.divide_by_weights()
    if target.clips and trainer.objective.terms is not None:
        trainer.objective.terms[0].ceiling = -math.log(np.finfo(runtime.net.dtype).eps)
    return trainer


def memory_of(trainer: Trainer) -> dict:
    """The training state for the next `partial_fit`, without the parameters, as plain numbers and arrays."""
    return {name: value for name, value in vars(trainer.state()).items() if name != "params"}


def remember(trainer: Trainer, memory: dict) -> None:
    """Restore the result of `memory_of`, if it fits the network and the optimizer."""
    state = State(params=trainer.net.params, **memory)
    if state.fits(trainer.runner):
        trainer.go_to(state)


class Rate:
    """The learning rate of a stochastic solver, which changes from epoch to epoch.

    Attributes
    ----------
    learning_rate : float
        The rate of the next epoch.
    """

    def __init__(self, est, trainer: Trainer):
        self._optimizer = trainer.optimizer
        self.mode = est.learning_rate if est.solver == "sgd" and est.optimizer is None else "constant"
        self._first, self._power = trainer.optimizer.lr, est.power_t

    @property
    def learning_rate(self) -> float:
        return self._optimizer.lr

    def epoch_done(self, samples: int) -> None:
        """Set the number of samples seen since training began."""
        if self.mode == "invscaling":
            self._optimizer.lr = float(self._first) / (samples + 1) ** self._power

    def stops(self, why: str, say) -> bool:
        """Whether training ends for this reason, instead of only lowering the learning rate."""
        if self.mode != "adaptive":
            say(f"{why} Stopping.")
            return True
        if self.learning_rate <= SMALLEST_RATE:
            say(f"{why} Learning rate too small. Stopping.")
            return True
        self._optimizer.lr = self.learning_rate / 5
        say(f"{why} Setting learning rate to {self.learning_rate:f}")
        return False


def adam(est):
    """Adam with epsilon in the same place as in scikit-learn."""
    return optimizers.Adam(est.learning_rate_init, (est.beta_1, est.beta_2), est.epsilon, eps_hat=True)


def sgd(est):
    """Momentum in scikit-learn's form."""
    momentum = min(est.momentum, ALMOST_1)
    nesterov = est.nesterovs_momentum and momentum > 0
    return optimizers.SGD(est.learning_rate_init, momentum, nesterov, lr_in_velocity=True)


# The optimizers that `solver` may name.
STOCHASTIC = {solver.__name__: solver for solver in (adam, sgd)}


class EstimatorFit(Fit):
    """The fit of an estimator: the epochs of `Fit`, with the sample order, loss and stopping rules of scikit-learn."""

    def __init__(
        self, est, runtime: Runtime, target: Target, data: Data, held: Data | None, goes_on: bool, teller: Teller
    ):
        self.est, self.runtime, self.target, self.held, self.teller = est, runtime, target, held, teller
        if runtime.trainer is None or not goes_on:
            own, given = STOCHASTIC[est.solver], est.optimizer
            optimizer = own(est) if given is None else Optimizer.classes.resolve(given)
            # A schedule may keep a state, and fit must leave the estimator's parameters as they are.
            optimizer = optimizer.configured(l2_by_rows=est.alpha, lr=copy.deepcopy(optimizer.schedule or optimizer.lr))
            runtime.trainer = trainer_of(runtime, target, optimizer)
            est._optimizer = Rate(est, runtime.trainer)
            memory = est.__dict__.pop("_memory", None)
            if goes_on and memory is not None:
                remember(runtime.trainer, memory)
        trainer, self.rate = runtime.trainer, est._optimizer
        self.say = _printed if est.verbose else _silent
        self.offsets = target.offsets(data.ts[0]) if target.offset else None
        callbacks = Callbacks(trainer, () if est.callbacks is None else est.callbacks)
        size = _batch_size(est.batch_size, data.rows)
        history = History(["loss", *(["val_loss", "val_score"] if held else [])])
        history.params = {"epochs": est.max_iter, "batch_size": size, "rows": data.rows}
        super().__init__(trainer.runner, trainer.rng, data, None, size, est.shuffle, callbacks, history, est.n_threads)
        self._order = np.arange(data.rows) if est.shuffle else None
        est.n_iter_ = 0
        if est.early_stopping:
            self._begin_to_score()

    def _begin_to_score(self):
        """Create the attributes of early stopping if the first fit was without it."""
        est = self.est
        if est._best_params is None:
            est._best_params = self.runtime.net.params.copy()
        if est.validation_scores_ is None:
            est.validation_scores_, est.best_validation_score_ = [], -np.inf

    def _train_until(self, count):
        est = self.est
        try:
            yield from super()._train_until(count)
            if not self.callbacks.stopped and count > 1 and est.n_iter_ == est.max_iter:
                self._unconverged()
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=8)
        if est.early_stopping and (self.callbacks.stopped or count > 1):
            self.runtime.net.params = est._best_params

    def _epoch(self, epoch):
        self.teller.begin()
        yield from super()._epoch(epoch)
        if self.teller.end():
            self.callbacks.stopped = True

    def trained(self, epoch: int) -> Calls[tuple[dict[str, float], int]]:
        """Go through the rows once, in the order that scikit-learn draws; return the loss and the number of rows."""
        est, rows = self.est, self.data.rows
        if self._order is not None:
            self._order = self._order[_permuted(est._random_state, rows)]
        loss = yield from self._loss_of_epoch(epoch)
        est.n_iter_ += 1
        est.loss_ = loss
        est.t_ += rows
        est.loss_curve_.append(loss)
        self.say(f"Iteration {est.n_iter_}, loss = {loss:.8f}")
        return {"loss": loss}, rows

    def _end_epoch(self, epoch, logs):
        est = self.est
        self._count_improvements()
        self.rate.epoch_done(est.t_)
        super()._end_epoch(epoch, logs)
        if est._no_improvement_count > est.n_iter_no_change:
            what = "Validation score" if est.early_stopping else "Training loss"
            why = f"{what} did not improve more than tol={est.tol:f} for {est.n_iter_no_change} consecutive epochs."
            if self.rate.stops(why, self.say):
                self.callbacks.stopped = True
            else:
                est._no_improvement_count = 0

    def _loss_of_batches(self, order):
        """The mean as scikit-learn defines it: over rows, of weighted means that include the penalty."""
        batch = self._batch
        rows = int(self._sizes[:batch].sum())
        return float((self._losses[:batch] * self._sizes[:batch]).sum() / rows), rows

    def _loss_of_epoch(self, epoch):
        """Train on the batches of an epoch; return the mean of their losses."""
        try:
            loss, _ = yield from self.batches(epoch, self._order)
        except DivergenceError:
            # scikit-learn would continue training; the estimator reports it at the end.
            self.runtime.net.params[...] = np.nan
            return math.nan
        return loss * self.target.value + (0.0 if self.offsets is None else self._offset(self._order))

    def _offset(self, order):
        """The mean over an epoch's batches of the terms of the loss that do not depend on the outputs."""
        chosen = slice(None) if order is None else order
        offsets, weights = self.offsets[chosen], self.data.row_weights
        weights = np.ones(len(offsets)) if weights is None else weights[chosen]
        starts = np.arange(0, len(offsets), self.batch_size)
        means = np.add.reduceat(offsets * weights, starts) / np.add.reduceat(weights, starts)
        return float(np.repeat(means, np.diff([*starts, len(offsets)])).mean())

    def validated(self, epoch: int) -> dict[str, float]:
        """Loss and score of the held-out data, if there is any."""
        est, held = self.est, self.held
        if held is None:
            return {}
        Z = self.runtime.raw(held.xs[0], est.n_threads)
        loss = self.runner.objective((Z,), held.ts, held.weights)[0] * self.target.value
        if self.target.offset:
            loss += float(np.average(self.target.offsets(held.ts[0]), weights=held.row_weights))
        est.validation_loss_curve_.append(loss)
        P = self.runtime.link(Z)
        score = est._score_of(P, held.ts[0], held.row_weights) if np.isfinite(P).all() else math.nan
        if est.early_stopping:
            est.validation_scores_.append(score)
            self.say(f"Validation score: {score:f}")
        return {"val_loss": loss, "val_score": score}

    def _count_improvements(self):
        est = self.est
        if est.early_stopping:
            score = est.validation_scores_[-1]
            worse = score < est.best_validation_score_ + est.tol
            if score > est.best_validation_score_:
                est.best_validation_score_ = score
                est._best_params = self.runtime.net.params.copy()
        else:
            worse = est.loss_ > est.best_loss_ - est.tol
            est.best_loss_ = min(est.loss_, est.best_loss_) if est.loss_ == est.loss_ else est.best_loss_
        est._no_improvement_count = est._no_improvement_count + 1 if worse else 0

    def _unconverged(self):
        warning = package("sklearn.exceptions", "fastbp.sklearn").ConvergenceWarning
        text = f"Stochastic optimizer: {self.est.max_iter} iterations were reached and the loss still moves."
        warnings.warn(text, warning, stacklevel=9)


def minimise(est, runtime: Runtime, target: Target, data: Data, teller: Teller) -> None:
    """Train on all rows at once by SciPy's L-BFGS-B."""
    optimize = package("scipy.optimize", "solver='lbfgs'")
    net, trainer = runtime.net, trainer_of(runtime, target, optimizers.SGD())
    weights = data.row_weights
    rows = data.rows if weights is None else float(weights.sum())
    offset = float(np.average(target.offsets(data.ts[0]), weights=weights)) if target.offset else 0.0

    def objective(theta):
        net.params[...] = theta
        value = trainer.objective.loss_and_gradient(net, data.xs, data.ts, data.weights) * target.value + offset
        gradient = net.grads.astype(np.float64)
        start = 0
        for W, b in zip(runtime.coefs, runtime.intercepts, strict=True):
            gradient[start : start + W.size] += est.alpha / rows * W.ravel()
            value += 0.5 * est.alpha / rows * float(np.vdot(W, W))
            start += W.size + b.size
        return value, gradient

    def iterated(intermediate_result):
        est.loss_ = intermediate_result.fun
        net.params[...] = intermediate_result.x
        est.n_iter_ += 1
        if est.verbose:
            _printed(f"Iteration {est.n_iter_}, loss = {est.loss_:.8f}")
        if teller.end():
            raise StopIteration
        if est.n_iter_ < est.max_iter:
            teller.begin()

    est.n_iter_ = 0
    teller.begin()
    options = {"maxfun": est.max_fun, "maxiter": est.max_iter, "gtol": est.tol}
    start = net.params.astype(np.float64)
    found = optimize.minimize(objective, start, method="L-BFGS-B", jac=True, options=options, callback=iterated)
    net.params[...] = found.x
    est.n_iter_, est.loss_ = min(found.nit, est.max_iter), found.fun
    if found.status == 1:
        warning = package("sklearn.exceptions", "fastbp.sklearn").ConvergenceWarning
        text = f"lbfgs did not converge after {found.nit} iterations: {found.message}. Increase max_iter or max_fun."
        warnings.warn(text, warning, stacklevel=6)


def _batch_size(wanted, rows):
    if wanted == "auto":
        return min(200, rows)
    if wanted > rows:
        warnings.warn(f"batch_size {wanted} is larger than the {rows} rows; all rows make one batch", stacklevel=7)
    return int(min(wanted, rows))


def _permuted(random_state, n):
    """The permutation that scikit-learn's shuffle draws."""
    order = np.arange(n)
    random_state.shuffle(order)
    return order


def _printed(text):
    sys.stdout.write(f"{text}\n")


def _silent(text):
    pass
