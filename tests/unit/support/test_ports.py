"""Ports for servers: free, never twice the same, and out of reach of outgoing connections."""

from __future__ import annotations

import socket

from tests.support.ports import LOOPBACK, free_port


def test_ports_are_free_and_never_given_twice() -> None:
    """Each can be listened on, all at once."""
    ports = [free_port() for _ in range(50)]

    listeners = [socket.create_server((LOOPBACK, port)) for port in ports]
    for listener in listeners:
        listener.close()

    assert len(set(ports)) == 50


def test_ports_lie_outside_the_range_of_outgoing_connections() -> None:
    """Else a client that retries could take its dead server's port."""
    ports = [free_port() for _ in range(50)]

    with socket.create_server((LOOPBACK, 0)) as given_by_the_kernel:
        assert max(ports) < given_by_the_kernel.getsockname()[1]
