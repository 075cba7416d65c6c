"""Losses that couple the outputs of a row.

A kernel sees a Group: output j of row r is at j * GROUP + r of each array.  All inner loops run over the rows r.
W are the weights of the targets; without given weights 1, or 0 for a missing target.  A tangent writes the Hessian of
the row's loss times V into dY.
"""

cdef inline real column_of(const Group* group, Py_ssize_t j) noexcept nogil:
    return (<const real*> group.column)[j] if group.column != NULL else 1


cdef void softmax_of(const Group* group, real* shift, real* log_sum, real* over) noexcept nogil:
    """dY = exp(Y - shift), which cannot overflow; softmax(Y) is dY times `over`, and log(1 / over) the log_sum."""
    cdef const real* Y = <const real*> group.Y
    cdef real* dY = <real*> group.dY
    cdef real[GROUP] total
    cdef Py_ssize_t j, r
    for r in range(GROUP):
        shift[r], total[r] = Y[r], 0
    for j in range(1, group.outputs):
        for r in range(GROUP):
            shift[r] = Y[j * GROUP + r] if Y[j * GROUP + r] > shift[r] else shift[r]
    for j in range(group.outputs):
        for r in range(GROUP):
            dY[j * GROUP + r] = exp(Y[j * GROUP + r] - shift[r])
            total[r] += dY[j * GROUP + r]
    for r in range(GROUP):
        log_sum[r], over[r] = log(total[r]), <real> 1 / total[r]


cdef void smooth_targets(const Group* group, real smoothing, real* mass) noexcept nogil:
    """Smooths T and applies the weights W, for the entropies; mass is the sum over a row."""
    cdef real* T = <real*> group.T
    cdef const real* W = <const real*> group.W
    cdef real kept = <real> 1 - smoothing, share = smoothing / <real> group.outputs, weight
    cdef Py_ssize_t j, r
    memset(mass, 0, GROUP * sizeof(real))
    if smoothing == 0 and group.column == NULL and not group.weighs:
        for j in range(group.outputs):
            for r in range(GROUP):
                mass[r] += T[j * GROUP + r]
        return
    for j in range(group.outputs):
        weight = column_of(group, j)
        for r in range(GROUP):
            T[j * GROUP + r] = W[j * GROUP + r] * weight * (kept * T[j * GROUP + r] + share)
            mass[r] += T[j * GROUP + r]


cdef inline void entropies(const Group* group, real smoothing) noexcept nogil:
    cdef const real* Y = <const real*> group.Y
    cdef const real* T = <const real*> group.T
    cdef real* dY = <real*> group.dY
    cdef real* losses = <real*> group.losses
    cdef real[GROUP] shift, log_sum, over, mass
    cdef Py_ssize_t j, r
    cdef real t
    softmax_of(group, shift, log_sum, over)
    smooth_targets(group, smoothing, mass)
    for r in range(GROUP):
        over[r] *= mass[r]
    memset(losses, 0, GROUP * sizeof(real))
    for j in range(group.outputs):
        for r in range(GROUP):
            t = T[j * GROUP + r]
            # A class with target 0 adds nothing, even if its logit is -inf.
            losses[r] += t * (log_sum[r] - (Y[j * GROUP + r] - shift[r])) if t != 0 else 0
            dY[j * GROUP + r] = over[r] * dY[j * GROUP + r] - t


cdef inline void entropies_tangent(const Group* group, real smoothing) noexcept nogil:
    """mass p (V - p'V), with p = softmax(Y) and mass the sum of the targets."""
    cdef const real* V = <const real*> group.V
    cdef real* dY = <real*> group.dY
    cdef real[GROUP] shift, log_sum, over, mass, along
    cdef Py_ssize_t j, r
    softmax_of(group, shift, log_sum, over)
    smooth_targets(group, smoothing, mass)
    memset(along, 0, sizeof(along))
    for j in range(group.outputs):
        for r in range(GROUP):
            along[r] += over[r] * dY[j * GROUP + r] * V[j * GROUP + r]
    for j in range(group.outputs):
        for r in range(GROUP):
            dY[j * GROUP + r] *= mass[r] * over[r] * (V[j * GROUP + r] - along[r])


cdef void cross_entropy(const Group* group) noexcept nogil:
    entropies(group, <real> group.numbers[0])

cdef void cross_entropy_tangent(const Group* group) noexcept nogil:
    entropies_tangent(group, <real> group.numbers[0])

cdef Loss* cross_entropy_entry = group_loss(
    b"cross_entropy", b"-sum over the classes of w t log p, with p = softmax(Y) and w = class_weight", cross_entropy,
    cross_entropy_tangent)
