"""The caller's choices are checked before anything starts."""

import pytest

from rehearsal.cli.options import Decision, OptionError, Options
from rehearsal.runner.ports import Ports


def test_without_a_terminal_the_rehearsal_approves_and_ends() -> None:
    options = Options.read({}, interactive=False)
    assert (options.decision, options.keep, options.revision, options.deployed) == (
        Decision.AUTO,
        False,
        "HEAD",
        "HEAD",
    )


def test_at_a_terminal_it_asks_and_keeps_serving() -> None:
    options = Options.read({}, interactive=True)
    assert (options.decision, options.keep) == (Decision.ASK, True)


def test_approving_beforehand_means_running_to_the_end() -> None:
    assert Options.read({"APPROVE": "auto"}, interactive=True).keep is False


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"APPROVE": "yes"}, "APPROVE=yes is not known; use APPROVE=auto"),
        ({"REHEARSE_PORT": "http"}, "REHEARSE_PORT=http is not a port"),
        ({"REHEARSE_PORT": "70000"}, "REHEARSE_PORT=70000 is not a port"),
    ],
)
def test_a_wrong_value_is_refused_with_what_may_be_used(variables: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Options.read(variables, interactive=False)


def test_a_load_balancer_keeps_its_port_and_the_next_gets_the_next() -> None:
    ports = Ports(9443)
    assert [ports.port_for(name, 443) for name in ("alb-dev", "alb-prod", "alb-dev")] == [9443, 9444, 9443]
    assert ports.port_for("alb-dev", 80) == 0
    assert Ports(0).port_for("alb-dev", 443) == 0
