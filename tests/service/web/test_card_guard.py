"""Card numbers are found wherever the rule says, and only there."""

import time
import uuid
from urllib.parse import urlencode

import pytest
from flask import Flask, Request
from hypothesis import assume, given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from payments.core.problems import CardNumberRefused
from payments.web.http import card_guard, problems, strict_json

#: The schemes' published test numbers.
TEST_NUMBERS = [
    "4111111111111111", "4012888888881881", "4222222222222", "5555555555554444", "2223003122003222", "378282246310005",
    "371449635398431", "6011111111111117", "30569309025904", "3566002020360505", "6200000000000005", "36227206271667",
    "6304000000000000", "2201382000000013",
]  # fmt: skip
#: A digit of any script would make the number longer.
_WITHOUT_DIGITS = st.text(st.characters(exclude_categories=["Nd", "Cs"]), max_size=8)


def _check_digit(digits: str) -> str:
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    first, last, lengths = draw(st.sampled_from(card_guard.ISSUER_RANGES))
    prefix = str(draw(st.integers(int(first), int(last))))
    length = draw(st.sampled_from(sorted(lengths)))
    body = prefix + draw(st.text("0123456789", min_size=length - 1 - len(prefix), max_size=length - 1 - len(prefix)))
    return body + _check_digit(body)


@st.composite
def split(draw: st.DrawFn, number: str) -> str:
    return number[0] + "".join(draw(st.sampled_from(["", " ", "-"])) + digit for digit in number[1:])


@given(st.data(), card_numbers(), _WITHOUT_DIGITS, _WITHOUT_DIGITS)
def test_card_numbers_are_found_however_they_are_split(
    data: st.DataObject, number: str, before: str, after: str
) -> None:
    written = data.draw(split(number))
    assume(not card_guard._EXEMPT_IDS.search(before + written + after))
    assert card_guard.has_card_number(before + written + after)


@given(card_numbers(), st.integers(1, 9))
def test_a_wrong_check_digit_passes(number: str, change: int) -> None:
    assert not card_guard.has_card_number(number[:-1] + str((int(number[-1]) + change) % 10))


@given(card_numbers(), st.sampled_from("0123456789"), st.booleans())
def test_only_whole_digit_groups_count(number: str, digit: str, at_front: bool) -> None:
    longer = digit + number if at_front else number + digit
    found_as_longer = len(longer) in card_guard._issued_lengths(longer[:4]) and longer[-1] == _check_digit(longer[:-1])
    assert card_guard.has_card_number(longer) == found_as_longer


@pytest.mark.parametrize("number", TEST_NUMBERS)
def test_the_published_test_numbers_are_found(number: str) -> None:
    assert card_guard.has_card_number(f"Order 12 {number} 3")
    assert card_guard.has_card_number("-".join(number[i : i + 4] for i in range(0, len(number), 4)))


#: More published test numbers: Stripe's and Adyen's. UATP (15 digits from 1) is no range here: timestamps are there.
STRIPE = [
    "4242424242424242", "4000056655665556", "5200828282828210", "5105105105105100", "6011000990139424",
    "6011981111111113", "3056930009020004", "6555900000604105", "6200000000000047", "6205500000000000004",
]  # fmt: skip
ADYEN = [
    "4988438843884305", "4166676667666746", "4871049999999910", "4035501000000008", "4360000001000005",
    "2222400070000005", "5577000055770004", "2222410740360010", "370000000000002", "374251018720018", "36006666333344",
    "6011601160116611", "6445644564456445", "3569990010095841", "6771798021000008", "6771830999991239",
    "6703444444444449", "5066991111111118", "6062828888666688", "6250946000000016", "6243030000000001",
    "8171999927660000", "8171999900000000021", "5019555544445555", "6759649826438453", "5896570000000008",
]  # fmt: skip


@pytest.mark.parametrize("number", STRIPE + ADYEN)
def test_numbers_of_processors_are_found(number: str) -> None:
    """data-privacy-stack/presidio#2075: the second series of Mastercard and 19 digits were missed."""
    assert card_guard.has_card_number(number)
    assert card_guard.has_card_number(f"card:{number}", own=True), "letters, but not directly before it"


