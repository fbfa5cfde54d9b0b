"""Events: their types, and what a list of them can be narrowed down to."""

from payments.domain import events
from payments.domain.events import TYPES_BY_FILTER, EventType

#: The object of each type, and what can happen to it.
PUBLISHED = {
    "payment": """
        processing requires_action authorized partially_captured succeeded failed canceled capture_failed void_failed
    """,
    "refund": "pending succeeded failed",
    "dispute": "created updated closed",
}


def test_a_list_is_narrowed_down_to_one_type_or_to_one_object() -> None:
    of_object = {f"{name}.*": [f"{name}.{what}" for what in whats.split()] for name, whats in PUBLISHED.items()}
    types = [event_type for found in of_object.values() for event_type in found]
    assert list(EventType) == types
    assert of_object | {event_type: [event_type] for event_type in types} == TYPES_BY_FILTER


def test_filters_are_derived_from_the_types() -> None:
    """They are computed when the module is imported; `make mutants` changes the function only afterwards."""
    assert events._by_filter() == TYPES_BY_FILTER
