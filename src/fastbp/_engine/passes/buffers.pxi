"""The buffers of a program: how tensors lie in memory, and how much of it a node wants."""

cdef double MOST_BYTES = 2.0 ** 47  # that a process can address


cdef class TensorHolder:
    """A tensor as Python's lists can hold it."""


cdef TensorHolder new_tensor(const Kernels* kernels, Arena buffers, Py_ssize_t width, Py_ssize_t held):
    """A tensor for `held` rows, from the arena."""
    cdef TensorHolder holder = TensorHolder()
    cdef Py_ssize_t pitch = pitch_of(kernels, width)
    holder.tensor.width, holder.tensor.pitch, holder.tensor.block = width, pitch, held * pitch
    holder.tensor.data = buffers.take(numbers_of(kernels, width, held) * kernels.item)
    return holder


cdef Py_ssize_t held_for(const Kernels* kernels, Py_ssize_t rows) noexcept:
    """So many rows or some more: blocks lie some 2 kB apart modulo 4096, and their rows then fall on different lines of
    the first-level cache."""
    while not 1536 <= rows * kernels.panel * kernels.item % 4096 <= 2560:
        rows += 1
    return rows


cdef int refuse_beyond_memory(const Kernels* kernels, widths, Py_ssize_t rows) except -1:
    """Raises where the sizes of buffers would no longer fit an integer: a file may claim any width."""
    cdef double numbers = 0
    for width in widths:
        numbers += <double> width * <double> rows
    if numbers * <double> kernels.item > MOST_BYTES:
        raise MemoryError(f"{numbers * <double> kernels.item:.3g} bytes for activations and their gradients")
    return 0


cdef Py_ssize_t saved_by(const Kernels* kernels, const Node* node, Py_ssize_t width, Py_ssize_t rows) noexcept:
    """Bytes that a node saves for its backward pass."""
    cdef Py_ssize_t panel = kernels.panel
    return kernels.item * (node.op.kind.row_numbers * rows
                           + node.op.kind.feature_numbers * ((width + panel - 1) // panel * panel))
