"""What is compiled for each instruction set and number type: all.pyx includes it, family by family."""
