"""Entries of the kernel tables by name: each begins with its name, and each table ends with one that has none."""

cdef const void* row_named(const void* rows, Py_ssize_t size, name) except NULL
