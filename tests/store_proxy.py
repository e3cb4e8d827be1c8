"""A proxy before the lake's store: counts the requests of every client, the JVM included, and lets some of them fail.

It stands between the tests and S3 all the time, so it does next to nothing: bytes pass as they come. A request begins
where bytes from a client look like a request line; HTTP clients of AWS send one at a time per connection.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from typing import Final

_HOST: Final = "127.0.0.1"
_REQUEST: Final = re.compile(rb"([A-Z]+) (/\S*) HTTP/1\.1\r\n")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_WAITS: Final = re.compile(rb"\r\nexpect: *100-continue\r\n", re.IGNORECASE)
_GO_ON: Final = b"HTTP/1.1 100"
LATE_SECONDS: Final = 0.3
SORRY: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>InternalError</Code><Message>We encountered an '
    b"internal error. Please try again.</Message><RequestId>1</RequestId></Error>"
)
_FAILURE: Final = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(SORRY), SORRY)
)


class StoreProxy:
    """Listens on a port of its own, in a thread of its own, and passes everything on to one store."""

    def __init__(self, store: str) -> None:
        self.port = int(store.rsplit(":", 1)[1])
        self.requests: Counter[str] = Counter()
        self.loop = asyncio.new_event_loop()
        self._server = self.loop.run_until_complete(self.loop.create_server(lambda: _Client(self), _HOST, 0))
        self.endpoint = f"http://{_HOST}:{self._server.sockets[0].getsockname()[1]}"
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections, and let those go that are there."""
        self.loop.call_soon_threadsafe(self._server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def fault(self, method: str, path: str) -> str:
        """Choose what happens to a request: nothing (empty), ``refused``, ``lost`` (its answer) or ``slow``."""
        return ""


class _Client(asyncio.Protocol):
    """One connection of a client, and the one to the store that belongs to it."""

    def __init__(self, proxy: StoreProxy) -> None:
        self._proxy = proxy
        self._early: list[bytes] = []
        self._store: asyncio.Transport | None = None
        self._fault = ""
        self._left = 0
        self.client: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.client = transport
        self._opening = self._proxy.loop.create_task(self._open())

    async def _open(self) -> None:
        proxy = self._proxy
        try:
            self._store, _ = await proxy.loop.create_connection(lambda: _Store(self), _HOST, proxy.port)
        except OSError:
            self.client.abort()
            return
        for data in self._early:
            self._store.write(data)

    def data_received(self, data: bytes) -> None:
        request = _REQUEST.match(data)
        if request:
            self._begin(request[1].decode(), request[2].decode(), data)
        if self._fault == "refused":
            self._left -= len(data)
            if self._left <= 0:
                self.fail()
        elif self._fault == "slow":
            self._fault = ""
            self.client.pause_reading()
            self._proxy.loop.call_later(LATE_SECONDS, self._pass_late, data)
        else:
            self._pass(data)

    def _begin(self, method: str, path: str, data: bytes) -> None:
        self._proxy.requests[method] += 1
        self._fault = self._proxy.fault(method, path)
        head = data[: data.find(b"\r\n\r\n") + 4]
        length = _LENGTH.search(head)
        # Who waits to be told to go on need not send the rest.
        self._left = len(head) + (int(length[1]) if length and not _WAITS.search(head) else 0)

    def _pass(self, data: bytes) -> None:
        if self._store is None:
            self._early.append(data)
        else:
            self._store.write(data)

    def _pass_late(self, data: bytes) -> None:
        self._pass(data)
        if not self.client.is_closing():
            self.client.resume_reading()

    def answered(self, data: bytes) -> None:
        """Pass an answer on, or lose it."""
        if self._fault == "lost" and not data.startswith(_GO_ON):
            self.fail()
        elif not self.client.is_closing():
            self.client.write(data)

    def fail(self) -> None:
        """Tell the client that the store has failed."""
        if not self.client.is_closing():
            self.client.write(_FAILURE)
        self.close()

    def close(self) -> None:
        """End both connections."""
        self.client.close()
        if self._store is not None:
            self._store.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._store is not None:
            self._store.close()


class _Store(asyncio.Protocol):
    """The store's side of a connection."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.answered(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.client.close()
