"""The three products of a dense layer, on one register tile.

    forward   Z = X W + b       rows of X   times panels of W
    backward  dX = dZ W'        rows of dZ  times panels of W'
    gradient  dW = X' dZ        columns of X times panels of dZ

A panel is up to PANEL columns wide; a tile keeps some rows of the product in registers.  W is copied into
panels when it is used, W' is transposed during the copy; dZ already lies in panels.  Every number is summed
over k = 0, 1, 2 ... in this order, whatever the tiles, so tiling and threads cannot change a bit.
"""

cdef enum:
    # A part of the second-level cache, from which a tile reads a panel as fast as it multiplies; a longer sum loads
    # and stores its tile once more.
    PANEL_BYTES = 131072
    # The most bytes of the left operand's rows at the depth of a panel, which is at least SHALLOWEST: the rows stay in
    # the second-level cache while all panels of that depth use them.  With AVX-512 and its wide panels this limit
    # costs 2 to 4 %, so there SHALLOWEST is DEPTH.
    LEFT_BYTES = 524288

cdef bint BY_DEPTH = LANES * sizeof(real) < 64
cdef Py_ssize_t DEPTH = PANEL_BYTES // (PANEL * sizeof(real))
cdef Py_ssize_t SHALLOWEST = 256 if BY_DEPTH else DEPTH
cdef Py_ssize_t SCRATCH = DEPTH * PANEL + PANEL + TILE_ROWS * PANEL


cdef inline Py_ssize_t even_depth(Py_ssize_t K, Py_ssize_t N) noexcept nogil:
    """The size of equal parts of K for N rows: a multiple of PANEL, at most DEPTH."""
    cdef Py_ssize_t most = LEFT_BYTES // (N * <Py_ssize_t> sizeof(real))
    most = least(DEPTH, most if most > SHALLOWEST else SHALLOWEST)
    return parts(parts(K, parts(K, most)), PANEL) * PANEL


cdef inline Py_ssize_t nth_part(Py_ssize_t panel, Py_ssize_t deep, Py_ssize_t across) noexcept nogil:
    """Which of `deep` parts of the depth the panel is in: all blocks of a part come first, or all parts of a block."""
    return panel // across if BY_DEPTH else panel % deep


cdef inline Py_ssize_t nth_block(Py_ssize_t panel, Py_ssize_t deep, Py_ssize_t across) noexcept nogil:
    return panel % across if BY_DEPTH else panel // deep


cdef inline void pack(const real* W, Py_ssize_t pitch, Py_ssize_t depth, Py_ssize_t width, real* P) noexcept nogil:
    """P[k, j] = W[k, j], zero beyond the width."""
    cdef Py_ssize_t lanes = padded(width), k
    if width < lanes:
        memset(P, 0, depth * lanes * sizeof(real))
    for k in range(depth):
        copy_features(W + k * pitch, P + k * lanes, width)


cdef inline void pack_transposed(const real* W, Py_ssize_t pitch, Py_ssize_t depth, Py_ssize_t width,
                                 real* P) noexcept nogil:
    """P[k, j] = W[j, k], zero beyond the width: whole squares are transposed in registers, the rest one by one."""
    cdef Py_ssize_t squares_down = width // LANES, squares_across = depth // LANES, lanes = padded(width), j, k
    if width < lanes:
        memset(P, 0, depth * lanes * sizeof(real))
    for j in range(squares_down):
        for k in range(squares_across):
            transpose(W + j * LANES * pitch + k * LANES, pitch, P + k * LANES * lanes + j * LANES, lanes)
    for j in range(width):
        for k in range(squares_across * LANES if j < squares_down * LANES else 0, depth):
            P[k * lanes + j] = W[j * pitch + k]


cdef inline bint in_plain_rows(const Tensor* A) noexcept nogil:
    """Whether each row of A is contiguous, as in NumPy's arrays and in tensors of one block."""
    return A.pitch != PANEL


