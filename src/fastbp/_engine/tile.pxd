"""The register tile of tile.h and the number type that this variant is compiled for."""

cdef extern from "tile.h" nogil:
    ctypedef float real
    ctypedef const real* operand
    ctypedef real* result
    ctypedef void (*tile_function)(const real* A, Py_ssize_t stride, Py_ssize_t jump, const real* P,
                                   Py_ssize_t pitch, Py_ssize_t K, real* C, Py_ssize_t c_row,
                                   const real* bias, int start)
    const tile_function TILES[14][3][4]     # [rows - 1][how the left operand lies][vectors - 1]
    ctypedef void (*lone_function)(const real* A, Py_ssize_t run, Py_ssize_t jump, const real* P, Py_ssize_t pitch,
                                   Py_ssize_t K, real* C, Py_ssize_t block, const real* start)
    const lone_function LONES[8]            # [vectors - 1]
    enum: LONE_VECTORS
    ctypedef void (*outer_function)(const real* A, Py_ssize_t rows, const real* P, real* C, Py_ssize_t pitch)
    const outer_function OUTERS[4]          # [vectors - 1]
    const Py_ssize_t HEIGHTS[4]             # [vectors - 1]
    const Py_ssize_t LANES, PANEL, TILE_ROWS
    enum: BLOCKED, PLAIN, COLUMNS
    enum: FROM_ZERO, FROM_BIAS, FROM_C
    void transpose(const real* S, Py_ssize_t s_row, real* T, Py_ssize_t t_row)
    void stream_line(const void* A, void* C) noexcept nogil
    void fetch(const void* A, Py_ssize_t size) noexcept nogil
