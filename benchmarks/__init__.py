"""What BENCHMARKS.md was measured with: `make bench`, or `python -m benchmarks [CASE …]`."""
