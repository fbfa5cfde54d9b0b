"""A TCP proxy in front of PostgreSQL that loses a connection at a chosen message, as a failover or a network does."""

import contextlib
import socket
import threading
from enum import Enum
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_CHUNK = 65_536


class Lost(Enum):
    """What never arrives."""

    #: The server does not get the message: it rolls back.
    REQUEST = "request"
    #: The server has done it, and nobody hears of it.
    ANSWER = "answer"


class LossyProxy:
    """Forwards connections to the server of ``conninfo``. After :meth:`lose`, it cuts the one that sends a message."""

    def __init__(self, conninfo: str) -> None:
        self._server = str(conninfo_to_dict(conninfo)["host"])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.conninfo = make_conninfo(
            conninfo, host="127.0.0.1", port=self._listener.getsockname()[1], sslmode="disable", gssencmode="disable"
        )
        self._lock = threading.Lock()
        self._wanted: tuple[bytes, Lost, int] | None = None
        #: Connections that were cut.
        self.cut = 0
        #: What clients have sent: one packet for each round trip that is not larger.
        self.packets = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone leaves the thread in accept(), which would go on with whatever gets the same file descriptor.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def lose(self, message: bytes, lost: Lost, *, number: int = 1) -> None:
        """Cut the connection at the ``number``-th packet from now on that contains ``message``."""
        with self._lock:
            self._wanted = (message, lost, number)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(f"{self._server}/.s.PGSQL.5432")
                threading.Thread(target=self._requests, args=(client, server), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        muted = threading.Event()
        answers = threading.Thread(target=self._answers, args=(server, client, muted), daemon=True)
        answers.start()
        with client, server, contextlib.suppress(OSError):
            while data := client.recv(_CHUNK):
                with self._lock:
                    self.packets += 1
                lost = self._is_lost(data)
                if lost is Lost.ANSWER:
                    muted.set()
                    server.sendall(data)
                    server.shutdown(socket.SHUT_WR)  # the server finishes what it has got, then hangs up
                    answers.join(10)
                if lost is not None:
                    break
                server.sendall(data)
            for end in (client, server):  # closing alone would wait for the thread that reads the answers
                end.shutdown(socket.SHUT_RDWR)

    def _answers(self, server: socket.socket, client: socket.socket, muted: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK):
                if not muted.is_set():
                    client.sendall(data)

    def _is_lost(self, data: bytes) -> Lost | None:
        with self._lock:
            if self._wanted is None or self._wanted[0] not in data:
                return None
            message, lost, number = self._wanted
            if number > 1:
                self._wanted = (message, lost, number - 1)
                return None
            self._wanted = None
            self.cut += 1
            return lost
