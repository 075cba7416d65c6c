"""Activations that shrink small numbers towards 0."""

cdef void tanh_shrink_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        Y[i] = Z[i] - tanh(Z[i])

cdef void tanh_shrink_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                          double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real t
    for i in range(whole(n)):
        t = tanh(Z[i])
        dZ[i] = dY[i] * (t * t)

cdef void tanh_shrink_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                                double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real t
    for i in range(whole(n)):
        t = tanh(Z[i])
        dZ[i] = dY[i] * (<real> 2 * t * (<real> 1 - t * t))

cdef void tanh_shrink_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                             int order) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = -dY[i] * tanh_order(tanh(Z[i]), order)

cdef Activation* tanh_shrink_entry = activation(
    b"tanh_shrink", b"z - tanh(z)", tanh_shrink_value, tanh_shrink_vjp, tanh_shrink_curvature, True)
tanh_shrink_entry.synonyms = b"tanhshrink"
tanh_shrink_entry.higher = <HigherKernel> tanh_shrink_higher


cdef void soft_shrink_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(whole(n)):
        Y[i] = Z[i] - within(Z[i], -a, a)

cdef void soft_shrink_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                          double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(whole(n)):
        dZ[i] = dY[i] if (Z[i] > a) | (Z[i] <= -a) else 0

cdef Activation* soft_shrink_entry = activation(
    b"soft_shrink", b"z > lambd: z - lambd; z < -lambd: z + lambd; else 0", soft_shrink_value, soft_shrink_vjp, NULL,
    True)
soft_shrink_entry.synonyms = b"softshrink"
soft_shrink_entry.parameters[0] = setting(b"lambd", 0.5, 0)


cdef void hard_shrink_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(whole(n)):
        Y[i] = 0 if (Z[i] <= a) & (Z[i] >= -a) else Z[i]

cdef void hard_shrink_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                          double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(whole(n)):
        dZ[i] = dY[i] if (Z[i] > a) | (Z[i] <= -a) else 0

cdef Activation* hard_shrink_entry = activation(
    b"hard_shrink", b"|z| > lambd: z; else 0", hard_shrink_value, hard_shrink_vjp, NULL, True)
hard_shrink_entry.synonyms = b"hardshrink"
hard_shrink_entry.parameters[0] = setting(b"lambd", 0.5, 0)
