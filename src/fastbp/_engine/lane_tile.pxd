"""LANES nets at once, one a SIMD lane: lane_tile.h.  Function pointers, NULL for compilers without vector types."""
from fastbp._engine.kernel_table cimport LaneLosses, LaneMoves, LaneProducts, LaneRows, LaneSums

cdef extern from "lane_tile.h" nogil:
    const LaneMoves MOVE_LANES
    const LaneProducts LANE_PRODUCT
    const LaneSums LANE_SUMS
    const LaneLosses LANE_LOSSES
    const LaneRows LANE_ROWS
