"""A campaign: the items that a recipe wants reviewed, and the folder where all of it lies.

`workspace/review/NAME/` holds `items/` (what the steps `annotation.route` and `annotation.audit`
last made), `campaign.json` (which recipe to run again), the answer store and its snapshot.
"""

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol

import polars as pl
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from whyguard.annotation.store import AnswerStore
from whyguard.core.artefact import Artefact
from whyguard.core.drafts import replacing
from whyguard.core.errors import ArtefactError, ConfigError, MissingFileError, fail
from whyguard.core.hashing import sha256_file
from whyguard.core.nearest import suggest
from whyguard.core.schemas import ReviewItem
from whyguard.core.steps import Published, Workspace
from whyguard.core.tables import validated
from whyguard.core.variables import Value

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,39}$"
"""Names of campaigns and studies: a folder's, a part of sheets' names."""
CampaignName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
SNAPSHOT = "answers.parquet"
_HEAD, _ITEMS, _POOLS = "campaign.json", "items", "pools"


class Head(BaseModel):
    """Which recipe a campaign belongs to; paths of this machine, never exported."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    data: str | None = None
    settings: dict[str, Value] = {}
    recipe_sha256: str = ""
    """Of the file as it was pushed."""
    contact: str | None = None
    """Whom reviewers may write to."""
    items_a_day: int | None = None
    """The cap that guidelines speak of."""
    guidelines: str | None = None
    """Folder of guidelines of one's own."""


class Rounds(Protocol):
    """What publishing needs of a step's config."""

    @property
    def campaign(self) -> str: ...  # noqa: D102 - a protocol's field
    @property
    def round(self) -> int: ...  # noqa: D102
    @property
    def languages(self) -> tuple[str, ...]: ...  # noqa: D102


class Campaign:
    """One campaign's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        """Its name, which is its folder's."""
        return self.folder.name

    @property
    def store(self) -> AnswerStore:
        """The answers."""
        return AnswerStore(self.folder)

    def items(self) -> pl.DataFrame:
        """All items that are wanted now, by id.

        Raises:
            MissingFileError: no recipe with this campaign was run yet.
            ArtefactError: two of its steps made one item, or a file is no table of items.
        """
        files = sorted((self.folder / _ITEMS).glob("*.parquet"))
        if not files:
            fail(MissingFileError, where=str(self.folder / _ITEMS), expected="tables of items",
                 found="none", do="run a recipe with the step annotation.route first")  # fmt: skip
        table = pl.concat([validated(ReviewItem, pl.read_parquet(f), str(f)) for f in files])
        twice = table.filter(pl.col("item_id").is_duplicated())["item_id"].unique().sort()
        if len(twice):
            fail(ArtefactError, where=str(self.folder / _ITEMS), expected="each item once",
                 found=f"{len(twice)} more than once, first {twice[0]}",
                 do="give annotation.audit the items of every round as input 'items'")  # fmt: skip
        return table

    def keep_only(self, names: Collection[str]) -> list[str]:
        """Forget the items of steps that a recipe no longer has; returns their names.

        Answers to them stay in the store.
        """
        gone = [path for folder in (_ITEMS, _POOLS)
                for path in sorted((self.folder / folder).glob("*.parquet"))
                if path.stem not in names]  # fmt: skip
        for path in gone:
            path.unlink()
        return sorted({path.stem for path in gone})

    def put_items(self, name: str, table: pl.DataFrame) -> None:
        """Put one step's items in the place of those it made before."""
        folder = self.folder / _ITEMS
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / f"{name}.parquet") as draft:
            table.write_parquet(draft)

    def put_pool(self, name: str, pool: Path) -> None:
        """Keep the frozen pool of an audit."""
        folder = self.folder / _POOLS
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / f"{name}.parquet") as draft:
            shutil.copy(pool, draft)

    def pools(self) -> list[tuple[int, Path]]:
        """Round and frozen pool of each audit."""
        paths = sorted((self.folder / _POOLS).glob("*.parquet"))
        return [(int(path.stem.split("-")[1]), path) for path in paths]

    def head(self) -> Head | None:
        """The recipe it belongs to, once something was pushed.

        Raises:
            ArtefactError: the file cannot be read.
        """
        path = self.folder / _HEAD
        if not path.is_file():
            return None
        try:
            return Head.model_validate_json(path.read_bytes())
        except ValidationError as error:
            fail(ArtefactError, where=str(path), expected="a campaign's recipe",
                 found=error.errors()[0]["msg"],
                 do="push again: whyguard review push RECIPE")  # fmt: skip

    def put_head(self, head: Head) -> None:
        """Remember the recipe."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / _HEAD) as draft:
            draft.write_text(head.model_dump_json(indent=2) + "\n", "utf-8")


def find_campaign(workspace: Workspace, name: str | None) -> Campaign:
    """The campaign of that name, or the only one there is.

    Raises:
        MissingFileError: there is none, or none of that name (the nearest is named).
        ConfigError: no name is given and there are several.
    """
    root = workspace.review
    known = sorted(path.parent.name for path in root.glob(f"*/{_ITEMS}") if path.is_dir())
    if name is None and len(known) == 1:
        name = known[0]
    if name is None and known:
        fail(ConfigError, where=str(root), expected="the name of a campaign", found="none given",
             do=f"name one of: {', '.join(known)}")  # fmt: skip
    if name not in known:
        hint = suggest(name or "", known) if known else "run a recipe with annotation.route first"
        fail(MissingFileError, where=str(root), expected="a campaign",
             found=f"no '{name}'" if name else "none", do=hint)  # fmt: skip
    return Campaign(root / str(name))


def items_name(step: str, rounds: Rounds) -> str:
    """What a step's items are called: one round may have a step for each language."""
    kind = step.rpartition(".")[2]
    return f"{kind}-{rounds.round}-{'+'.join(sorted(rounds.languages))}"


def publish_items(artefact: Artefact, config: Any, workspace: Workspace) -> tuple[Published, ...]:
    """Hand the items of `annotation.route` or `annotation.audit` to their campaign."""
    rounds: Rounds = config
    campaign = Campaign(workspace.review / rounds.campaign)
    name = items_name(artefact.manifest.step, rounds)
    rows = artefact.rows()
    campaign.put_items(name, rows)
    for pool in artefact.files.glob("pool.parquet"):
        campaign.put_pool(name, pool)
    note = f"{rows.height} items of {name}; `whyguard review push RECIPE` sends them"
    return (Published("review", campaign.folder, note),)


def remembered(recipe: Path, data: Path | None, settings: Mapping[str, Value]) -> Head:
    """What to keep of a recipe, so that it can be run again from anywhere."""
    return Head(recipe=str(recipe.resolve()), data=str(data.resolve()) if data else None,
                settings=dict(settings), recipe_sha256=sha256_file(recipe))  # fmt: skip
