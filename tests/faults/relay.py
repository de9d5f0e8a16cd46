"""What stands between a client and a server, counts the bytes that pass, and does harm after so many of them."""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, NamedTuple

LOOPBACK = "127.0.0.1"
AT_ONCE = 1 << 14  # bytes
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing tells the other side that something broke
REFUSAL = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Direction = Literal["up", "down"]
"""To the server, and from it."""


class Harm(NamedTuple):
    direction: Direction
    after: int  # bytes that have passed in this direction; the next one does not
    act: Callable[[], None]  # what happens then, besides that all connections break
    refuses: bool = False  # whether each request is answered with 500 from then on


class Relay:
    """Listens on `port` of the loopback interface until `close`."""

    def __init__(self, server: int):
        self.server = server
        self.passed: dict[Direction, int] = {"up": 0, "down": 0}
        self.harm: Harm | None = None
        self.refuses = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def expect(self, harm: Harm | None) -> None:
        """Count from nothing; None lets everything pass."""
        with self._lock:
            self.passed = {"up": 0, "down": 0}
            self.harm, self.refuses = harm, False

    @property
    def harmed(self) -> bool:
        """Whether what was expected has happened, or nothing was expected."""
        return self.harm is None

    def close(self) -> None:
        self._listener.close()
        self._break_all()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(
                target=self._refuse if self.refuses else self._connect, args=(client,), daemon=True
            ).start()

    def _refuse(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            client.recv(AT_ONCE)
            client.sendall(REFUSAL)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection((LOOPBACK, self.server))
        except OSError:
            _break(client)
            return
        with self._lock:
            self._open |= {client, server}
        threading.Thread(target=self._pass, args=(client, server, "up"), daemon=True).start()
        self._pass(server, client, "down")

    def _pass(self, source: socket.socket, to: socket.socket, direction: Direction) -> None:
        with suppress(OSError):
            while data := source.recv(AT_ONCE):
                allowed, harm = self._count(len(data), direction)
                to.sendall(data[:allowed])
                if harm:
                    harm.act()
                    self._break_all()
                    return
            to.shutdown(socket.SHUT_WR)

    def _count(self, size: int, direction: Direction) -> tuple[int, Harm | None]:
        """How many of the bytes may pass, and what is to be done after them."""
        with self._lock:
            before = self.passed[direction]
            self.passed[direction] += size
            harm = self.harm
            if harm is None or harm.direction != direction or before + size <= harm.after:
                return size, None
            self.harm, self.refuses = None, harm.refuses
            return harm.after - before, harm

    def _break_all(self) -> None:
        with self._lock:
            broken, self._open = self._open, set()
        for connection in broken:
            _break(connection)


def _break(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
