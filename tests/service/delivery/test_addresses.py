"""A merchant may set URLs of the form that the OpenAPI document shows and no others, and all of them can be called."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.delivery.addresses import MAX_URL_LENGTH, WEBHOOK_URL, AddressRefused, check_new_url, check_url

_MATCHING = st.from_regex(WEBHOOK_URL, fullmatch=True).filter(lambda url: len(url) <= MAX_URL_LENGTH)


@st.composite
def _nearly_matching(draw: st.DrawFn) -> str:
    """A URL that matches, with one character put in or left out."""
    url = draw(_MATCHING)
    at = draw(st.integers(min_value=0, max_value=len(url)))
    return url[:at] + draw(st.characters(max_codepoint=0x17F) | st.just("")) + url[at + draw(st.booleans()) :]


def _is_accepted(url: str, *, allow_local: bool = False) -> bool:
    try:
        check_new_url(url, allow_local=allow_local)
    except AddressRefused:
        return False
    return True


@given(_MATCHING)
def test_urls_of_the_documented_form_may_be_set_and_called(url: str) -> None:
    assert _is_accepted(url)
    assert check_url(url).scheme == "https"


@given(_nearly_matching())
def test_no_other_url_may_be_set(url: str) -> None:
    assert _is_accepted(url) == (len(url) <= MAX_URL_LENGTH and re.fullmatch(WEBHOOK_URL, url) is not None)


@pytest.mark.parametrize(
    "url",
    ["https://shop.example*/", "https://shop.example./", "https://my_shop.example/", "https://-shop.example/",
     "https://shop..example/", "https://shop.example/{id}", "https://shop.example/#", "https://shop.example/a|b",
     "https://93.184.216.34/", "https://[2606:2800:220::1]/", "HTTPS://shop.example/", "https://shop.example:/",
     "https://@shop.example/"],
)  # fmt: skip
def test_undocumented_forms_are_refused(url: str) -> None:
    assert not _is_accepted(url)
    assert not _is_accepted(url, allow_local=True)


@pytest.mark.parametrize("url", ["https://93.184.216.34/", "https://shop.example./", "https://my_shop.example/{id}"])
def test_old_endpoints_are_still_called(url: str) -> None:
    assert check_url(url).geturl() == url


def test_a_receiver_on_this_machine_needs_permission() -> None:
    assert _is_accepted("http://127.0.0.1:4242/", allow_local=True)
    assert not _is_accepted("http://127.0.0.1:4242/")
