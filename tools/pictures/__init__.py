"""Draws `docs/pictures` from the synthesized templates and from the service's own tables: `make pictures`.

What happens is read; where it stands is laid out by hand. What is read and has no place yet is an error.
"""
