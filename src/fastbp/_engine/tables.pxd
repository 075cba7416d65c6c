"""Entries of the kernel tables by name: an entry begins with its name, and a table ends with an entry without name."""

cdef const void* row_named(const void* rows, Py_ssize_t size, name) except NULL
