"""Child process: a command that ends when its parent ends, even when the parent is killed, with its output in a log file.

python -m unclip_assets.trainings.child_process PARENT_PID LOG COMMAND [ARGUMENT ...]
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1


def child_command(log: Path, command: list[str]) -> list[str]:
    """The command line that runs `command` as a child of this process, with its output at the end of `log`."""
    return [sys.executable, "-m", "unclip_assets.trainings.child_process", str(os.getpid()), str(log), *command]


def end_with(parent: int) -> None:
    """Linux: asks the kernel to kill this process with its parent; ends at once when the parent is gone already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def redirect_output(log: Path) -> None:
    """Standard output and error go to the end of `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())


def watch(parent: int, command: list[str]) -> int:
    """Elsewhere: runs the command and kills it when the parent is gone."""
    with subprocess.Popen(command) as child:
        while child.poll() is None:
            if os.getppid() != parent:
                child.kill()
            time.sleep(0.2)
        return child.returncode


def main(arguments: list[str]) -> int:
    """Becomes the command (Linux), or runs it and gives back its exit code."""
    parent, log, command = int(arguments[0]), Path(arguments[1]), arguments[2:]
    redirect_output(log)
    if sys.platform != "linux":
        return watch(parent, command)
    end_with(parent)
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