cross_entropy_entry.labels = True
cross_entropy_entry.of_labels = True
cross_entropy_entry.low, cross_entropy_entry.high = 0, 1
cross_entropy_entry.parameters[0] = Parameter(b"label_smoothing", 0, 0, BELOW_1, NUMBER)
cross_entropy_entry.parameters[1] = Parameter(b"class_weight", 1, 0, INFINITY, EACH_OUTPUT)


cdef struct Share:
    # Of a class: its probability p, -log p, q = 1 - p, q^gamma, and minus_log_p / q.
    real p, minus_log_p, q, power, ratio


cdef void rest_of_softmax(const Group* group, real* shift, real* log_sum, real* rest) noexcept nogil:
    """dY = exp(Y - shift); rest is a row's sum of dY without one of its maxima, each 1; log_sum = log(1 + rest)."""
    cdef const real* e = <const real*> group.dY
    cdef real[GROUP] largest
    cdef Py_ssize_t j, r
    softmax_of(group, shift, log_sum, rest)
    for r in range(GROUP):
        rest[r], largest[r] = 0, -1
    for j in range(group.outputs):
        for r in range(GROUP):
            rest[r] += 0 if e[j * GROUP + r] >= 1 else e[j * GROUP + r]
            largest[r] += <real> (e[j * GROUP + r] >= 1)
    for r in range(GROUP):
        rest[r] += largest[r]
        log_sum[r] = log1p_of_unit(rest[r]) if rest[r] < 1 else log_sum[r]


cdef inline Share share_of(real e, real y, real shift, real log_sum, real rest, real gamma) noexcept nogil:
    """The Share of a class with e = exp(y - shift): q comes without cancellation, so its power has all digits."""
    cdef Share s
    cdef real over = <real> 1 / (<real> 1 + rest)
    s.p, s.minus_log_p = e * over, log_sum - (y - shift)
    s.q = (rest if e >= 1 else <real> 1 + rest - e) * over
    s.power = exp(gamma * log(s.q)) if s.q > 0 else <real> (gamma == 0)
    s.ratio = s.minus_log_p / s.q if s.q > 0 else <real> 1
    return s


cdef void focal_cross_entropy(const Group* group) noexcept nogil:
    """The slope by log p is -t q^gamma (1 + gamma p ratio); the slope by Y is this times q, minus p times the slopes by
    the other classes' log p.

    T and Y are read once only, so the slopes and q overwrite them.
    """
    cdef real* Y = <real*> group.Y
    cdef real* T = <real*> group.T
    cdef real* dY = <real*> group.dY
    cdef real* losses = <real*> group.losses
    cdef real gamma = <real> group.numbers[0], t
    cdef real[GROUP] shift, log_sum, rest, mass, along
    cdef Py_ssize_t j, r, k
    cdef Share s
    rest_of_softmax(group, shift, log_sum, rest)
    smooth_targets(group, <real> group.numbers[2], mass)
    memset(losses, 0, GROUP * sizeof(real))
    memset(along, 0, sizeof(along))
    for j in range(group.outputs):
        for r in range(GROUP):
            k = j * GROUP + r
            s = share_of(dY[k], Y[k], shift[r], log_sum[r], rest[r], gamma)
            t, dY[k], Y[k] = T[k], s.p, s.q
            losses[r] += t * s.power * s.minus_log_p if t != 0 else 0
            T[k] = t * s.power * (<real> 1 + gamma * s.p * s.ratio) if t != 0 else 0
            along[r] += T[k]
    for j in range(group.outputs):
        for r in range(GROUP):
            k = j * GROUP + r
            dY[k] = dY[k] * (along[r] - T[k]) - Y[k] * T[k]

cdef void focal_cross_entropy_tangent(const Group* group) noexcept nogil:
    """With a = V - p'V, the tangent of log p: the tangent of the slope by log p is t gamma q^gamma p (...) / q a; the
    tangent of softmax adds the rest."""
    cdef const real* Y = <const real*> group.Y
    cdef const real* V = <const real*> group.V
    cdef real* T = <real*> group.T
    cdef real* dY = <real*> group.dY
    cdef real gamma = <real> group.numbers[0], t, a
    cdef real[GROUP] shift, log_sum, rest, mass, along, moved, direction
    cdef Py_ssize_t j, r, k
    cdef Share s
    rest_of_softmax(group, shift, log_sum, rest)
    smooth_targets(group, <real> group.numbers[2], mass)
    memset(along, 0, sizeof(along))
    memset(moved, 0, sizeof(moved))
    memset(direction, 0, sizeof(direction))
    for j in range(group.outputs):
        for r in range(GROUP):
            direction[r] += dY[j * GROUP + r] / (<real> 1 + rest[r]) * V[j * GROUP + r]
    for j in range(group.outputs):
        for r in range(GROUP):
            k = j * GROUP + r
            s = share_of(dY[k], Y[k], shift[r], log_sum[r], rest[r], gamma)
            t, a, dY[k] = T[k], V[k] - direction[r], s.p
            along[r] += t * s.power * (<real> 1 + gamma * s.p * s.ratio) if t != 0 else 0
            a = t * gamma * s.power * s.p * a / s.q if t != 0 and s.q > 0 else 0
            T[k] = a * (<real> 2 - s.minus_log_p + (gamma - <real> 1) * s.p * s.ratio)
            moved[r] += T[k]
    for j in range(group.outputs):
        for r in range(GROUP):
            k = j * GROUP + r
            dY[k] = T[k] + dY[k] * ((V[k] - direction[r]) * along[r] - moved[r])

