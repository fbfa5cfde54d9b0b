"""Which local port each load balancer gets: predictable ones, so that a person can keep a URL."""

import threading


class Ports:
    """Hands out ports upwards from `first` for HTTPS; HTTP (redirect) listeners take any free port.

    The same load balancer always gets the same port. `first` 0 means any free port for everything.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._lock = threading.Lock()
        self._given: dict[str, int] = {}

    def port_for(self, load_balancer: str, listener_port: int) -> int:
        """The local port of a listener; 0 = any free one."""
        if self._first == 0 or listener_port != 443:  # the one well-known port of HTTPS
            return 0
        with self._lock:
            return self._given.setdefault(load_balancer, self._first + len(self._given))
