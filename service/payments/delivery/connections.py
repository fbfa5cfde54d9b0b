"""Connecting to the first of several addresses that accepts, within a deadline (Happy Eyeballs, RFC 8305)."""

import errno
import selectors
import socket
import time
from collections.abc import Sequence

#: Seconds for one connection to be made, or for one TLS handshake.
STEP_SECONDS = 5.0
#: Seconds after which the next address is tried as well; less if there are many, so that all get their chance in time.
_STAGGER = 0.25
_IN_PROGRESS = {0, errno.EINPROGRESS, errno.EWOULDBLOCK}


class Deadline:
    """The end of an exchange as a whole, whatever it consists of."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: The deadline has passed.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def connect(addresses: Sequence[str], port: int, deadline: Deadline) -> tuple[socket.socket, str]:
    """Connect to one of ``addresses``, in their order, each a moment after the one before; return it too.

    Raises:
        TimeoutError: The deadline has passed.
        OSError: None accepts.
    """
    limit = Deadline(min(STEP_SECONDS, deadline.left()))
    try:
        return _race(addresses, port, limit)
    except TimeoutError as error:
        deadline.left()
        raise ConnectionError("no address accepts a connection") from error


def _race(addresses: Sequence[str], port: int, limit: Deadline) -> tuple[socket.socket, str]:
    waiting = list(reversed(addresses))
    stagger = min(_STAGGER, STEP_SECONDS / 2 / len(addresses))
    error = OSError("no address to connect to")
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or selector.get_map():
                if waiting:
                    error = _start(selector, waiting.pop(), port) or error
                if not selector.get_map():
                    continue
                pause = min(stagger, limit.left()) if waiting else limit.left()
                for key, _ in selector.select(pause):
                    connected: socket.socket = selector.unregister(key.fileobj).fileobj  # type: ignore[assignment]  # registered below
                    if failed := connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                        error = OSError(failed, "the connection was refused")
                        connected.close()
                    else:
                        return connected, key.data
        finally:
            for key in list(selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]  # a socket
    raise error


def _start(selector: selectors.BaseSelector, address: str, port: int) -> OSError | None:
    """Begin to connect; return why that is impossible, such as a family that this machine has no route for."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        connecting = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        return error
    connecting.settimeout(0)
    failed = connecting.connect_ex((address, port))
    if failed not in _IN_PROGRESS:
        connecting.close()
        return OSError(failed, "the connection could not be begun")
    selector.register(connecting, selectors.EVENT_WRITE, address)
    return None
