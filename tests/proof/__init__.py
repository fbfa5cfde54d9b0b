"""Attacks on the promises of the service, each with a short profile that runs with the other tests."""
