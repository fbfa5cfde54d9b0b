"""Smoke checks: black-box checks of a deployed environment over HTTPS. They need `requests` and no other package."""
