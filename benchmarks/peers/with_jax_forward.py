"""JAX's forward mode, for Jacobians: jit(vmap(jacfwd))."""

import jax

from benchmarks.peers import with_jax

TASKS = ("jacobian",)


def start(problem, threads):
    jax.config.update("jax_enable_x64", problem.dtype.name == "float64")
    return Forward(problem)


class Forward(with_jax.Jitted):
    mode = staticmethod(jax.jacfwd)
