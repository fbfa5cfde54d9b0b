"""Card guard: refuses card numbers before anything is logged or stored, to keep this service out of PCI DSS scope.

A card number is a run of 13 to 19 digits, optionally split by single spaces or hyphens, at digit boundaries, that has
a known issuer's range, that issuer's length and a valid Luhn check digit. Digits, spaces and hyphens of every script
count, since people paste them. UUIDs, our own IDs and cursors are exempt: one in a few thousand would match by chance.
So would order and tracking numbers, which is why letters directly before a number mark it as another one where
merchants keep their own: in `reference` and in the values of `metadata`. The fraction of a decimal number, with digits
before its point and no further group after it, is no card number there either: nobody writes a card like that by
accident, and rates and coordinates have as many digits.
"""

import re
import unicodedata
from collections.abc import Iterable
from itertools import accumulate
from urllib.parse import unquote_plus

from flask import Request

from payments.core.problems import CardNumberRefused
from payments.web.http.strict_json import strings

#: Issuer ranges (first and last prefix, both inclusive, of equal length) and the lengths in use.
#: Source: ISO/IEC 7812 ranges as published by the schemes.
_SIXTEEN_TO_NINETEEN = frozenset(range(16, 20))
_THIRTEEN_TO_NINETEEN = frozenset(range(13, 20))
ISSUER_RANGES: tuple[tuple[str, str, frozenset[int]], ...] = (
    ("4", "4", frozenset({13, 16, 19})),  # Visa
    ("51", "55", frozenset({16})),  # Mastercard
    ("2221", "2720", frozenset({16})),  # Mastercard, second series
    ("34", "34", frozenset({15})),  # American Express
    ("37", "37", frozenset({15})),
    ("300", "305", _SIXTEEN_TO_NINETEEN | {14}),  # Diners Club
    ("3095", "3095", _SIXTEEN_TO_NINETEEN | {14}),
    ("36", "36", frozenset(range(14, 20))),
    ("38", "39", _SIXTEEN_TO_NINETEEN | {14}),
    ("6011", "6011", _SIXTEEN_TO_NINETEEN),  # Discover
    ("644", "659", _SIXTEEN_TO_NINETEEN),  # Discover and, within it, RuPay and Elo
    ("3528", "3589", _SIXTEEN_TO_NINETEEN),  # JCB
    ("62", "62", _SIXTEEN_TO_NINETEEN),  # UnionPay
    ("81", "82", _SIXTEEN_TO_NINETEEN),  # UnionPay, RuPay
    ("60", "60", frozenset({16})),  # RuPay
    ("508", "508", frozenset({16})),  # RuPay
    ("5066", "5067", frozenset({16})),  # Elo
    ("509", "509", frozenset({16})),
    ("5019", "5019", frozenset({16})),  # Dankort
    ("5895", "5896", frozenset({16})),  # Naranja, Cabal
    ("6703", "6703", _THIRTEEN_TO_NINETEEN),  # Bancontact
    ("2200", "2204", _SIXTEEN_TO_NINETEEN),  # Mir
    ("9792", "9792", frozenset({16})),  # Troy
    ("5018", "5018", _THIRTEEN_TO_NINETEEN),  # Maestro
    ("5020", "5020", _THIRTEEN_TO_NINETEEN),
    ("5038", "5038", _THIRTEEN_TO_NINETEEN),
    ("5893", "5893", _THIRTEEN_TO_NINETEEN),
    ("6304", "6304", _THIRTEEN_TO_NINETEEN),
    ("6759", "6759", _THIRTEEN_TO_NINETEEN),
    ("6761", "6763", _THIRTEEN_TO_NINETEEN),
    ("6771", "6771", _THIRTEEN_TO_NINETEEN),
)
#: Prefix -> lengths, for prefixes of one to four digits.
_LENGTHS: dict[str, frozenset[int]] = {}
for _first, _last, _lengths in ISSUER_RANGES:
    for _number in range(int(_first), int(_last) + 1):
        _LENGTHS[str(_number)] = _LENGTHS.get(str(_number), frozenset()) | _lengths

#: Groups of digits joined by single spaces or hyphens, long enough to contain a card number.
_RUN = re.compile(r"[0-9](?:[ -]?[0-9]){12,}")
_GROUP = re.compile(r"[0-9]+")
#: UUIDs, and our own IDs: a prefix and 26 characters of Crockford's base 32.
_EXEMPT_IDS = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[a-z]{2,6}_[0-9a-hjkmnp-tv-z]{26})"
    r"(?![0-9A-Za-z])"
)
#: Digits with letters directly before them, up to the next space.
_LETTERED = re.compile(r"(?<=[^\W\d_])[0-9](?:[.-]?[0-9])*")
#: The fraction of a decimal number that stands alone: what is before the point is kept, and may be a card number.
_FRACTION = re.compile(r"(?<![\w.])([0-9]+)\.[0-9]+(?:[eE][+-]?[0-9]+)?(?![\w.]|[ -][0-9])")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
#: How often a text is decoded as a URL at most: without an end, `%252525...` would keep a processor busy.
_ENCODINGS = 3
#: Query parameters whose values are not checked.
_EXEMPT_PARAMETERS = frozenset({"cursor"})
#: Where merchants keep numbers of their own: a field of a body, and a query parameter; a field's values.
_REFERENCE, _METADATA = "reference", "metadata"


