"""Statements and round trips are counted by PostgreSQL's own protocol."""

import socket

import pytest

from benchmarks.wire import Messages, statements, tap


def message(kind: str, content: bytes) -> bytes:
    return kind.encode() + (len(content) + 4).to_bytes(4) + content


STARTUP = (8).to_bytes(4) + (196_608).to_bytes(4)


def test_messages_are_found_however_they_arrive() -> None:
    stream = STARTUP + message("Q", b"BEGIN\0") + message("E", b"\0" * 5) + message("S", b"")
    whole = list(Messages().feed(stream))
    assert [kind for kind, _ in whole] == [0, ord("Q"), ord("E"), ord("S")]
    pieces = Messages()
    assert [found for byte in stream for found in pieces.feed(bytes([byte]))] == whole


def test_every_statement_of_a_query_counts_and_syncs_do_not() -> None:
    assert statements(ord("Q"), b"BEGIN; SET LOCAL ROLE merchant; SET LOCAL app.livemode = 'false'\0") == 3
    assert statements(ord("Q"), b"COMMIT;\0") == 1
    assert statements(ord("E"), b"\0\0\0\0\0") == 1
    assert statements(ord("S"), b"") == statements(ord("P"), b"s\0SELECT 1\0\0\0") == 0


def test_a_connection_that_is_left_ends_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with tap(server.getsockname()[1]) as (port, _):
            client = socket.create_connection(("127.0.0.1", port), timeout=30)
            accepted, _ = server.accept()
            client.sendall(STARTUP)
            assert accepted.recv(100) == STARTUP
        with client, accepted:
            assert client.recv(1) == b"", "the tap has closed it"
    assert caplog.records == []
