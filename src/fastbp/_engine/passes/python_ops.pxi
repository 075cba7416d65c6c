"""Nodes that are computed by functions of Python's: they see NumPy arrays, and their errors end the pass.

A pass holds no lock of the interpreter, and any of the pool's threads may come here, each with its own rows; so
a function gets the batch in parts and must treat each row by itself.
"""

cdef class InPython:
    """The functions of a node, and the first error that they raised."""
    cdef Plan* plan
    cdef object functions, dtype
    cdef Lock lock                      # of the network: who holds it waits for this pass
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
        xs = [self.rows_of(&op.X[u], start, stop) for u in range(op.inputs)]
        dY, Y = self.rows_of(&op.dY, start, stop), self.rows_of(&op.Y, start, stop)
        for u, dX in enumerate(self.functions.backward_rows(dY, xs, Y, self.dtype)):
            if op.dX[u].data != NULL:
                self.fill(&op.dX[u], dX, start, stop)

    cdef void run(self, const Op* op, Py_ssize_t start, Py_ssize_t stop, bint forward):
        # After an error the pass goes on over what is left, to no purpose but to its end.
        if self.plan.failed:
            return
        self.error = None
        before = serve(self.lock)
        try:
            if forward:
                self.forward(op, start, stop)
            else:
                self.backward(op, start, stop)
        except BaseException as error:
            self.error, self.plan.failed = error, True
        finally:
            serve(before)


cdef void python_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    with gil:
        (<InPython> op.owner).run(op, start, stop, True)


cdef void python_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    with gil:
        (<InPython> op.owner).run(op, start, stop, False)


cdef OpKind python_kind
memset(&python_kind, 0, sizeof(OpKind))
python_kind.name, python_kind.forward, python_kind.backward = b"python", python_forward, python_backward


cdef InPython in_python(Program program, Node* node, functions):
    cdef InPython it = InPython.__new__(InPython)
    it.plan, it.functions, it.dtype = &program.plan, functions, program.dtype
    node.op.kind, node.op.owner = &python_kind, <void*> it
    return it
