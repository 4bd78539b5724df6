"""This file is the planted web as a process of its own, for as long as the demo crawls it."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from unclip_assets.leash import leashed
from unclip_assets.trainer import last_line
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store

HOST = "127.0.0.1"
PATIENCE_S = 60


def answers(port: int) -> bool:
    """Whether somebody listens on the port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


@contextmanager
def planted_web(store: Store, port: int) -> Iterator[None]:
    """Serves the starter site while the block runs; `UserError` when the port is taken."""
    if answers(port):
        raise UserError(f"port {port} is in use by another process; choose another one with --port, the same in every run of this home")
    log = store.path("logs/planted_web.log")
    command = [sys.executable, "-m", "unclip_orchestration.cli", "--home", str(store.root), "starter", "serve", "--port", str(port)]
    with subprocess.Popen(leashed(log, command), stdin=subprocess.DEVNULL) as web:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not answers(port):
                if web.poll() is not None or time.monotonic() > deadline:
                    raise UserError(f"the planted web did not start: {last_line(log)}")
                time.sleep(0.1)
            yield
        finally:
            web.terminate()
