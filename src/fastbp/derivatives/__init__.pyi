"""The public names of this folder: written by docs/write_stubs.py from those of the package."""

from fastbp.derivatives.by_parameters import (
    per_sample_gradient_norms as per_sample_gradient_norms,
    per_sample_gradients as per_sample_gradients,
)
from fastbp.derivatives.finite_differences import check_gradients as check_gradients
from fastbp.derivatives.first_order import (
    input_gradient as input_gradient,
    jacobian as jacobian,
    jvp as jvp,
    log_abs_det_jacobian as log_abs_det_jacobian,
    vjp as vjp,
)
from fastbp.derivatives.second_order import hessian as hessian, hvp as hvp