cdef Loss* focal_cross_entropy_entry = group_loss(
    b"focal_cross_entropy", b"-sum over the classes of a t (1 - p)^gamma log p, with p = softmax(Y) and a = alpha",
    focal_cross_entropy, focal_cross_entropy_tangent)
focal_cross_entropy_entry.labels = True
focal_cross_entropy_entry.low, focal_cross_entropy_entry.high = 0, 1
focal_cross_entropy_entry.parameters[0] = Parameter(b"gamma", 2, 0, INFINITY, NUMBER)
focal_cross_entropy_entry.parameters[1] = Parameter(b"alpha", 1, 0, INFINITY, EACH_OUTPUT)
focal_cross_entropy_entry.parameters[2] = Parameter(b"label_smoothing", 0, 0, BELOW_1, NUMBER)


cdef void kl_divergence(const Group* group) noexcept nogil:
    cdef const real* T = <const real*> group.T
    cdef const real* W = <const real*> group.W
    cdef real* losses = <real*> group.losses
    cdef real[GROUP] known
    cdef Py_ssize_t j, r
    cdef real t
    memset(known, 0, sizeof(known))
    for j in range(group.outputs):
        for r in range(GROUP):
            t = T[j * GROUP + r]
            known[r] += W[j * GROUP + r] * t * log(t) if t > 0 else 0
    entropies(group, 0)
    for r in range(GROUP):
        losses[r] += known[r]

cdef void kl_divergence_tangent(const Group* group) noexcept nogil:
    entropies_tangent(group, 0)

cdef Loss* kl_divergence_entry = group_loss(
    b"kl_divergence", b"sum over the classes of t (log t - log p), with p = softmax(Y)", kl_divergence,
    kl_divergence_tangent)
kl_divergence_entry.labels = True
kl_divergence_entry.of_labels = True
kl_divergence_entry.low, kl_divergence_entry.high = 0, 1


cdef void cosine_sums(const Group* group, real* yt, real* yy, real* tt, real* mean) noexcept nogil:
    """Sums over the outputs of W Y T, W Y^2 and W T^2, and the mean of W."""
    cdef const real* Y = <const real*> group.Y
    cdef const real* T = <const real*> group.T
    cdef const real* W = <const real*> group.W
    cdef Py_ssize_t j, r, k
    for r in range(GROUP):
        yt[r], yy[r], tt[r], mean[r] = 0, 0, 0, 0
    for j in range(group.outputs):
        for r in range(GROUP):
            k = j * GROUP + r
            yt[r] += W[k] * Y[k] * T[k]
            yy[r] += W[k] * Y[k] * Y[k]
            tt[r] += W[k] * T[k] * T[k]
            mean[r] += W[k]
    for r in range(GROUP):
        mean[r] /= <real> group.outputs


cdef void cosine(const Group* group) noexcept nogil:
    cdef const real* Y = <const real*> group.Y
    cdef const real* T = <const real*> group.T
    cdef const real* W = <const real*> group.W
    cdef real* dY = <real*> group.dY
    cdef real* losses = <real*> group.losses
    cdef real[GROUP] yt, yy, tt, mean, by_t, by_y
    cdef Py_ssize_t j, r, k
    cdef real norms, similar
    cosine_sums(group, yt, yy, tt, mean)
    for r in range(GROUP):
        norms = square_root(yy[r]) * square_root(tt[r])
        similar = yt[r] / norms if norms > 0 else 0
        losses[r] = mean[r] * (<real> 1 - similar) + (yt[r] - yt[r])
        by_t[r] = mean[r] / norms if norms > 0 else 0
        by_y[r] = mean[r] * similar / yy[r] if norms > 0 else 0
    for j in range(group.outputs):
        for r in range(GROUP):
            k = j * GROUP + r
            dY[k] = W[k] * (by_y[r] * Y[k] - by_t[r] * T[k])

