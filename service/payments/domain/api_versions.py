"""Dated API versions. A key keeps the version it was made with, and events are stamped with it."""

#: Oldest first. A version is added when an answer or an event changes incompatibly; none is ever removed silently.
API_VERSIONS = ("2026-11-01",)
CURRENT_API_VERSION = API_VERSIONS[-1]
