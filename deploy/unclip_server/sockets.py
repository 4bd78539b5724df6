"""Listening sockets, bound before anything else is loaded."""

import errno
import socket

from unclip_pairs.errors import UserError


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening socket on that address; `UserError` when the port is busy or forbidden, or the address is not this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(f"the host {host!r} is not an address ({error}); use 127.0.0.1, or an address of this machine") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} on {host} is in use; choose another with --port, or stop the program that holds it") from error
        raise UserError(f"cannot listen on {host}:{port} ({error.strerror}); choose another --host or --port") from error
    return listening
