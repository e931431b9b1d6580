"""Where servers of tests listen that cannot be given port 0."""

import os

from controller.demo.processes import free_ports


def own_address() -> str:
    """A loopback address that no other test process uses, so that free ports on it stay free."""
    pid = os.getpid()
    return f"127.{64 + (pid >> 16) % 64}.{(pid >> 8) % 256}.{pid % 254 + 1}"


def free_port() -> int:
    """A port on which nothing listens at this process's own address."""
    return free_ports(1, own_address())[0]
