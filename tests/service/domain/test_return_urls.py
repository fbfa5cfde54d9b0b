"""Return URLs: the payment's ID is added to the query, and the rest is left as the merchant wrote it."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain.return_urls import with_payment_id

SHOP = "https://shop.example/thanks"
ADDED = {
    "nothing else": (SHOP, f"{SHOP}?payment_id=pay_1"),
    "host only": ("https://shop.example", "https://shop.example?payment_id=pay_1"),
    "empty query": (f"{SHOP}?", f"{SHOP}?payment_id=pay_1"),
    "query": (f"{SHOP}?b=2&a=1", f"{SHOP}?b=2&a=1&payment_id=pay_1"),
    "fragment": (f"{SHOP}#done", f"{SHOP}?payment_id=pay_1#done"),
    "query and fragment": (f"{SHOP}?a=1#done", f"{SHOP}?a=1&payment_id=pay_1#done"),
    "query in a fragment": (f"{SHOP}#/done?a=1#top", f"{SHOP}?payment_id=pay_1#/done?a=1#top"),
    "encoded": (f"{SHOP}?q=%C3%A4+%26%3d", f"{SHOP}?q=%C3%A4+%26%3d&payment_id=pay_1"),
    "repeated": (f"{SHOP}?a=1&a=1", f"{SHOP}?a=1&a=1&payment_id=pay_1"),
    "no value": (f"{SHOP}?debug&a=", f"{SHOP}?debug&a=&payment_id=pay_1"),
    "signs in a value": (f"{SHOP}?next=/a?b=c", f"{SHOP}?next=/a?b=c&payment_id=pay_1"),
    "another name": (f"{SHOP}?my_payment_id=1&payment_ids=2", f"{SHOP}?my_payment_id=1&payment_ids=2&payment_id=pay_1"),
    "the name as a value": (f"{SHOP}?a=payment_id", f"{SHOP}?a=payment_id&payment_id=pay_1"),
}
REPLACED = {
    "alone": "?payment_id=pay_0",
    "no value": "?payment_id",
    "with a sign": "?payment_id=a=b",
    "several": "?payment_id=pay_0&payment_id=pay_2",
    "encoded": "?payment%5Fid=pay_0",
}


@pytest.mark.parametrize(("url", "expected"), ADDED.values(), ids=ADDED)
def test_the_rest_stays_as_it_was_written(url: str, expected: str) -> None:
    assert with_payment_id(url, "pay_1") == expected


@pytest.mark.parametrize("query", REPLACED.values(), ids=REPLACED)
def test_a_parameter_of_that_name_is_replaced(query: str) -> None:
    assert with_payment_id(f"{SHOP}{query}#done", "pay_1") == f"{SHOP}?payment_id=pay_1#done"
    assert with_payment_id(f"{SHOP}{query}&a=1", "pay_1") == f"{SHOP}?a=1&payment_id=pay_1"


@given(st.lists(st.sampled_from(["a=1", "b=%3D", "c", "payment_id=pay_0", "payment%5fid=", "d=+x"])))
def test_a_page_reads_one_payment_and_all_its_own_parameters(parts: list[str]) -> None:
    after = parse_qsl(urlsplit(with_payment_id(f"{SHOP}?{'&'.join(parts)}", "pay_1")).query, keep_blank_values=True)
    own = {"a=1": ("a", "1"), "b=%3D": ("b", "="), "c": ("c", ""), "d=+x": ("d", " x")}
    assert after == [*(own[part] for part in parts if part in own), ("payment_id", "pay_1")]


@pytest.mark.parametrize("url", [SHOP, f"{SHOP}?a=1&payment_id=pay_0#done"], ids=["plain", "all parts"])
def test_adding_the_id_twice_changes_nothing(url: str) -> None:
    once = with_payment_id(url, "pay_1")
    assert with_payment_id(once, "pay_1") == once
