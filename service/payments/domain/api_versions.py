"""Dated API versions. A key keeps the version it was created with, and events are stamped with it."""

#: Oldest first. Add one when a response or an event changes incompatibly; never remove one silently.
API_VERSIONS = ("2026-11-01",)
CURRENT_API_VERSION = API_VERSIONS[-1]
