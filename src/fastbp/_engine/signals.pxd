"""How often a call that takes long looks for signals: Ctrl-C ends it."""

cdef extern from *:
    """
    #define FASTBP_OPERATIONS 5e9
    #define FASTBP_LOOK_EVERY 0.05
    """
    const double OPERATIONS "FASTBP_OPERATIONS"     # floating-point operations of a product between looks, at most
    const double LOOK_EVERY "FASTBP_LOOK_EVERY"     # seconds from one look to the next
