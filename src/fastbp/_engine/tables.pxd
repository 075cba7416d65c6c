"""Rows of the kernel tables by name: every row begins with it, and each table ends with a row without."""

cdef const void* row_named(const void* rows, Py_ssize_t size, name) except NULL
