"""`whyguard review install | serve | stop | backup | restore`: the embedded Argilla server."""

from pathlib import Path
from typing import Annotated

import typer

from whyguard.annotation.commands.common import DEFAULT_OUT, OutOption, server_home
from whyguard.core.progress import Progress
from whyguard.core.steps import Workspace

PythonOption = Annotated[
    str | None, typer.Option("--python", help="The Python that makes the server's venv.")
]
FileArg = Annotated[Path, typer.Argument(help="The backup file.")]


def add(app: typer.Typer) -> None:
    """Put the commands into the group."""
    for command in (install, serve, stop, backup, restore):
        app.command()(command)


def install(python: PythonOption = None) -> None:
    """Install the Argilla server into a venv of its own; `serve` does it too when needed.

    Example: whyguard review install
    """
    from whyguard.annotation.server.install import server_python

    progress = Progress()
    progress.say(f"the server is there: {server_python(progress, python)}")


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port.")] = 6900,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy with TLS stands in front of it.")
    ] = False,
    python: PythonOption = None,
    out: OutOption = DEFAULT_OUT,
) -> None:
    """Start Argilla on this machine and stay until Ctrl-C; the first time it is installed.

    Example: whyguard review serve
    """
    from whyguard.annotation.server.launch import Address
    from whyguard.annotation.server.launch import serve as serve_until_stopped

    address = Address(host, port, behind_proxy)
    raise typer.Exit(serve_until_stopped(server_home(out), address, Progress(), python))


def stop(out: OutOption = DEFAULT_OUT) -> None:
    """Stop the server of this workspace.

    Example: whyguard review stop
    """
    from whyguard.annotation.server.launch import stop as stop_server

    typer.echo("stopped" if stop_server(server_home(out)) else "no server runs here")


def backup(file: FileArg, out: OutOption = DEFAULT_OUT) -> None:
    """Copy all that the server holds into one file, also while it runs. It holds secrets.

    Example: whyguard review backup review-backup.zip
    """
    from whyguard.annotation.server.backup import backup as back_up

    back_up(server_home(out), file)
    typer.echo(f"wrote {file}: it holds answers, keys and passwords; keep it private. Answers that "
               f"were pulled lie in {Workspace(out).review}: copy that too")  # fmt: skip


def restore(file: FileArg, out: OutOption = DEFAULT_OUT) -> None:
    """Put a backup in the server's place; what was there is kept aside.

    Example: whyguard review restore review-backup.zip
    """
    from whyguard.annotation.server.backup import restore as put_back

    aside = put_back(server_home(out), file)
    typer.echo(f"restored {file}" + (f"; what was there lies in {aside}" if aside else ""))
