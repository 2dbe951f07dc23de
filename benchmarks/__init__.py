"""Benchmarks and validation on real data that is not part of the repository."""
