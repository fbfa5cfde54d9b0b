"""Loopback ports."""

import pytest

from rehearsal.host.errors import PortInUseError
from rehearsal.host.sockets import LOOPBACK, free_port, listen


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port()
    with listen(port, "a test") as server:
        assert server.getsockname() == (LOOPBACK, port)


def test_a_port_in_use_is_named_with_its_purpose() -> None:
    with listen(0, "a test") as server:
        port = server.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port} for another test is in use"):
            listen(port, "another test")