cdef void cosine_tangent(const Group* group) noexcept nogil:
    cdef const real* Y = <const real*> group.Y
    cdef const real* T = <const real*> group.T
    cdef const real* W = <const real*> group.W
    cdef const real* V = <const real*> group.V
    cdef real* dY = <real*> group.dY
    cdef real[GROUP] yt, yy, tt, mean, vt, vy
    cdef Py_ssize_t j, r, k
    cdef real norms, similar, moves
    cosine_sums(group, yt, yy, tt, mean)
    memset(vt, 0, sizeof(vt))
    memset(vy, 0, sizeof(vy))
    for j in range(group.outputs):
        for r in range(GROUP):
            k = j * GROUP + r
            vt[r] += W[k] * V[k] * T[k]
            vy[r] += W[k] * V[k] * Y[k]
    for j in range(group.outputs):
        for r in range(GROUP):
            k = j * GROUP + r
            norms = square_root(yy[r]) * square_root(tt[r])
            similar = yt[r] / norms
            moves = vt[r] / norms - similar * vy[r] / yy[r]
            dY[k] = 0 if norms <= 0 else mean[r] * W[k] * (
                vy[r] / yy[r] * (T[k] / norms - <real> 2 * similar * Y[k] / yy[r])
                + (moves * Y[k] + similar * V[k]) / yy[r])

group_loss(b"cosine", b"1 - Y't / (|Y| |t|), and 1 where Y or t is 0", cosine, cosine_tangent)


cdef void gaussian_nll(const Group* group) noexcept nogil:
    """Below eps the variance counts as eps, but keeps its slope, as in PyTorch, so that it can grow again."""
    cdef const real* T = <const real*> group.T
    cdef const real* W = <const real*> group.W
    cdef real* losses = <real*> group.losses
    cdef Py_ssize_t j, r, k, half = group.width * GROUP
    cdef bint logs = group.numbers[0] != 0
    cdef real eps = <real> group.numbers[1], log_eps = log(eps), share = <real> 1 / <real> group.width
    cdef real d, s, v, precision, log_variance, slope
    cdef const real* Y = <const real*> group.Y
    cdef real* dY = <real*> group.dY
    memset(losses, 0, GROUP * sizeof(real))
    for j in range(group.width):
        for r in range(GROUP):
            k = j * GROUP + r
            d, s = Y[k] - T[k], Y[half + k]
            log_variance = log_eps if s < log_eps else s
            v = eps if s < eps else s
            precision = exp(-log_variance) if logs else <real> 1 / v
            log_variance = log_variance if logs else log(v)
            losses[r] += <real> 0.5 * share * W[k] * (log_variance + d * d * precision)
            slope = <real> 0.5 * (<real> 1 - d * d * precision)
            dY[k] = share * W[k] * d * precision
            dY[half + k] = share * W[k] * (slope if logs else slope * precision)

cdef void gaussian_nll_tangent(const Group* group) noexcept nogil:
    """The tangent along the mean and the variance (or its logarithm); below eps the variance is the constant eps."""
    cdef const real* T = <const real*> group.T
    cdef const real* W = <const real*> group.W
    cdef const real* Y = <const real*> group.Y
    cdef const real* V = <const real*> group.V
    cdef real* dY = <real*> group.dY
    cdef Py_ssize_t j, r, k, half = group.width * GROUP
    cdef bint logs = group.numbers[0] != 0
    cdef real eps = <real> group.numbers[1], log_eps = log(eps), share = <real> 1 / <real> group.width
    cdef real d, s, precision, vm, vs, square, floor = log_eps if logs else eps
    for j in range(group.width):
        for r in range(GROUP):
            k = j * GROUP + r
            d, s, vm, vs = Y[k] - T[k], Y[half + k], V[k], V[half + k]
            vs = 0 if s < floor else vs
            s = floor if s < floor else s
            precision = exp(-s) if logs else <real> 1 / s
            vs = vs if logs else vs * precision
            square = d * d * precision
            dY[k] = share * W[k] * precision * (vm - d * vs)
            square = <real> 0.5 * square * vs if logs else precision * (square - <real> 0.5) * vs
            dY[half + k] = share * W[k] * (square - d * precision * (vm if logs else vm * precision))

cdef Loss* gaussian_nll_entry = group_loss(
    b"gaussian_nll",
    b"(log v + (t - m)^2 / v) / 2, with means m in the first half of the outputs, and in the second log v, or v "
    b"without log_variance", gaussian_nll, gaussian_nll_tangent)
gaussian_nll_entry.heads = 2
gaussian_nll_entry.parameters[0] = Parameter(b"log_variance", 1, 0, 1, FLAG)
gaussian_nll_entry.parameters[1] = Parameter(b"eps", 1e-6, ABOVE_0, INFINITY, NUMBER)
