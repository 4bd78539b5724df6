"""Options and outputs that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unclip_curation.policy import Policy
    from unclip_pairs.store import Store

DEFAULT = Path("default")  # the policy that ships, as the command line names it
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="The policy file; 'default' is the one that ships. $UNCLIP_CURATION_POLICY, else default.")
]
Stage = Annotated[str, typer.Option(help="rule, safety, duplicate or final.")]
Host = Annotated[str, typer.Option(help="The address to listen on; other machines reach it only if you say so.")]


def chosen_policy(context: typer.Context, path: Path | None) -> "Policy":
    """The policy of the option, or else of the environment; errors as in `policy_at`."""
    return policy_at(path or context.obj.curation_policy or DEFAULT)


def policy_at(path: Path) -> "Policy":
    """The policy of a file, or the one that ships; `UserError` when the file is not there or no policy."""
    from unclip_curation.policy import load_policy

    return load_policy(None if path == DEFAULT else path)


def write_page(store: "Store", name: str, page: str) -> None:
    """Writes HOME/reports/NAME.html and prints where it is."""
    with store.writing(f"reports/{name}.html") as part:
        part.write_text(page, "utf-8")
    typer.echo(f"wrote {store.path(f'reports/{name}.html')}")
