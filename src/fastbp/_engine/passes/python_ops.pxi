"""Nodes that Python functions compute: these get NumPy arrays, and their errors end the pass.

A pass runs without the GIL, and any of the pool's threads may call a function, each with its own rows; so a function
gets the batch in parts and must treat each row by itself. The gradient of a node's parameters, which are contiguous,
is computed in one call, with all rows.
"""

cdef enum Wanted:
    FORWARD, BACKWARD, GRADIENT


cdef class InPython:
    """The functions of a node, and the first error that they raised."""
    cdef Plan* plan
    cdef object functions, dtype
    cdef Lock lock                      # of the network: the thread that holds it waits for this pass
    cdef readonly object error

    cdef rows_of(self, const Tensor* T, Py_ssize_t start, Py_ssize_t stop):
        array = np.empty((stop - start, T.width), self.dtype)
        cdef char* first = <char*> address(array, array.nbytes)
        self.plan.kernels.store_rows(T, first - start * T.width * self.plan.kernels.item, T.width, start, stop)
        return array

    cdef void fill(self, const Tensor* T, array, Py_ssize_t start, Py_ssize_t stop) except *:
        cdef const char* first = <const char*> address(array, (stop - start) * T.width * self.plan.kernels.item)
        self.plan.kernels.load_rows(first - start * T.width * self.plan.kernels.item, T.width, NULL, T, start, stop)

    cdef void forward(self, const Op* op, Py_ssize_t start, Py_ssize_t stop) except *:
        xs = [self.rows_of(&op.X[u], start, stop) for u in range(op.inputs)]
        self.fill(&op.Y, self.functions.forward_rows(xs, self.dtype), start, stop)

    cdef void backward(self, const Op* op, Py_ssize_t start, Py_ssize_t stop) except *:
        cdef Py_ssize_t u
        if not any([op.dX[u].data != NULL for u in range(op.inputs)]):
            return
        xs = [self.rows_of(&op.X[u], start, stop) for u in range(op.inputs)]
        dY, Y = self.rows_of(&op.dY, start, stop), self.rows_of(&op.Y, start, stop)
        for u, dX in enumerate(self.functions.backward_rows(dY, xs, Y, self.dtype)):
            if op.dX[u].data != NULL:
                self.fill(&op.dX[u], dX, start, stop)

    cdef void gradient(self, const Op* op, Py_ssize_t N) except *:
        """dW over all rows, added to what it holds already if `adds_gradient`."""
        cdef Py_ssize_t u, i
        xs = [self.rows_of(&op.X[u], 0, N) for u in range(op.inputs)]
        dY, Y = self.rows_of(&op.dY, 0, N), self.rows_of(&op.Y, 0, N)
        found = self.functions.gradient_rows(dY, xs, Y, self.dtype)
        cdef Py_ssize_t size = len(found)
        cdef const char* given = <const char*> address(found, found.nbytes)
        if not op.adds_gradient:
            memcpy(op.dW, given, size * self.plan.kernels.item)
        elif self.plan.kernels.item == 8:
            for i in range(size):
                (<double*> op.dW)[i] += (<const double*> given)[i]
        else:
            for i in range(size):
                (<float*> op.dW)[i] += (<const float*> given)[i]

    cdef void run(self, const Op* op, Py_ssize_t start, Py_ssize_t stop, Wanted wanted):
        # After an error the pass runs to its end, but calls no more functions.
        if self.plan.failed:
            return
        self.error = None
        before = serve(self.lock)
        try:
            if wanted == FORWARD:
                self.forward(op, start, stop)
            elif wanted == BACKWARD:
                self.backward(op, start, stop)
            else:
                self.gradient(op, stop)
        except BaseException as error:
            self.error, self.plan.failed = error, True
        finally:
            serve(before)


cdef void python_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    with gil:
        (<InPython> op.owner).run(op, start, stop, FORWARD)


cdef void python_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    with gil:
        (<InPython> op.owner).run(op, start, stop, BACKWARD)


cdef void python_gradient(const Op* op, const Context* context, Py_ssize_t N, Py_ssize_t start, Py_ssize_t stop,
                          bint bias) noexcept nogil:
    if start < stop:
        with gil:
            (<InPython> op.owner).run(op, 0, N, GRADIENT)


cdef OpKind python_kind
memset(&python_kind, 0, sizeof(OpKind))
python_kind.name, python_kind.forward, python_kind.backward = b"python", python_forward, python_backward
python_kind.gradient = python_gradient


cdef InPython in_python(Program program, Node* node, functions):
    cdef InPython it = InPython.__new__(InPython)
    it.plan, it.functions, it.dtype = &program.plan, functions, program.dtype
    node.op.kind, node.op.owner = &python_kind, <void*> it
    program.plan.forms_first |= len(functions.parameters) > 0
    return it