def has_card_number(text: str, *, own: bool = False) -> bool:
    """Return whether ``text`` contains a card number; ``own`` exempts numbers after letters, and decimal fractions.

    A URL in a body is encoded: what it stands for counts as well, also if it was encoded twice.
    """
    for _ in range(_ENCODINGS):
        if _contains(text, own=own):
            return True
        decoded = unquote_plus(text) if "%" in text or "+" in text else text
        if decoded == text:
            return False
        text = decoded
    return _contains(text, own=own)


def _contains(text: str, *, own: bool) -> bool:
    text = _in_ascii(text)
    if own:
        text = _FRACTION.sub(r"\1x", _LETTERED.sub("x", text))
    if _RUN.search(text) is None:  # almost always; only texts with long numbers pay for the rest
        return False
    # The letter keeps the digits on both sides of an exempt ID apart.
    return any(_run_has_card(run[0]) for run in _RUN.finditer(_EXEMPT_IDS.sub("x", text)))


def _in_ascii(text: str) -> str:
    """Return ``text`` with the digits, spaces and hyphens of every script as ASCII, without invisible characters."""
    return text if text.isascii() else "".join(map(_ascii_character, text))


def _ascii_character(character: str) -> str:
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    return {"Zs": " ", "Pd": "-", "Cf": ""}.get(unicodedata.category(character), character)


def _run_has_card(run: str) -> bool:
    """Return whether a sequence of whole groups in ``run`` is a card number."""
    groups = [match[0] for match in _GROUP.finditer(run)]
    digits = "".join(groups)
    bounds = list(accumulate((len(group) for group in groups), initial=0))
    luhn = _LuhnSums(digits)
    ends = set(bounds)
    for start in bounds:
        for length in sorted(_issued_lengths(digits[start : start + 4])):
            if start + length in ends and luhn.valid(start, start + length):
                return True
    return False


def _issued_lengths(prefix: str) -> frozenset[int]:
    """Return the lengths of cards that start with ``prefix`` (four digits); empty for unknown issuers."""
    found: frozenset[int] = frozenset()
    for size in range(1, len(prefix) + 1):
        found |= _LENGTHS.get(prefix[:size], frozenset())
    return found


class _LuhnSums:
    """Checks any part of a digit string with the Luhn algorithm in constant time, by prefix sums of both parities."""

    def __init__(self, digits: str) -> None:
        values = [int(digit) for digit in digits]
        self._even_doubled = self._sums(values, 0)
        self._odd_doubled = self._sums(values, 1)

    @staticmethod
    def _sums(values: list[int], parity: int) -> list[int]:
        weighted = (_DOUBLED[value] if index % 2 == parity else value for index, value in enumerate(values))
        return list(accumulate(weighted, initial=0))

    def valid(self, start: int, end: int) -> bool:
        """Return whether ``digits[start:end]`` has a valid check digit, doubling every second from the right."""
        sums = self._even_doubled if end % 2 == 0 else self._odd_doubled
        return (sums[end] - sums[start]) % 10 == 0


def refuse_in_url(request: Request) -> None:
    """Refuse a card number in the path or query, before routing and before anything logs the URL."""
    texts = [(request.path, False)]
    for name, values in request.args.lists() if request.query_string else ():
        texts.append((name, False))
        if name not in _EXEMPT_PARAMETERS:
            texts.extend((value, name == _REFERENCE) for value in values)
    _refuse(texts, "URL")


def refuse_in_body(value: object) -> None:
    """Refuse a card number in any string of a JSON body, including field names."""
    _refuse(_texts(value), "body")


def _texts(value: object) -> Iterable[tuple[str, bool]]:
    """Yield every string in a body, and whether it is one in which merchants keep numbers of their own."""
    fields = value.items() if isinstance(value, dict) else [("", value)]
    for name, field in fields:
        yield name, False
        if name == _METADATA and isinstance(field, dict):
            yield from ((key, False) for key in field)
            yield from ((text, True) for item in field.values() for text in strings(item))
        else:
            yield from ((text, name == _REFERENCE) for text in strings(field))


def _refuse(texts: Iterable[tuple[str, bool]], where: str) -> None:
    """Refuse ``texts`` if there is a card number in one of them; each says whether letters exempt a number in it."""
    for text, own in texts:
        if has_card_number(text, own=own):
            way_out = "" if own else "keep it in `reference` or a metadata value, with "
            way_out = f" If it is a number of your own, {way_out or 'put '}letters directly before it (ORD123...)."
            raise CardNumberRefused(
                f"The {where} appears to contain a card number. Send a processor token instead. Treat the number as "
                f"exposed if this request was logged on the way.{way_out}"
            )
