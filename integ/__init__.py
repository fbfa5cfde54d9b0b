"""Checks of a deployed environment from outside: over HTTPS, with `requests` and nothing else of this project."""
