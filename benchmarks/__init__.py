"""Speed against other libraries: `python -m benchmarks`, explained in README.md."""
