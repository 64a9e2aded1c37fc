"""Work in a network namespace of its own, and every packet that it sends.

The namespace has a loopback and a default route, over IPv4 and IPv6, to a TUN device that nobody
reads from: whatever tries to reach another host sends its packet, and it is seen. What does not
take the network is not, a daemon's Unix socket say.
"""

from __future__ import annotations

import ctypes
import fcntl
import ipaddress
import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_EVERYTHING = 0x0003  # ETH_P_ALL
_TUNSETIFF, _IFF_TUN_NO_PI = 0x400454CA, 0x1001
_SOL_PACKET, _PACKET_STATISTICS, _SO_RCVBUFFORCE = 263, 6, 33
_IPV4, _IPV6 = 0x0800, 0x86DD
_TCP, _UDP, _HOP_BY_HOP, _ICMPV6 = 6, 17, 0, 58
_SETUP = """\
sysctl -qw net.ipv6.conf.all.router_solicitations=0 net.ipv6.conf.default.router_solicitations=0
ip link set lo up
ip address add 10.66.0.2/24 dev sink
ip address add fd66::2/64 dev sink nodad
ip link set sink up
ip route add default dev sink
ip -6 route add default dev sink
"""


@dataclass(frozen=True)
class Packet:
    """One that was sent.

    Attributes:
        device: ``lo`` or ``sink``.
        protocol: of IP, or of the link where it is none.
        target: address; empty where the protocol is none of IP's.
        ports: whence and where to; 0 where the protocol has none.
    """

    device: str
    protocol: int
    target: str
    ports: tuple[int, int]

    def is_of(self, port: int) -> bool:
        """Whether it belongs to a TCP connection within the host, to a server at this port."""
        return self.device == "lo" and self.protocol == _TCP and port in self.ports


def alone(work: Callable[[], T]) -> tuple[T, list[Packet]]:
    """Runs it in a thread, and what it starts, in a namespace of their own.

    Returns:
        What it returned, and what was sent meanwhile.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_alone, work).result()


def _alone(work: Callable[[], T]) -> tuple[T, list[Packet]]:
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        pytest.skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    with ExitStack() as stack:
        try:
            sink = stack.enter_context(Path("/dev/net/tun").open("r+b", buffering=0))
            fcntl.ioctl(sink, _TUNSETIFF, struct.pack("16sH22x", b"sink", _IFF_TUN_NO_PI))
        except OSError as error:
            pytest.skip(f"no TUN device: {error}")
        _set_up()
        tap = stack.enter_context(
            socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERYTHING))
        )
        tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 27)
        found = work()
        tap.setblocking(False)
        return found, list(_sent(tap))


def _set_up() -> None:
    for line in _SETUP.splitlines():
        done = subprocess.run(line.split(), capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no network in a namespace: {line}: {done.stderr}")


def _sent(tap: socket.socket) -> Iterator[Packet]:
    try:
        while True:
            # Headers are all that is wanted.
            data, (device, link, kind, *_) = tap.recvfrom(128)
            if kind == socket.PACKET_OUTGOING and not _of_the_kernel(link, data):
                yield _packet(device, link, data)
    except BlockingIOError:
        _, dropped = struct.unpack("II", tap.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        assert not dropped, "more was sent than could be looked at"


def _of_the_kernel(link: int, data: bytes) -> bool:
    """Its word on IPv6 neighbours and groups, which nobody asked for."""
    return link == _IPV6 and data[6] in (_HOP_BY_HOP, _ICMPV6)


def _packet(device: str, link: int, data: bytes) -> Packet:
    if link == _IPV4:
        protocol, address, rest = data[9], data[16:20], data[4 * (data[0] & 15) :]
    elif link == _IPV6:
        protocol, address, rest = data[6], data[24:40], data[40:]
    else:
        return Packet(device, link, "", (0, 0))
    ports = struct.unpack("!HH", rest[:4]) if protocol in (_TCP, _UDP) else (0, 0)
    return Packet(device, protocol, str(ipaddress.ip_address(address)), ports)