cdef inline void rows_times_panel(const Tensor* A, Py_ssize_t k, Py_ssize_t depth, const real* P, Py_ssize_t pitch,
                                  const Tensor* C, Py_ssize_t block, const real* bias, int origin,
                                  Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """C[n, block] = origin + A[n, k : k + depth] P, for rows start ... stop in even tiles."""
    cdef Py_ssize_t vectors = parts(width_of(C.width, block), LANES)
    cdef Py_ssize_t N = stop - start, tiles = parts(N, HEIGHTS[vectors - 1]), n = start, t, after
    cdef int kind = PLAIN if in_plain_rows(A) else BLOCKED
    cdef const real* left = <const real*> A.data + (k if kind == PLAIN else k // PANEL * A.block)
    for t in range(tiles):
        after = start + N * (t + 1) // tiles
        TILES[after - n - 1][kind][vectors - 1](left + n * A.pitch, A.pitch, A.block, P, pitch, depth,
                                                block_of(C, n, block), C.pitch, bias, origin)
        n = after


cdef void dense_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Z = X W + b; Y = f(Z)."""
    cdef Py_ssize_t block
    if stop - start == 1 and vectors_lie_in_W(op):
        forward_lone(op, <real*> context.scratch + DEPTH * PANEL, start)
        for block in range(blocks(op.Y.width)):
            activate_block(op, context, &op.Z, block, start, stop)
    else:
        forward_panels(op, context, True, start, stop)
    activate_rows(op, context, &op.Z, start, stop)


cdef inline void forward_panels(const Op* op, const Context* context, bint activated, Py_ssize_t start,
                                Py_ssize_t stop) noexcept nogil:
    """Z = X W + b; Y = f(Z) of each block when it is complete, if `activated`."""
    cdef Py_ssize_t I = op.X.width, O = op.Y.width, deepest = even_depth(I, stop - start), deep = parts(I, deepest)
    cdef Py_ssize_t panel, part, block, width
    cdef real* bias = <real*> context.scratch + DEPTH * PANEL
    for panel in range(deep * blocks(O)):
        part, block = nth_part(panel, deep, blocks(O)), nth_block(panel, deep, blocks(O))
        width = width_of(O, block)
        if op.b != NULL and part == 0:
            memset(bias, 0, PANEL * sizeof(real))
            memcpy(bias, <const real*> op.b + block * PANEL, width * sizeof(real))
        forward_panel(op, block, width, bias, <real*> context.scratch, part * deepest,
                      least(deepest, I - part * deepest), start, stop)
        if activated and part == deep - 1:
            activate_block(op, context, &op.Z, block, start, stop)


cdef inline bint vectors_lie_in_W(const Op* op) noexcept nogil:
    """Whether whole vectors may be loaded from every row of W without reading beyond the flat vector."""
    return beyond(op.Y.width) == 0 or (op.W_end != NULL and <const char*> op.W_end - <const char*> op.W >= (
        ((op.X.width - 1) * op.Y.width + padded(op.Y.width)) * <Py_ssize_t> sizeof(real)))


cdef inline void forward_panel(const Op* op, Py_ssize_t block, Py_ssize_t width, const real* bias, real* packed,
                               Py_ssize_t k, Py_ssize_t depth, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """What inputs k ... k + depth add to one block of Z.  A panel that few rows use is read in place."""
    cdef Py_ssize_t O = op.Y.width, lanes = padded(width), n
    cdef const real* W = <const real*> op.W + k * O + block * PANEL
    cdef bint in_place = ((width == lanes and O <= PANEL) or stop - start <= TILE_ROWS) and vectors_lie_in_W(op)
    if not in_place:
        pack(W, O, depth, width, packed)
    rows_times_panel(op.X, k, depth, W if in_place else packed, O if in_place else lanes, &op.Z, block, bias,
                     FROM_C if k > 0 else FROM_BIAS if op.b != NULL else FROM_ZERO, start, stop)
    for n in range(start, stop if in_place and width < lanes else start):
        memset(block_of(&op.Z, n, block) + width, 0, (lanes - width) * sizeof(real))


cdef inline void times_transposed(const Tensor* A, const real* W, const Tensor* C, real* packed, Py_ssize_t start,
                                  Py_ssize_t stop) noexcept nogil:
    """C = A W'."""
    cdef Py_ssize_t I = C.width, O = A.width, deepest = even_depth(O, stop - start), deep = parts(O, deepest)
    cdef Py_ssize_t panel, block, k, depth, width
    cdef const real* panel_of
    cdef bint lies
    for panel in range(deep * blocks(I)):
        block, k = nth_block(panel, deep, blocks(I)), nth_part(panel, deep, blocks(I)) * deepest
        width, depth = width_of(I, block), least(deepest, O - k)
        panel_of, lies = W + block * PANEL * O + k, O == 1 and width % LANES == 0
        if not lies:  # one column of W in whole vectors already is a panel
            pack_transposed(panel_of, O, depth, width, packed)
        rows_times_panel(A, k, depth, panel_of if lies else packed, padded(width), C, block, NULL,
                         FROM_C if k > 0 else FROM_ZERO, start, stop)


cdef void dense_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dZ = dY f'(Z), in place of dY; dX = dZ W'."""
    activation_slope(op, context, &op.Z, &op.dY, &op.dY, start, stop)
    if op.dX.data != NULL and stop - start == 1 and op.Y.width == 1 and beyond(op.dX.width) == 0:
        lone_column(block_of(&op.dY, start, 0)[0], <const real*> op.W, op.dX, start)
    elif op.dX.data != NULL and stop - start == 1 and op.Y.width <= DEPTH:
        lone_transposed(&op.dY, <const real*> op.W, op.dX, <real*> context.scratch, start)
    elif op.dX.data != NULL:
        times_transposed(&op.dY, <const real*> op.W, op.dX, <real*> context.scratch, start, stop)


cdef void dense_gradient(const Op* op, const Context* context, Py_ssize_t N, Py_ssize_t start, Py_ssize_t stop,
                         bint bias) noexcept nogil:
    """dW[start : stop] = X' dZ over N rows; db = sum of dZ's rows."""
    cdef Py_ssize_t O = op.Y.width, block, part, width
    if N == 1:
        outer_product(op, start, stop, bias)
        return
    for block in range(blocks(O)):
        width = width_of(O, block)
        for part in range(parts(N, DEPTH)):
            columns_times_panel(op, part * DEPTH, least(DEPTH, N - part * DEPTH), block, width, start, stop,
                                <real*> context.scratch, part > 0 or op.adds_gradient)
        if bias and op.db != NULL:
            sum_rows(&op.dY, block, N, <real*> op.db + block * PANEL, op.adds_bias)


cdef void add_gram(const Op* op, const Context* context, Py_ssize_t N, Py_ssize_t first, Py_ssize_t last,
                   bint bias) noexcept nogil:
    """dW += X' X in the panels first ... last - 1, down to the squares on the diagonal: the product is symmetric."""
    cdef Py_ssize_t O = op.Y.width, block, part
    for block in range(first, last):
        for part in range(parts(N, DEPTH)):
            columns_times_panel(op, part * DEPTH, least(DEPTH, N - part * DEPTH), block, width_of(O, block), 0,
                                least(O, (block + 1) * PANEL), <real*> context.scratch, True)


cdef inline void columns_times_panel(const Op* op, Py_ssize_t n, Py_ssize_t depth, Py_ssize_t block, Py_ssize_t width,
                                     Py_ssize_t start, Py_ssize_t stop, real* scratch, bint adds) noexcept nogil:
    """dW[start : stop, block] (+)= X[n : n + depth]' dZ[n : n + depth], in tiles within blocks of X."""
    cdef Py_ssize_t i = start, height = HEIGHTS[parts(width, LANES) - 1], end, first, after, tiles, t
    while i < stop:
        first = i
        end = stop if in_plain_rows(op.X) else least(stop, (i // PANEL + 1) * PANEL)
        tiles = parts(end - first, height)
        for t in range(tiles):
            after = first + (end - first) * (t + 1) // tiles
            column_tile(op, n, depth, i, after - i, block, width, scratch, adds)
            i = after


cdef inline void column_tile(const Op* op, Py_ssize_t n, Py_ssize_t depth, Py_ssize_t i, Py_ssize_t height,
                             Py_ssize_t block, Py_ssize_t width, real* scratch, bint adds) noexcept nogil:
    """One tile of dW.  A narrow one goes through scratch memory, since tiles store whole vectors."""
    cdef Py_ssize_t O = op.Y.width, vectors = parts(width, LANES), r
    cdef bint narrow = width < vectors * LANES
    cdef real* dW = <real*> op.dW + i * O + block * PANEL
    if narrow and adds:
        for r in range(height):
            memcpy(scratch + r * PANEL, dW + r * O, width * sizeof(real))
    TILES[height - 1][COLUMNS][vectors - 1](
        block_of(op.X, n, i // PANEL) + i % PANEL, op.X.pitch, 0, block_of(&op.dY, n, block), op.dY.pitch, depth,
        scratch if narrow else dW, PANEL if narrow else O, NULL, FROM_C if adds else FROM_ZERO)
    if narrow:
        for r in range(height):
            memcpy(dW + r * O, scratch + r * PANEL, width * sizeof(real))
