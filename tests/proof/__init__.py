"""Attacks on the service's promises, each from a seed: a short profile in every run, a long one by MINUTES."""
