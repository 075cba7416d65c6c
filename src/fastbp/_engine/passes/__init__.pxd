"""The parts of passes over a plan; program.pyx and derivatives.pyx put them together."""
