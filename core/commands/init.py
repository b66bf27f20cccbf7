"""`whyguard init`."""

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from whyguard.core.errors import ConfigError, fail

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where the recipe goes.")] = Path(),
) -> None:
    """Write `recipe.yaml`, a commented recipe over the starter pack, into a folder.

    Example: whyguard init my-dataset && whyguard run my-dataset/recipe.yaml
    """
    target = folder / "recipe.yaml"
    if target.exists():
        fail(ConfigError, where=str(target), expected="no recipe yet", found="a file",
             do="name another folder, or move the file away")  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    text = resources.files("whyguard.core").joinpath("data/recipe.yaml").read_text("utf-8")
    target.write_text(text, encoding="utf-8")
    typer.echo(f"wrote {target}; next: whyguard run {target}")
