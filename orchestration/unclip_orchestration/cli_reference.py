"""Reference of the command line, `docs/cli.md`, made from the commands themselves.

`make docs` writes it; a test holds the page against what is made here.
"""

import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import typer.main

from unclip_assets.settings import read_environment
from unclip_orchestration.cli import app
from unclip_server.api.settings import read_settings

HEADER = """\
# Command line

Made from the commands themselves by `make docs`; do not edit it by hand. `unclip COMMAND --help` shows the same in the terminal.

Results go to standard output, progress to standard error. A mistake of the user's is one sentence, `unclip: ...`, on standard error
with exit code 2. Exit code 1 means that a check found something, 130 that somebody stopped the run. Any command may be stopped at any
moment and run again: what is finished is not done twice.
"""
VARIABLES = {
    "UNCLIP_HOME": "Where everything is kept: a folder, or `s3://BUCKET/PREFIX`; `./var` when unset. `--home` goes before it.",
    "UNCLIP_ENV": "`local` (when unset), `staging` or `production`.",
    "UNCLIP_SIZE": "Which recipe of each stage is trained: `tiny`, `small` or `paper`; `paper` in production, else `tiny`, when unset.",
    "UNCLIP_ENGINE": "Where scorers run: `local` (when unset) or `ray`. `--engine` goes before it.",
    "UNCLIP_RAY_ADDRESS": "The Ray cluster: its head (`host:port`), `auto`, or `local` (when unset). `--ray-address` goes before it.",
    "UNCLIP_SAFETY_POLICY": "The file of what may not be asked for; the one that ships when unset.",
    "UNCLIP_CURATION_POLICY": "The policy file by which pairs are kept and generated pictures judged; the one that ships when unset.",
    "UNCLIP_GATE_POLICY": "The file of the gates' thresholds; when unset the defaults at a release, those of the version at a promotion.",
    "MLFLOW_TRACKING_URI": "Where MLflow keeps runs and models; a database under the home when unset.",
    "UNCLIP_HOST": "The address to listen on; `127.0.0.1` when unset. `--host` goes before it.",
    "UNCLIP_PORT": "The port; 8000 when unset. `--port` goes before it.",
    "UNCLIP_IMAGES_PER_MINUTE": "How many pictures a key may ask for in a minute; 60 when unset.",
    "UNCLIP_MAX_WAITING": "How many requests may wait; 64 when unset.",
    "UNCLIP_MAX_BATCH": "How many pictures are painted together; 10 when unset.",
    "UNCLIP_PUBLIC_URL": "The address that links to pictures begin with; the one that the client used when unset.",
}


@dataclass(frozen=True)
class Leaf:
    """One command that does something: its words after `unclip`, and what click knows of it."""

    words: tuple[str, ...]
    command: click.Command

    @property
    def name(self) -> str:
        """As it is typed: `unclip data crawl`."""
        return " ".join(("unclip", *self.words))

    @property
    def help(self) -> str:
        """The help text; its first paragraph is the line that the lists show."""
        return inspect.cleandoc(self.command.help or "")


class Recorder(dict[str, str]):
    """An empty environment that remembers which variables were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """The default, always."""
        self.names += [] if key in self.names else [key]
        return default


def root() -> click.Group:
    """The tree of all commands."""
    command = typer.main.get_command(app)
    assert isinstance(command, click.Group)
    return command


def leaves(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Every command below a group that is no group itself, in the order of the help."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*words, name))
        else:
            yield Leaf((*words, name), command)


def first_paragraph(text: str) -> str:
    """A help text up to its first empty line, on one line."""
    return " ".join(text.split("\n\n")[0].split())


def variables() -> tuple[list[str], list[str]]:
    """The names of the variables that every command reads, and of those that only `unclip serve api` reads."""
    common, server = Recorder(), Recorder()
    environment = read_environment(common)
    read_settings(home=environment.home, variables=server)
    return common.names, [name for name in server.names if name not in common.names]


def _kind(parameter: click.Parameter) -> str:
    """The type of a value in capitals, with its bounds."""
    kind = parameter.type
    name = kind.name.upper().removesuffix(" RANGE")
    if isinstance(kind, click.IntRange | click.FloatRange) and kind.min is not None:
        return f"{name} {kind.min} to {kind.max}" if kind.max is not None else f"{name} from {kind.min}"
    return name


def _spelled(parameter: click.Parameter) -> str:
    """How a parameter is typed: `FILE...`, `--count, -n INTEGER`, `--unsafe / --no-unsafe`."""
    if isinstance(parameter, click.Argument):
        name = parameter.metavar or str(parameter.name).upper() + ("..." if parameter.nargs < 0 else "")
        return name if parameter.required else f"[{name}]"
    spelled = ", ".join(parameter.opts) + "".join(f" / {name}" for name in parameter.secondary_opts)
    is_flag = isinstance(parameter, click.Option) and parameter.is_flag
    return spelled if is_flag else f"{spelled} {_kind(parameter)}"


def _default(parameter: click.Parameter) -> str:
    """What holds when the parameter is left out."""
    if parameter.required:
        return "required"
    value = parameter.default
    return "" if value is None or value is False or value in ("", (), []) else f"`{value}`"


def help_of(parameter: click.Parameter) -> str:
    """The help of an argument or option; arguments have none beside click 8.5."""
    return str(getattr(parameter, "help", "") or "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _table(parameters: list[click.Parameter]) -> str:
    rows = [f"| `{_cell(_spelled(one))}` | {_cell(help_of(one))} | {_cell(_default(one))} |" for one in parameters]
    return "\n".join(["| argument or option | what it is | default |", "|---|---|---|", *rows])


def shown(command: click.Command) -> list[click.Parameter]:
    """The arguments and options of a command, without those that the shell's completion adds."""
    return [one for one in command.params if one.name not in ("install_completion", "show_completion")]


def _section(leaf: Leaf) -> str:
    context = click.Context(leaf.command, info_name=leaf.name)
    usage = " ".join([leaf.name, *leaf.command.collect_usage_pieces(context)])
    table = _table(shown(leaf.command)) if shown(leaf.command) else "No arguments or options."
    return f"### {leaf.name}\n\n{leaf.help}\n\n    {usage}\n\n{table}\n"


def _index(found: list[Leaf]) -> str:
    rows = [f"| [`{leaf.name}`](#{leaf.name.replace(' ', '-')}) | {first_paragraph(leaf.help)} |" for leaf in found]
    return "\n".join(["| command | what it does |", "|---|---|", *rows]) + "\n"


def _variables() -> str:
    common, server = variables()
    parts = [
        "## Environment variables\n",
        "Read by every command:\n",
        _listed(common),
        "\nRead by `unclip serve api` too:\n",
        _listed(server),
    ]
    return "\n".join(parts) + "\n"


def _listed(names: list[str]) -> str:
    return "\n".join(["| variable | what it says |", "|---|---|", *(f"| `{name}` | {VARIABLES[name]} |" for name in names)])


def reference() -> str:
    """The whole page, in Markdown."""
    tree = root()
    found = list(leaves(tree))
    before = "## Before every command\n\n    unclip [OPTIONS] COMMAND [ARGS]...\n\n" + _table(shown(tree)) + "\n"
    return "\n".join([HEADER, _index(found), before, _variables(), "## Commands\n", *(_section(leaf) for leaf in found)])


def main() -> None:
    """Writes the page to the file that the first argument names."""
    page = Path(sys.argv[1])
    page.write_text(reference(), "utf-8")
    sys.stdout.write(f"wrote {page}\n")


if __name__ == "__main__":
    main()
