"""docs/api.md says what the code does: every error, every token, every advice."""

import pytest

from payments.core.problems import all_errors
from payments.domain.outcomes import Advice
from payments.processors.sandbox_tokens import TOKENS
from payments.server.reader import _DETAILS as REFUSALS
from tests.docs.guide import PAGE, blocks, is_shown, table

TEXT = PAGE.read_text()


def test_it_says_what_to_do_with_every_error() -> None:
    rows = table(TEXT, "`code` | status | what to do")
    told = [(code.strip("`"), int(status)) for code, status, _ in rows]
    assert sorted(told) == sorted((error.code, error.status) for error in all_errors())
    assert all(advice.endswith(".") for _, _, advice in rows)


def test_it_says_what_the_server_itself_refuses() -> None:
    (line,) = [line for line in TEXT.splitlines() if line.startswith("The server itself refuses")]
    told = {int(word.strip("(,")) for word in line.replace("(", " ").split() if word.strip("(,").isdigit()}
    named = {error.status for error in all_errors()}
    assert told == {status.value for status in REFUSALS} - named


def test_it_says_what_to_do_with_every_advice() -> None:
    told = [advice.strip("`") for advice, _ in table(TEXT, "`advice` | what to do")]
    assert sorted(told) == sorted(Advice)


def test_it_has_every_token_once() -> None:
    told = [token.strip("`") for _, token, _ in table(TEXT, "to test | `payment_method` | what happens")]
    assert sorted(told) == sorted(TOKENS)


def test_every_block_of_code_is_run_or_is_output() -> None:
    """A command in any other notation would be run by nobody."""
    found = blocks(TEXT)
    assert TEXT.count("```") == 2 * len(found)
    assert {block.language for block in found} == {"bash", "http", "json", "python", "text"}
    assert not [line for line in TEXT.split("```")[::2] if "\n    " in line]


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ('{"a": 1, ...}', '{"a":1,"b":2}'),
        ("one\ntwo", "one\ntwo\nthree"),
        ("x ...\ny", "x and so on\ny"),
    ],
)
def test_output_is_compared_as_far_as_it_is_shown(shown: str, real: str) -> None:
    assert is_shown(shown, real)
    assert not is_shown(shown, real.replace("a", "c").replace("two", "2").replace("y", "z"))
