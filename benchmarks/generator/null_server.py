"""A server that answers every request with the same bytes: what the generator can do when nothing else works.

`python -m benchmarks.generator.null_server [CERTIFICATE KEY]` writes its port to standard output. Without a
certificate it speaks HTTP, as a receiver of webhooks.
"""

import asyncio
import json
import ssl
import sys

_BODY = json.dumps({"id": "pay_" + "0" * 26, "object": "payment", "status": "succeeded", "filler": "x" * 380}).encode()
#: 201, which the flow `create` expects; of about the size of a payment.
RESPONSE = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY)
) + _BODY


class _Null(asyncio.Protocol):
    """Takes each arrival of bytes for a whole request, as the generator sends one."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP connection has this kind
        self._transport = transport

    def data_received(self, _: bytes) -> None:
        if self._transport is not None:
            self._transport.write(RESPONSE)


async def _serve(certificate: str | None = None, key: str | None = None) -> None:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    server = await asyncio.get_running_loop().create_server(_Null, "127.0.0.1", 0, ssl=context)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:3]))
