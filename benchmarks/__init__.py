"""Benchmarks of the payment API."""
