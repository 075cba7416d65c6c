"""The graph with its parameters, and the engine's programs compiled from it. Private."""
