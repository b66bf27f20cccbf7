"""The command line's root: a table of command -> "module:app"; nothing heavy is imported here."""

import sys
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from whyguard.core.errors import WhyguardError, explain


class Entry(NamedTuple):
    """Where a command lives and its one line of help."""

    target: str
    help: str


COMMANDS: dict[str, Entry] = {
    "init": Entry("whyguard.core.commands.init:app", "Write a recipe to start from."),
    "doctor": Entry("whyguard.core.commands.doctor:app", "Say what is installed and what is not."),
    "plan": Entry("whyguard.core.commands.run:plan_app", "Say what a run would do, and reuse."),
    "run": Entry("whyguard.core.commands.run:run_app", "Run a recipe; reuse what is stored."),
    "ledger": Entry("whyguard.generation.calls.commands:app", "Say what model calls were paid."),
    "locale": Entry(
        "whyguard.generation.packs.commands:app", "List, check and begin localisation packs."
    ),
    "langid": Entry("whyguard.curation.commands:app", "Train and test language identification."),
    "review": Entry("whyguard.annotation.commands.app:app", "Have native speakers review."),
    "dataset": Entry("whyguard.cards.commands:app", "List, show and check dataset versions."),
    "train": Entry("whyguard.train.stage_commands:app", "Train guards, stage by stage."),
    "eval": Entry("whyguard.train.commands:app", "Score a file with a guard."),
}


class LazyGroup(TyperGroup):
    """Lists commands from the table; imports a command's module only when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stub with the help line: enough for `--help`."""
        entry = COMMANDS.get(cmd_name)
        return TyperCommand(cmd_name, help=entry.help) if entry else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The real command that is about to run."""
        name, stub, rest = super().resolve_command(ctx, args)
        if name in COMMANDS and stub is not None:
            return name, load_command(name), rest
        return name, stub, rest


def load_command(name: str) -> Any:
    """Import the app behind a command of the table."""
    from whyguard.core.registry import load_object

    return typer.main.get_command(load_object(COMMANDS[name].target))


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False,
                  pretty_exceptions_enable=False, rich_markup_mode=None)  # fmt: skip


@app.callback()
def root() -> None:
    """whyguard: compact, explained safety datasets, and guards trained on them.

    Exit codes: 0 done, 2 usage or bad input, 3 partial (what is left is said).
    """


def main() -> None:
    """Entry point: errors of the toolkit become one message on stderr and an exit code."""
    try:
        app(prog_name="whyguard")
    except WhyguardError as error:
        print(f"whyguard: {error}", file=sys.stderr)  # noqa: T201 - the CLI's own output
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        found = error.strerror or type(error).__name__
        message = explain(str(error.filename), "a usable path", found, "check it and its rights")
        print(f"whyguard: {message}", file=sys.stderr)  # noqa: T201 - the CLI's own output
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
