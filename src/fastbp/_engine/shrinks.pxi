"""Activations that draw small numbers to 0."""

cdef void tanh_shrink_value(real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        Y[i] -= tanh(Y[i])

cdef void tanh_shrink_vjp(const real* Z, const real* Y, real* dZ, Py_ssize_t n, double alpha,
                          double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real t
    for i in range(n):
        t = tanh(Z[i])
        dZ[i] *= t * t

cdef void tanh_shrink_curvature(const real* Z, const real* Y, real* dZ, Py_ssize_t n, double alpha,
                                double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real t
    for i in range(n):
        t = tanh(Z[i])
        dZ[i] *= <real> 2 * t * (<real> 1 - t * t)

row = activation(b"tanh_shrink", b"z - tanh(z)", tanh_shrink_value, tanh_shrink_vjp, tanh_shrink_curvature, True)
row.synonyms = b"tanhshrink"


cdef void soft_shrink_value(real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(n):
        Y[i] -= within(Y[i], -a, a)

cdef void soft_shrink_vjp(const real* Z, const real* Y, real* dZ, Py_ssize_t n, double alpha,
                          double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(n):
        dZ[i] = dZ[i] if (Z[i] > a) | (Z[i] <= -a) else 0

row = activation(b"soft_shrink", b"z > lambd: z - lambd; z < -lambd: z + lambd; else 0",
                 soft_shrink_value, soft_shrink_vjp, NULL, True)
row.synonyms = b"softshrink"
setting(row, b"lambd", 0.5, 0)


cdef void hard_shrink_value(real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(n):
        Y[i] = 0 if (Y[i] <= a) & (Y[i] >= -a) else Y[i]

cdef void hard_shrink_vjp(const real* Z, const real* Y, real* dZ, Py_ssize_t n, double alpha,
                          double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(n):
        dZ[i] = dZ[i] if (Z[i] > a) | (Z[i] <= -a) else 0

row = activation(b"hard_shrink", b"|z| > lambd: z; else 0", hard_shrink_value, hard_shrink_vjp, NULL, True)
row.synonyms = b"hardshrink"
setting(row, b"lambd", 0.5, 0)