@pytest.mark.parametrize(
    "text",
    [
        "\uff14\uff12\uff14\uff12" * 4,
        "\u0664\u0662\u0664\u0662" * 4,
        "4242\u00a04242\u00a04242\u00a04242",
        "4242\u20094242\u20094242\u20094242",
        "4242\u20114242\u20114242\u20114242",
        "4242\u20134242\u20134242\u20134242",
        "4242\u200b4242\u200b4242\u200b4242",
        "42424242\u00ad42424242",
    ],
    ids=["full-width", "Arabic", "nbsp", "thin space", "nb hyphen", "en dash", "zero width", "soft hyphen"],
)
def test_other_scripts_hide_no_number(text: str) -> None:
    assert card_guard.has_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.example/4242%204242%204242%204242",
        "https://shop.example/?card=4242+4242+4242+4242",
        "https://shop.example/4242%2D4242%2d4242-4242",
        "https://shop.example/%34242424242424242",
        "https://shop.example/4242%25204242%25204242%25204242",
    ],
    ids=["space", "plus", "hyphen", "digit", "twice"],
)
def test_a_urls_encoding_hides_no_number(text: str) -> None:
    for body in ({"url": text}, {"return_url": text}, {"description": text}, {"metadata": {"page": text}}):
        with pytest.raises(CardNumberRefused):
            card_guard.refuse_in_body(body)


def test_an_encoding_without_end_is_no_work_without_end() -> None:
    started = time.process_time()
    assert not card_guard.has_card_number("%" + "25" * 30_000)
    assert time.process_time() - started < 1, "seconds of a processor"


@pytest.mark.parametrize(
    "text",
    [
        "ORD4242424242424242",
        "AMZ114-3941689-8772234",  # an order number that looks like Diners Club
        "Bestellung4242-4242-4242-4242",
        "\u0437\u0430\u043a\u0430\u04374242424242424242",
        "ORD4242 4242 4242 4242",
    ],
)
def test_letters_mark_a_number_of_ones_own(text: str) -> None:
    for body in ({"reference": text}, {"metadata": {"order": text}}):
        card_guard.refuse_in_body(body)
    card_guard.refuse_in_url(_request("/v1/payments", urlencode({"reference": text})))
    for body in (
        {"description": text},
        {"payment_method": text},
        {"metadata": {text: "x"}},
        {"a": {"reference": text}},
    ):
        with pytest.raises(CardNumberRefused):
            card_guard.refuse_in_body(body)


@pytest.mark.parametrize(
    "text", ["ORD12 4242424242424242", "ORD-4242424242424242", "ORD_4242424242424242", "1A 4242424242424242"]
)
def test_letters_elsewhere_mark_nothing(text: str) -> None:
    with pytest.raises(CardNumberRefused):
        card_guard.refuse_in_body({"reference": text})


@pytest.mark.parametrize("body", [{"reference": "4242424242424242"}, {"metadata": {"order": "4242 4242 4242 4242"}}])
def test_the_problem_names_the_way_out(body: object) -> None:
    with pytest.raises(CardNumberRefused, match="letters directly before it"):
        card_guard.refuse_in_body(body)


_CARD = "4111111111111111"
#: Where merchants keep numbers of their own.
DECIMALS = [
    "0.5309136012499991",  # Arachni/arachni#647
    f"0.{_CARD}",
    f"-1.{_CARD}",
    f"{{'rate': 1.{_CARD}}}",
    f"52.{_CARD},13.{_CARD}",
    f"[0.{_CARD}, 0.5]",
    f"lat=52.{_CARD};lon=1",
    f"4.{_CARD}e-05",
    f"ORD0.{_CARD}",  # letters directly before it, up to the next space
]


@pytest.mark.parametrize("text", DECIMALS, ids=range(len(DECIMALS)))
def test_a_decimal_fraction_passes(text: str) -> None:
    for body in ({"reference": text}, {"metadata": {"rate": text}}):
        card_guard.refuse_in_body(body)
    card_guard.refuse_in_url(_request("/v1/payments", urlencode({"reference": text})))
    for other in ({"description": text}, {"payment_method": text}, {"metadata": {text: "x"}}):
        with pytest.raises(CardNumberRefused):
            card_guard.refuse_in_body(other)


@pytest.mark.parametrize(
    "text",
    [
        f"{_CARD}.00",  # in front of the point it is no fraction
        f"4111 1111 1111 1111.{_CARD}",
        f"0.{_CARD} {_CARD}",
        f"0.{_CARD}-{_CARD}",
        "0.4111 1111 1111 1111",
        "1.4111-1111-1111-1111",
        "0.41111111 11111111",
        "0.4111111111111 111",
        f"No.{_CARD}",
        f"card .{_CARD}",
        f"1.2.{_CARD}",
        f"1,{_CARD}",
        f"1. {_CARD}",
    ],
)
def test_a_point_hides_no_card_number(text: str) -> None:
    with pytest.raises(CardNumberRefused):
        card_guard.refuse_in_body({"metadata": {"rate": text}})


