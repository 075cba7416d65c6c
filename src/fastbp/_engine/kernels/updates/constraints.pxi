"""Constraints on the weights of a dense layer, applied after an update, column by column."""

cdef enum:
    MOST_CONSTRAINTS = 16

cdef Constraint[MOST_CONSTRAINTS] constraints
cdef int n_constraints = 0


cdef constraint(const char* name, ConstraintKernel project):
    global n_constraints
    assert n_constraints < MOST_CONSTRAINTS - 1
    constraints[n_constraints] = Constraint(name, project)
    n_constraints += 1


cdef void non_negative(void* W, Py_ssize_t I, Py_ssize_t O, Py_ssize_t start, Py_ssize_t stop,
                       double limit) noexcept nogil:
    """W = max(W, 0)."""
    cdef Py_ssize_t i, o
    cdef real* w
    for i in range(I):
        w = <real*> W + i * O
        for o in range(start, stop):
            w[o] = 0 if w[o] <= 0 else w[o]

constraint(b"non_negative", non_negative)


cdef void max_norm(void* W, Py_ssize_t I, Py_ssize_t O, Py_ssize_t start, Py_ssize_t stop,
                   double limit) noexcept nogil:
    """Scales each output's weights down to the norm `limit` if their norm is above (Srivastava et al. 2014)."""
    cdef Py_ssize_t i, o
    cdef double total
    cdef real scale
    for o in range(start, stop):
        total = 0
        for i in range(I):
            total += <double> (<real*> W)[i * O + o] * <double> (<real*> W)[i * O + o]
        if total > limit * limit:
            scale = <real> (limit / sqrt_double(total))
            for i in range(I):
                (<real*> W)[i * O + o] *= scale

constraint(b"max_norm", max_norm)
