"""What the commands of `whyguard review` share: options, the view, the guidelines."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.cells import cell_len, set_cell_size

from whyguard.annotation.campaign import Campaign, Head, find_campaign
from whyguard.annotation.people import People, spaces_of
from whyguard.annotation.sheets import Guide, Wording
from whyguard.annotation.views.base import Refused, View
from whyguard.core.languages import ENGLISH, Language, Languages, known_languages
from whyguard.core.recipe import load_recipe
from whyguard.core.steps import Workspace
from whyguard.core.text_safety import one_line

OutOption = Annotated[Path, typer.Option("--out", help="The workspace.")]
DEFAULT_OUT = Path("workspace")
DEFAULT_CAP = 60
"""Items a day, where nobody says otherwise: reading harm all day does harm."""
JsonOption = Annotated[bool, typer.Option("--json", help="Print facts as JSON on stdout.")]
CampaignArg = Annotated[str | None, typer.Argument(help="The campaign; needed where there are "
                                                   "several.")]  # fmt: skip
FilesOption = Annotated[
    Path | None, typer.Option("--files", help="A folder of spreadsheets, in Argilla's place: "
                              "outbox/ goes out, inbox/ comes back.")
]  # fmt: skip
ARGILLA, FILES = "argilla", "files"
_HOME = "server"
_SHOWN = 5


class Opened(NamedTuple):
    """A view and the name under which answers remember it."""

    view: View
    name: str


def server_home(out: Path) -> Path:
    """The embedded server's folder."""
    return Workspace(out).review / _HOME


def embedded_home(out: Path) -> Path | None:
    """That folder where the embedded server is used; None where the environment names another."""
    from whyguard.annotation.server.connection import URL_VARIABLE

    return None if os.environ.get(URL_VARIABLE) else server_home(out)


def languages_of(out: Path) -> Languages:
    """The languages of the workspace's campaigns: their recipes may declare some of their own."""
    declared: dict[str, Language] = {}
    for path in sorted(Workspace(out).review.glob("*/campaign.json")):
        head = Campaign(path.parent).head()
        if head and Path(head.recipe).is_file():
            table = load_recipe(Path(head.recipe), head.settings).languages
            declared |= {code: table.get(code) for code in table.codes}
    return known_languages().with_declared(declared.values())


def people_of(out: Path) -> People:
    """Everybody who reviews in this workspace."""
    return People(Workspace(out).review)


def campaign_of(out: Path, name: str | None) -> Campaign:
    """The campaign of that name, or the only one."""
    return find_campaign(Workspace(out), name)


def identifier(people: People) -> Callable[[str, str], str | None]:
    """Who a name or a pseudonym in a file is, among those who may answer a sheet's space."""
    known = {(name, space): p.pseudonym for p in people.all() if not p.answers_withdrawn
             for name in (p.name, p.pseudonym) for space in spaces_of(p)}  # fmt: skip
    return lambda text, space: known.get((text.strip(), space))


def open_view(out: Path, files: Path | None) -> Opened:
    """Spreadsheets in a folder, or the Argilla that runs or is named by the environment."""
    people = people_of(out)
    if files is not None:
        from whyguard.annotation.views.files.view import FilesView

        return Opened(FilesView(files, identifier(people)), FILES)
    from whyguard.annotation.server.connection import connection
    from whyguard.annotation.views.argilla.client import connect
    from whyguard.annotation.views.argilla.view import ArgillaView

    found = connection(server_home(out))
    return Opened(ArgillaView(connect(found.api_url, found.api_key), people), ARGILLA)


def guide_of(campaign: Campaign, head: Head | None = None) -> Guide:
    """Guidelines in the campaign's words: its contact, its cap, the source languages."""
    from whyguard.annotation.guidelines import Facts, guidelines

    head = head or campaign.head()
    folder = Path(head.guidelines) if head and head.guidelines else None
    sources = _sources(campaign)
    table = languages_of(campaign.folder.parent.parent)

    def guide(kind: str, language: str) -> Wording:
        facts = Facts(items_a_day=head.items_a_day if head else None,
                      contact=head.contact if head else None,
                      source=sources.get(language, ENGLISH), table=table)  # fmt: skip
        found = guidelines(kind, language, facts, folder)
        return Wording(found.text, found.version)

    return guide


def _sources(campaign: Campaign) -> dict[str, str]:
    """The language that most items of a language were translated from."""
    rows = campaign.items().drop_nulls("source_language")
    pairs = Counter(rows.select("language", "source_language").iter_rows())
    return {language: source for (language, source), _ in reversed(pairs.most_common())}


def say_refused(refused: Sequence[Refused]) -> None:
    """Say which answers were not taken over, by reason, the most frequent ones first."""
    for reason, count in Counter(one.reason for one in refused).most_common(_SHOWN):
        first = next(one for one in refused if one.reason == reason)
        typer.echo(f"  not taken over: {count}; {reason}; first {first.item_id}, {first.where}")


def show_table(header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    """Print aligned columns, a line a row whatever the terminal's width; nothing without rows."""
    if not rows:
        return
    cells = [header, *(tuple(_cell(value) for value in row) for row in rows)]
    widths = [max(cell_len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        padded = (set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else one_line(str(value))
