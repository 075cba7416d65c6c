"""Third to fifth derivatives of the activations: for higher derivatives of a network, and for training on these.

    name_higher   dZ = dY f'''(Z), f''''(Z) or f^(5)(Z), by the order; dZ may be dY

Each is a polynomial in Y where possible (tanh, sigmoid, exp), else in Z and functions of Z.  Activations of the form
z times a gate s(w(z)) use the derivatives of the gate, by the formula of Faa di Bruno.
Every entry with a curvature has a `higher`; where the third derivative is 0 it is `nothing_higher`.
"""

cdef void nothing_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                         int order) noexcept nogil:
    memset(dZ, 0, n * sizeof(real))


cdef inline real power_of(real x, int k) noexcept nogil:
    """x^k for k = 0 ... 4."""
    cdef real square = x * x
    return <real> 1 if k == 0 else x if k == 1 else square if k == 2 else square * x if k == 3 else square * square


cdef inline real factorial_of(int k) noexcept nogil:
    return <real> 6 if k == 3 else <real> 24 if k == 4 else <real> 120


cdef inline real tanh_order(real y, int order) noexcept nogil:
    """The derivative of tanh, of orders 1 ... 5, from its value y."""
    cdef real v = y * y, s = <real> 1 - v
    if order == 1:
        return s
    if order == 2:
        return <real> -2 * y * s
    if order == 3:
        return <real> -2 * s * (<real> 1 - <real> 3 * v)
    if order == 4:
        return <real> 8 * s * y * (<real> 2 - <real> 3 * v)
    return <real> 8 * s * (<real> 2 + <real> 15 * v * (v - <real> 1))


cdef inline real sigmoid_order(real y, real shut, int order) noexcept nogil:
    """The derivative of the sigmoid, of orders 0 ... 5, from its value y and shut = 1 - y."""
    cdef real u = y * shut
    if order == 0:
        return y
    if order == 1:
        return u
    if order == 2:
        return u * (shut - y)
    if order == 3:
        return u * (<real> 1 - <real> 6 * u)
    if order == 4:
        return u * (shut - y) * (<real> 1 - <real> 12 * u)
    return u * (<real> 1 + <real> 30 * u * (<real> 4 * u - <real> 1))


cdef inline real reciprocal_order(real s, bint above, int order) noexcept nogil:
    """The derivative of z / (1 + |z|), from s = 1 / (1 + |z|)."""
    cdef real size = factorial_of(order) * s * power_of(s, order - 1) * s
    return -size if above and order % 2 == 0 else size


cdef inline real composed(const real* s, const real* w, int order) noexcept nogil:
    """The derivative of s(w(z)), of orders 2 ... 5, from s[k] of s at w and w[k] of w at z, for orders k = 1 ... 5."""
    cdef real u = w[1]
    if order == 2:
        return s[2] * u * u + s[1] * w[2]
    if order == 3:
        return s[3] * u * u * u + <real> 3 * s[2] * u * w[2] + s[1] * w[3]
    if order == 4:
        return (s[4] * u * u * u * u + <real> 6 * s[3] * u * u * w[2]
                + s[2] * (<real> 3 * w[2] * w[2] + <real> 4 * u * w[3]) + s[1] * w[4])
    return (s[5] * u * u * u * u * u + <real> 10 * s[4] * u * u * u * w[2]
            + s[3] * (<real> 15 * u * w[2] * w[2] + <real> 10 * u * u * w[3])
            + s[2] * (<real> 10 * w[2] * w[3] + <real> 5 * u * w[4]) + s[1] * w[5])


cdef inline real gate_higher(real z, real at, real* w, int order) noexcept nogil:
    """The derivative of z s(w), where s is the sigmoid and w[0] = at."""
    cdef real e = exp_of_negative(-absolute(at)), r = <real> 1 / (<real> 1 + e)
    cdef real y = r if at > 0 else e * r, shut = e * r if at > 0 else r
    cdef real[6] s
    cdef int k
    for k in range(6):
        s[k] = sigmoid_order(y, shut, k)
    return z * composed(s, w, order) + <real> order * composed(s, w, order - 1)
