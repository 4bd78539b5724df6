"""Line between a user's mistake, which is told in one sentence, and ours, which shows its traceback."""

import errno
from collections.abc import Iterator

from unclip_pairs.errors import UserError

DISK = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EACCES: "permission is denied; choose a folder you may write to",
    errno.EROFS: "the file system is read-only; choose a folder you may write to",
}
DATABASE = {
    "database or disk is full": "the disk is full; free some space",
    "attempt to write a readonly database": "a database cannot be written; choose a folder you may write to",
    "unable to open database file": "a database cannot be opened; choose a folder you may write to",
}
AGAIN = ", or set UNCLIP_HOME to another folder, and run the same command again"


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, the outermost first."""
    present: BaseException | None = error
    seen: set[int] = set()
    # interrupted errors may name each other as their context
    while present is not None and id(present) not in seen:
        seen.add(id(present))
        yield present
        present = present.__cause__ or present.__context__


def user_error(error: BaseException) -> UserError | None:
    """The `UserError` among the causes of an error, if there is one."""
    return next((cause for cause in causes(error) if isinstance(cause, UserError)), None)


def is_interruption(error: BaseException) -> bool:
    """Whether somebody stopped the run: Ctrl-C or a polite kill, which Dagster turns into an error of its own."""
    return any(
        isinstance(cause, KeyboardInterrupt) or type(cause).__name__ == "DagsterExecutionInterruptedError" for cause in causes(error)
    )


def about_the_disk(error: BaseException) -> str | None:
    """What the disk says, when it is the disk that refused (Dagster and MLflow write their databases themselves)."""
    if isinstance(error, OSError) and error.errno in DISK:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{DISK[error.errno]}{AGAIN}"
    return next((f"{sentence}{AGAIN}" for sign, sentence in DATABASE.items() if sign in str(error)), None)


def mistake(error: BaseException) -> str | None:
    """The one sentence a user should read, or None when the error is ours."""
    told = user_error(error)
    if told is not None:
        return str(told)
    return next((sentence for cause in causes(error) if (sentence := about_the_disk(cause)) is not None), None)
