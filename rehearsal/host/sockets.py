"""Loopback sockets."""

import errno
import socket

from rehearsal.host.errors import PortInUseError

LOOPBACK = "127.0.0.1"
_BACKLOG = 1024


def listen(port: int, purpose: str) -> socket.socket:
    """Listen on a loopback port; 0 takes any free one.

    Raises:
        PortInUseError: The port cannot be used; the message names it and its purpose.

    """
    try:
        return socket.create_server((LOOPBACK, port), backlog=_BACKLOG)
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        problem = "is in use" if error.errno == errno.EADDRINUSE else "needs privileges"
        raise PortInUseError(
            f"port {port} for {purpose} {problem}: stop what uses it, or choose another port (0 = any free port)"
        ) from error


def free_port() -> int:
    """Return a loopback port that is free at this moment."""
    with socket.create_server((LOOPBACK, 0)) as server:
        return int(server.getsockname()[1])
