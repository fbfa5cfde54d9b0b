"""Which local port each load balancer gets: predictable ones, so that a person can keep a URL."""

import socket
import threading

_HTTPS = 443
_USUAL_ENVIRONMENTS = 2


class PortInUseError(Exception):
    """Something else listens on a port that the rehearsal wants."""


class Ports:
    """Hands out ports upwards from `first` for HTTPS; HTTP (redirect) listeners take any free port.

    The same load balancer always gets the same port. `first` 0 means any free port for everything.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._lock = threading.Lock()
        self._given: dict[str, int] = {}

    def check(self) -> None:
        """Find a port that is in use before minutes have been spent.

        Raises:
            PortInUseError: naming the port and the way out.
        """
        if self._first == 0:
            return
        for port in range(self._first, self._first + _USUAL_ENVIRONMENTS):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    msg = f"port {port} of this machine is in use; choose others with REHEARSE_PORT=... (0 = any free)"
                    raise PortInUseError(msg) from error

    def port_for(self, load_balancer: str, listener_port: int) -> int:
        """The local port of a listener; 0 = any free one."""
        if self._first == 0 or listener_port != _HTTPS:
            return 0
        with self._lock:
            return self._given.setdefault(load_balancer, self._first + len(self._given))
