"""The buffers of a program: how tensors lie in memory, and how much of it a node needs."""
from fastbp._engine.kernel_table cimport Kernels
from fastbp._engine.memory cimport Arena, aligned, numbers_of, pitch_of
from fastbp._engine.passes.parameters cimport MOST_OPERANDS
from fastbp._engine.plan cimport Node
from fastbp._engine.program cimport Program, TensorHolder


cdef extern from *:
    """
    #define FASTBP_MOST_BYTES (128.0 * 1024 * 1024 * 1024 * 1024)
    #define FASTBP_PART_BYTES (2.0 * 1024 * 1024)
    #define FASTBP_MANY_WEIGHTS (1024.0 * 1024)
    """
    const double MOST_BYTES "FASTBP_MOST_BYTES"     # bytes that a process can address
    const double PART_BYTES "FASTBP_PART_BYTES"     # bytes of the rows of a part of a training pass, roughly ...
    const double MANY_WEIGHTS "FASTBP_MANY_WEIGHTS"     # ... bytes of parameters from which on a part has more rows

cdef enum:
    LEAST_AT_ONCE = 384         # rows of a part, at least ...
    LEAST_OF_MANY = 512         # ... with many weights


cdef inline TensorHolder new_tensor(const Kernels* kernels, Arena buffers, Py_ssize_t width, Py_ssize_t held):
    """A tensor for `held` rows, from the arena."""
    cdef TensorHolder holder = TensorHolder()
    cdef Py_ssize_t pitch = pitch_of(kernels, width)
    holder.tensor.width, holder.tensor.pitch, holder.tensor.block = width, pitch, held * pitch
    holder.tensor.data = buffers.take(numbers_of(kernels, width, held) * kernels.item)
    return holder


cdef inline Py_ssize_t held_for(const Kernels* kernels, Py_ssize_t rows) noexcept:
    """`rows` or some more: blocks then lie some 2 kB apart modulo 4096, so that their rows fall on different lines of
    the first-level cache."""
    while not 1536 <= rows * kernels.panel * kernels.item % 4096 <= 2560:
        rows += 1
    return rows


cdef inline int refuse_beyond_memory(const Kernels* kernels, widths, Py_ssize_t rows) except -1:
    """Raises where the sizes of buffers would no longer fit an integer: a file may claim any width."""
    cdef double numbers = 0
    for width in widths:
        numbers += <double> width * <double> rows
    if numbers * <double> kernels.item > MOST_BYTES:
        raise MemoryError(f"{numbers * <double> kernels.item:.3g} bytes for activations and their gradients")
    return 0


cdef inline Py_ssize_t saved_by(const Kernels* kernels, const Node* node, Py_ssize_t width, Py_ssize_t rows) noexcept:
    """Bytes that a node saves for its backward pass."""
    cdef Py_ssize_t panel = kernels.panel
    return kernels.item * (node.op.kind.row_numbers * rows
                           + node.op.kind.feature_numbers * ((width + panel - 1) // panel * panel))


cdef inline void new_buffers(Program program, Py_ssize_t rows) except *:
    """Tensors for a number of rows, in place of the old ones."""
    cdef const Kernels* kernels = program.plan.kernels
    cdef Py_ssize_t held = held_for(kernels, rows), k, i, operand = 0, size = 0
    cdef Node* node
    widths = [*program.widths, *program.widths, *program.gradient_widths]
    refuse_beyond_memory(kernels, widths, held)
    for width in widths:
        size += aligned(numbers_of(kernels, width, held) * kernels.item)
    for k, spec in enumerate(program.specs):
        size += aligned(saved_by(kernels, program.plan.nodes + k, program.widths[spec.output], rows))
    program.plan.capacity = program.plan.rows = 0
    program.buffers = Arena(size)
    program.tensors = values = [new_tensor(kernels, program.buffers, w, held) for w in program.widths]
    program.gradients = gradients = [new_tensor(kernels, program.buffers, w, held) for w in program.gradient_widths]
    for k, spec in enumerate(program.specs):
        node = program.plan.nodes + k
        node.op.Y = (<TensorHolder> values[spec.output]).tensor
        node.op.dY = (<TensorHolder> gradients[spec.gradient]).tensor
        node.op.Z = node.op.Y
        for i, (t, g) in enumerate(((spec.output, spec.gradient), *spec.others) if node.op.Ys != NULL else ()):
            node.op.Ys[i] = (<TensorHolder> values[t]).tensor
            node.op.dYs[i] = (<TensorHolder> gradients[g]).tensor
        node.op.saved = program.buffers.take(saved_by(kernels, node, program.widths[spec.output], rows))
        if node.op.kind.keeps_Z or spec.kind == "dense" and node.op.activation.keeps_input:
            node.op.Z = new_tensor(kernels, program.buffers, program.widths[spec.output], held).tensor
        for t, g in zip(spec.inputs, spec.gradients):
            program.plan.X[operand] = (<TensorHolder> values[t]).tensor
            program.dX[operand] = (<TensorHolder> gradients[g]).tensor
            program.dX_data[operand] = program.dX[operand].data
            operand += 1
    for k, (t, g) in enumerate(program.inputs):
        program.plan.sources[k].value = (<TensorHolder> values[t]).tensor
        program.plan.sources[k].gradient = (<TensorHolder> gradients[g]).tensor
    for k, (t, g) in enumerate(program.outputs):
        program.plan.sinks[k].value = (<TensorHolder> values[t]).tensor
        program.plan.sinks[k].gradient = (<TensorHolder> gradients[g]).tensor
    program.want_inputs(program.plan.inputs_wanted)
    program.plan.capacity = rows


cdef inline void new_losses(Program program, Py_ssize_t rows) except *:
    """Room for the losses of a number of rows."""
    cdef Arena losses = Arena(aligned(rows * program.plan.n_sinks * sizeof(double)))
    program.losses_of_rows, program.plan.loss_rows = losses, rows
    program.plan.row_losses = <double*> losses.take(rows * program.plan.n_sinks * sizeof(double))


cdef inline Py_ssize_t most_at_once(Program program) except -1:
    """How many rows of a batch are summed together, so that their activations stay in the caches; 0: always all.

    It depends on the network alone, since it decides the order of the gradients' sums. Each part packs the weights once
    and goes through their gradient once, so a part of few rows would not pay.
    """
    cdef Py_ssize_t k
    cdef double row = 0, least = LEAST_AT_ONCE if program.arrays[0].nbytes < MANY_WEIGHTS else LEAST_OF_MANY
    for width in [*program.widths, *program.gradient_widths]:
        row += (width + 15) // 16 * 16 * program.plan.kernels.item
    for k in range(program.plan.n_nodes):
        if program.plan.nodes[k].op.kind.gradient != NULL and program.plan.nodes[k].op.inputs > MOST_OPERANDS:
            return 0
    return 0 if program.in_python else <Py_ssize_t> max(least, PART_BYTES / row) // 64 * 64
