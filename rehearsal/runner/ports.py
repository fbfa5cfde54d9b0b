"""The local ports of load balancers: predictable ones, so that users can keep URLs."""

import threading

from rehearsal.host.sockets import listen

_HTTPS = 443
_USUAL_ENVIRONMENTS = 2


class Ports:
    """Allocates ports upwards from `first` for HTTPS listeners; other listeners get any free port.

    A load balancer always gets the same port. With `first` 0 every listener gets any free port.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._lock = threading.Lock()
        self._allocated: dict[str, int] = {}

    def check(self) -> None:
        """Check the ports of two environments before minutes have passed.

        Raises:
            PortInUseError: A port cannot be used.

        """
        if self._first:
            for port in range(self._first, self._first + _USUAL_ENVIRONMENTS):
                listen(port, "a load balancer (REHEARSE_PORT)").close()

    def port_for(self, load_balancer: str, listener_port: int) -> int:
        """Return the local port of a listener; 0 for any free one."""
        if self._first == 0 or listener_port != _HTTPS:
            return 0
        with self._lock:
            return self._allocated.setdefault(load_balancer, self._first + len(self._allocated))
