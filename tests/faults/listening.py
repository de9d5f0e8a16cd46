"""Which sockets wait for connections, and at which addresses: as the kernel says, not as anybody claims."""

import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

LISTEN = "0A"  # TCP_LISTEN in <net/tcp_states.h>


class Listener(NamedTuple):
    address: IPv4Address | IPv6Address
    port: int

    @property
    def is_local(self) -> bool:
        return self.address.is_loopback


def listeners(pids: Iterable[int]) -> set[Listener]:
    """Of these processes, over TCP."""
    inodes = {inode for pid in pids for inode in _sockets(pid)}
    return {listener for listener, inode in _all_listeners() if inode in inodes}


def _sockets(pid: int) -> Iterator[str]:
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            kind, _, inode = str(link.readlink()).partition(":")
            if kind == "socket":
                yield inode.strip("[]")
    except OSError:
        return  # it ended while we looked


def _all_listeners() -> Iterator[tuple[Listener, str]]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == LISTEN:
                address, _, port = local.partition(":")
                yield Listener(_address(address), int(port, 16)), rest[5]


def _address(words: str) -> IPv4Address | IPv6Address:
    """The kernel prints each 32 bits as a number of this machine's byte order."""
    packed = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    address = ip_address(packed)
    return getattr(address, "ipv4_mapped", None) or address


def own_address() -> str:
    """An address of this machine that is not loopback; empty where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: an address for documents
        except OSError:
            return ""
        return probe.getsockname()[0]
