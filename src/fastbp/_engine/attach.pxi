"""What a program reads its inputs from: plain rows of the net's own numbers, or a Source of any others."""

cdef void attach_sources(Program program, xs, Py_ssize_t rows) except *:
    """Places the ports at the callers' rows."""
    cdef Port* port = program.plan.sources
    program.plan.all_plain, program.plan.unfit = True, False
    for x in xs:
        if isinstance(x, Source):
            port.rows, port.array = (<Source> x).rows, NULL
            program.plan.all_plain = False
        else:
            port.rows.gather, port.rows.watched = NULL, False
            port.array = <char*> address(x, rows * port.value.width * program.plan.kernels.item)
        port += 1
