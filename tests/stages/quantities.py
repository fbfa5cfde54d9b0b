"""Quantities in prose: "3 minutes", "80 %", "half an hour", as numbers that can be compared with the code's."""

import re

_COUNTED = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_WORDS = {
    **{word: float(number) for number, word in enumerate(_COUNTED, start=1)},
    **dict.fromkeys(("half a", "half an"), 0.5),
    **dict.fromkeys(("a", "an"), 1.0),
    "fifteen": 15.0,
    "twenty": 20.0,
    "thirty": 30.0,
}
_UNITS = {"%": ("%", 1), "second": ("s", 1), "minute": ("s", 60), "hour": ("s", 3600), "day": ("s", 86400)}
_QUANTITY = re.compile(
    rf"(?<![\w.-])(?P<number>{'|'.join(sorted(_WORDS, key=len, reverse=True))}|\d+(?:\.\d+)?)[ -]?"
    r"(?P<unit>%|(?:second|minute|hour|day)(?=s?\b))",
    re.IGNORECASE,
)
Quantity = tuple[float, str]


def quantities(text: str) -> set[Quantity]:
    """Quantities in a text, in per cent and seconds."""
    found = set()
    for match in _QUANTITY.finditer(text):
        unit, factor = _UNITS[match["unit"].lower()]
        number = match["number"].lower()
        found.add(((_WORDS[number] if number in _WORDS else float(number)) * factor, unit))
    return found


def minutes(value: float) -> Quantity:
    return value * 60, "s"


def seconds(value: float) -> Quantity:
    return value, "s"


def percent(value: float) -> Quantity:
    return value, "%"
