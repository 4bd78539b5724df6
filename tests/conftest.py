"""This file is the suite's guard: no test may reach an address that is not loopback."""

import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The browser tests' own option; here because pytest reads options before it finds their folder."""
    parser.addoption("--screenshots", default="", help="a folder for the screenshots of the browser tests")


def is_loopback(address: object) -> bool:
    """Unix sockets and 127.0.0.0/8, ::1 and localhost pass; every other address does not."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    try:
        return ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return host in ("localhost", "")


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every connect of this process is checked; what a test starts itself binds loopback by default."""

    def guarded(name: str) -> None:
        original = getattr(socket.socket, name)

        def checked(self: socket.socket, address: Any, *rest: Any) -> Any:
            if not is_loopback(address):
                raise AssertionError(f"a test tried to reach {address!r}: tests talk to loopback only")
            return original(self, address, *rest)

        monkeypatch.setattr(socket.socket, name, checked)

    for name in ("connect", "connect_ex"):
        guarded(name)
    yield
