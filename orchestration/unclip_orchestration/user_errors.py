"""Line between a user's mistake, which is reported in one sentence, and ours, which shows its traceback."""

import errno
import traceback
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
EXTRAS = {  # the extra that brings what a package imports; whatever is not listed is the orchestration's own
    **dict.fromkeys(("unclip_crawl", "unclip_curation", "unclip_labels", "unclip_starter"), "data"),
    **dict.fromkeys(("unclip_diffusion", "unclip_evaluation", "unclip_generation", "unclip_models", "unclip_training"), "train"),
    **dict.fromkeys(("unclip_release", "unclip_safety", "unclip_server"), "serve"),
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


def about_an_extra(error: BaseException) -> str | None:
    """Which extra to install, when a library is missing: that of the first shelf below the orchestration that the import went through."""
    if not isinstance(error, ModuleNotFoundError) or not error.name or error.name.startswith("unclip_"):
        return None
    packages = [str(frame.f_globals.get("__name__", "")).split(".")[0] for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not any(name.startswith("unclip_") for name in packages):
        return None
    extra = next((EXTRAS[name] for name in packages if name in EXTRAS), "orchestrate")
    return f"this command needs {error.name.split('.')[0]}; install it with pip install 'unclip[{extra}]'"


def mistake(error: BaseException) -> str | None:
    """The one sentence a user should read, or None when the error is ours."""
    found = user_error(error)
    if found is not None:
        return str(found)
    sentences = (sentence for cause in causes(error) for sentence in (about_the_disk(cause), about_an_extra(cause)))
    return next((sentence for sentence in sentences if sentence is not None), None)
