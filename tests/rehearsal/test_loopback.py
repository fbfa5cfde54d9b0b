"""Nothing of a rehearsal can be reached from another machine."""

import ipaddress

import psutil
import pytest

from tests.listeners import listening_addresses
from tests.rehearsal.conftest import Session

pytestmark = [pytest.mark.rehearsal, pytest.mark.takes_minutes, pytest.mark.xdist_group("fixture-session")]


def test_everything_listens_on_loopback_only(session: Session) -> None:
    addresses = listening_addresses([psutil.Process()])
    # The emulator, the control API, two load balancers, two database gateways and two tasks.
    assert len(addresses) >= 8
    assert [address for address in addresses if not ipaddress.ip_address(address).is_loopback] == []
