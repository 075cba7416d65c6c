"""A chain of update rules with its state: chain.pyx."""
from fastbp._engine.kernel_table cimport MAX_RULES, MAX_STAGES, ChainLink, Context, Kernels, Step


cdef struct Group:
    # The rules of some of the parameters.
    ChainLink links[MAX_RULES]
    int n_links
    int cuts[MAX_STAGES + 2]            # stage s has the links cuts[s] ... cuts[s + 1] - 1
    int averages                        # the first link that averages parameters; all after it do too
    const void* handed[MAX_STAGES + 1]  # the gradient with which each stage begins; NULL: that of the pass
    double lr_scale
    double penalty

cdef struct Segment:
    # A part of the flat vector, from where the previous segment stops.
    Py_ssize_t stop
    Group* group

cdef struct Matrix:
    # A matrix in the flat vector that a rule needs whole.
    Py_ssize_t start, rows, columns
    ChainLink* link

cdef struct Rules:
    # What a pass needs of a chain.
    const Kernels* kernels
    Py_ssize_t n
    Segment* segments
    Group* groups
    Matrix* matrices
    int n_segments, n_groups, n_matrices
    int n_stages                        # without the stage of averages, which averages_wait adds
    bint averages_wait                  # parameters are averaged after the constraints, which change them once more
    bint wants_norm[MAX_STAGES]         # the stage begins with the norm of the gradient
    bint wants_matrices[MAX_STAGES]     # ... or with work on whole matrices
    double* squares                     # sums of blocks of the gradient
    int n_works                         # threads that work on matrices
    char* works                         # scratch memory of these threads
    Py_ssize_t work                     # bytes of it for one thread
    # The current step:
    Step step
    bint collecting                     # the batch only adds its gradient to those that a later batch applies
    int stage
    const void* G


cdef bint update_span(const Rules* rules, void* P, const void* G, Py_ssize_t start, Py_ssize_t stop,
                      void* scratch) noexcept nogil
cdef void squares_part(const Rules* rules, int part, int of) noexcept nogil
cdef void matrices_part(const Rules* rules, const Context* context, int part, int of) noexcept nogil
cdef bint long_matrices(const Rules* rules) noexcept nogil
cdef bint take_norm(Rules* rules) noexcept nogil
cdef void prepare_link(ChainLink* link, Step* step, double lr_scale) noexcept nogil


cdef class Chain:
    cdef Rules rules
    cdef Py_ssize_t n
    cdef list arrays            # kept alive: the structs, the scratch memory
    cdef readonly object states
    cdef char* states_data
    cdef Py_ssize_t n_states
    cdef public long long t
    cdef public double shown_penalty
    cdef public double loss
    cdef long long every        # batches per step
    cdef Context context
    cdef void* own(self, Py_ssize_t size) except NULL
    cdef void fill(self, Group* group, rules) except *
    cdef void prepare(self, double lr, double loss, double scale) noexcept nogil
    cdef char* keep(self, const char* P) noexcept nogil
    cdef void put_back(self, char* P, char* kept) noexcept nogil
    cdef double penalty(self, const void* P, double scale) noexcept nogil
