"""Checks on the permissions that the last rehearsal used."""
