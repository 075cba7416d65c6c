"""What a program reads and writes: plain rows of the net's dtype, or a Source of any other; targets; results."""

cdef void attach_sources(Program program, xs, Py_ssize_t rows) except *:
    """Points the ports to the caller's rows."""
    cdef Port* port = program.plan.sources
    attach_plain(program)
    for x in xs:
        if isinstance(x, Source):
            port.rows, port.array = (<Source> x).rows, NULL
            program.plan.all_plain = False
            program.plan.any_sparse |= port.rows.starts != NULL
        else:
            port.array = <char*> address(x, rows * port.value.width * program.plan.kernels.item)
        port += 1
    if program.plan.any_sparse:
        read_sparse(program)


cdef void attach_plain(Program program) noexcept:
    """Detaches the sources of the last call, for plain rows, whose ports need only `array`."""
    cdef Plan* plan = &program.plan
    cdef Py_ssize_t k
    plan.all_plain, plan.unfit = True, False
    for k in range(plan.n_sources):
        memset(&plan.sources[k].rows, 0, sizeof(Rows))
    for k in range(plan.n_nodes if plan.any_sparse else 0):
        if plan.nodes[k].op.kind == plan.kernels.sparse_dense:
            plan.nodes[k].op.kind, plan.nodes[k].op.rows = plan.kernels.dense, NULL
    plan.any_sparse = False


cdef void read_sparse(Program program) noexcept:
    """Lets dense layers read rows in compressed form in place; rows that other ops read too are written out densely."""
    cdef Plan* plan = &program.plan
    cdef Py_ssize_t k, s
    cdef Node* node
    for s in range(plan.n_sources):
        if plan.sources[s].rows.starts == NULL:
            continue
        if not plan.sources[s].dense_only:
            plan.sources[s].rows.gather = plan.kernels.gather_sparse
            continue
        plan.sources[s].rows.gather = NULL
        for k in range(plan.n_nodes):
            node = plan.nodes + k
            if node.op.kind == plan.kernels.dense and plan.X_source[node.op.X - plan.X] == s:
                node.op.kind, node.op.rows = plan.kernels.sparse_dense, &plan.sources[s].rows


cdef void attach_rows(Program program, Port* ports, Py_ssize_t n_ports, arrays, Py_ssize_t rows) except *:
    """Points ports to plain rows."""
    cdef Py_ssize_t k
    for k in range(n_ports):
        ports[k].array = <char*> address(arrays[k], rows * ports[k].value.width * program.plan.kernels.item)


cdef new_rows(Program program, Port* ports, Py_ssize_t n_ports, Py_ssize_t rows):
    """New arrays, to which the ports point."""
    cdef Py_ssize_t k
    arrays = tuple([np.empty((rows, ports[k].value.width), program.dtype) for k in range(n_ports)])
    attach_rows(program, ports, n_ports, arrays, rows)
    return arrays


cdef void attach_targets(Program program, Py_ssize_t n_sinks, ts, weights, terms, Py_ssize_t rows) except *:
    """Attaches the targets, weights and losses of the first outputs."""
    cdef Py_ssize_t k
    cdef Port* sink = program.plan.sinks
    cdef Term term
    for k in range(n_sinks):
        term = terms[k]
        term.place(&sink.targets, sink.value.width, ts[k], None if weights is None else weights[k], rows)
        sink.array = NULL
        sink += 1


cdef void attach_training(Program program, xs, ts, weights, terms, Py_ssize_t rows) except *:
    attach_sources(program, xs, rows)
    attach_targets(program, program.plan.n_sinks, ts, weights, terms, rows)