@pytest.mark.parametrize("body", [{"description": _CARD}, {"payment_method": _CARD}, {"metadata": {_CARD: "x"}}])
def test_the_problem_names_where_ones_own_numbers_go(body: object) -> None:
    with pytest.raises(CardNumberRefused, match="in `reference` or a metadata value, with letters directly before it"):
        card_guard.refuse_in_body(body)


@pytest.mark.parametrize(
    "text",
    [
        "1647725122227",  # milliseconds, philterd/phileas#120
        "1548138160707",
        "1795532026000000",
        "20260823000001",  # garrytan/gstack#2681
        "2026-08-23 00:00:01.000042",
        "47223179-9330-4259-b66c-f2db26efb20c",  # philterd/phileas#120
        "DE89370400440532013000",
        "GB29 NWBK 6016 1331 9268 19",
        "1Z999AA10123456784",
        "9400111899223197428490",
        "+49 151 23456789",
        "00491512345678",
        "1747-9192-2056-7223",
    ],
)
def test_known_false_alarms_pass(text: str) -> None:
    """Reported elsewhere: time stamps, UUIDs, account, tracking, telephone and case numbers."""
    assert not card_guard.has_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "4111  1111 1111 1111",  # two spaces
        "4111.1111.1111.1111",
        "41111111111111111111",  # 20 digits
        "123456789012",
        "9999999999999995",  # Luhn, but nobody issues it
        "1234567890123452",
        "411111111111",
        "2026-11-24 12:30:00",
        "+49 170 1234567890",
    ],
)
def test_other_digits_pass(text: str) -> None:
    assert not card_guard.has_card_number(text)


@given(st.uuids())
def test_uuids_pass(value: object) -> None:
    assert not card_guard.has_card_number(str(value))


def test_a_uuid_exempts_only_itself() -> None:
    held = "41111111-1111-1111-8000-000000000000"
    assert card_guard.has_card_number("41111111 1111 1111")
    assert not card_guard.has_card_number(str(uuid.UUID(held)))
    assert card_guard.has_card_number(held + " 4111111111111111")


def test_our_own_ids_pass() -> None:
    assert not card_guard.has_card_number("pay_4111111111111111" + "0123456789")
    assert card_guard.has_card_number("pay_4111111111111111")


@pytest.mark.parametrize(
    "text",
    ["4 " * 32768, "4" * 65536, "4111-" * 13000, "41 " * 20000, "a" * 65536],
    ids=["spaced", "digits", "quads", "pairs", "letters"],
)
def test_the_longest_body_is_checked_in_linear_time(text: str) -> None:
    started = time.process_time()
    card_guard.has_card_number(text)
    assert time.process_time() - started < 5  # a quadratic search would take minutes


def _request(path: str, query: str = "") -> Request:
    return Request(EnvironBuilder(path=path, query_string=query).get_environ())


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/payments/4111111111111111", ""),
        ("/v1/payments/4111%201111%201111%201111", ""),
        ("/v1/payments", "reference=4111-1111-1111-1111"),
        ("/v1/payments", "reference=x&reference=4111+1111+1111+1111"),
        ("/v1/payments", "4111111111111111=x"),
    ],
)
def test_urls_are_guarded(path: str, query: str) -> None:
    with pytest.raises(CardNumberRefused) as raised:
        card_guard.refuse_in_url(_request(path, query))
    assert "4111" not in raised.value.detail


def test_cursors_are_exempt() -> None:
    card_guard.refuse_in_url(_request("/v1/payments", "cursor=4111111111111111"))


@pytest.mark.parametrize(
    "body",
    [
        {"description": "card 4111111111111111"},
        {"metadata": {"4111111111111111": "x"}},
        {"a": [{"b": ["4111-1111-1111-1111"]}]},
        "4111111111111111",
    ],
)
def test_every_string_of_a_body_is_guarded(body: object) -> None:
    with pytest.raises(CardNumberRefused):
        card_guard.refuse_in_body(body)


def test_amounts_and_plain_words_pass() -> None:
    card_guard.refuse_in_body({"amount": 411111111111, "description": "12 books", "metadata": {"order": "10-20-30"}})


def test_the_problem_does_not_repeat_the_number() -> None:
    app = Flask("guarded", static_folder=None)
    problems.register(app)

    @app.before_request
    def guard() -> None:
        from flask import request

        card_guard.refuse_in_url(request)
        if request.method == "POST":
            card_guard.refuse_in_body(strict_json.read(request))

    responses = [
        app.test_client().get("/x?reference=4111111111111111"),
        app.test_client().post("/x", json={"card": "4111111111111111"}),
    ]
    for response in responses:
        assert response.status_code == 400
        assert b"4111" not in response.data
