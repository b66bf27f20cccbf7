"""`cards.version`: proves group safety, then lays an immutable dataset version out for people."""

import datetime
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from whyguard.cards.card import CardFacts, render_card
from whyguard.cards.layout import (
    CARD,
    DROPS,
    MANIFEST,
    SplitFacts,
    VersionConfig,
    VersionId,
    VersionManifest,
    find_versions,
    in_split_order,
    numbered,
    place_folder,
    read_manifest,
    split_file,
    version_dtypes,
)
from whyguard.cards.lineage import Upstream, all_drops, command_of, drop_counts, upstream
from whyguard.core.artefact import Artefact
from whyguard.core.drafts import sweep_drafts
from whyguard.core.errors import ConfigError, DataError, fail
from whyguard.core.hashing import rows_sha256, sha256_folder
from whyguard.core.nearest import suggest
from whyguard.core.schemas import Example
from whyguard.core.steps import (
    Inputs,
    Published,
    Room,
    Runtime,
    Step,
    StepResult,
    Workspace,
)
from whyguard.core.tables import drop, drops_frame
from whyguard.core.values import NOT_WRITTEN, Split

_SHOWN = 5


def run(inputs: Inputs, config: VersionConfig, runtime: Runtime, room: Room) -> StepResult:
    """Pass the examples through, split by split; drop categories that are never released.

    Raises:
        DataError: no rows, or a group (or family) lies in two splits.
        ConfigError: a language of the config has no rows.
    """
    examples = inputs["examples"].rows
    if not examples.height:
        fail(DataError, where="cards.version: examples", expected="at least one row",
             found="none", do="see dropped.parquet of the steps before it")  # fmt: skip
    prove_group_safe(examples, "cards.version: examples")
    _check_languages(examples, config)
    never = pl.element().cast(pl.String).is_in(list(NOT_WRITTEN))
    withheld = pl.col("categories").list.eval(never).list.any()
    bare = examples.filter(withheld).select("example_id", "categories")
    drops = [drop({"categories": row["categories"], "withheld": True}, row["example_id"],
                  "category_not_released", "its text is not kept") for row in bare.to_dicts()
             ]  # fmt: skip
    rows = in_split_order(examples.filter(~withheld))
    licences = tuple(sorted({config.licence, *rows["licence"]}))
    return StepResult(rows, drops_frame(drops), licences=licences, read=examples.height)


def prove_group_safe(examples: pl.DataFrame, where: str) -> None:
    """Prove that no group and no family lies in two splits.

    Raises:
        DataError: one does; the message names up to five.
    """
    for unit in ("group_id", "family_id"):
        torn = torn_units(examples, unit)
        if torn:
            shown = ", ".join(f"'{name}'" for name in torn[:_SHOWN])
            more = f" and {len(torn) - _SHOWN} more" if len(torn) > _SHOWN else ""
            fail(DataError, where=where, expected=f"every {unit} in one split only",
                 found=f"{len(torn)} in more than one: {shown}{more}",
                 do="split whole groups (curation.split) before rows are translated")  # fmt: skip


def torn_units(examples: pl.DataFrame, unit: str) -> list[str]:
    """Values of a column of ids that occur in more than one split, sorted."""
    spread = examples.group_by(unit).agg(pl.col("split").n_unique().alias("splits"))
    return sorted(spread.filter(pl.col("splits") > 1)[unit].to_list())


def _check_languages(examples: pl.DataFrame, config: VersionConfig) -> None:
    present = set(examples["language"])
    named = [config.train_language] if config.train_language else []
    for code in (*named, *config.related_languages):
        if code not in present:
            fail(ConfigError, where="cards.version: train_language, related_languages",
                 expected="languages that the examples have", found=f"'{code}' has no rows",
                 do=suggest(code, present))  # fmt: skip


def publish(
    artefact: Artefact, config: VersionConfig, workspace: Workspace
) -> tuple[Published, ...]:
    """Lay the version out as `datasets/NAME@YYYY.MM.DD[.N]`, or find it laid out already."""
    datasets = workspace.datasets
    sweep_drafts(datasets)
    for known in reversed(find_versions(datasets, config.name)):
        if read_manifest(datasets / str(known)).key == artefact.manifest.key:
            return _published(datasets / str(known), "reused")
    steps = upstream(workspace.store, artefact)
    today = datetime.datetime.now(datetime.UTC).date()
    for version in numbered(config.name, today):
        folder = datasets / str(version)
        draft = _Draft(artefact, config, version, steps)
        if not folder.exists() and place_folder(datasets, folder, draft.write):
            return _published(folder, "new")
        if (folder / MANIFEST).is_file() and read_manifest(folder).key == artefact.manifest.key:
            return _published(folder, "reused")  # another process was first
    raise AssertionError("unreachable: there is always a next number")


def _published(folder: Path, note: str) -> tuple[Published, ...]:
    return (Published("dataset", folder, note), Published("card", folder / CARD, note))


class _Draft:
    """Writes one version's files into a folder."""

    def __init__(self, artefact: Artefact, config: VersionConfig, version: VersionId,
                 steps: Sequence[Upstream]) -> None:  # fmt: skip
        self._artefact, self._config, self._version = artefact, config, version
        self._steps = steps

    def write(self, folder: Path) -> None:
        """Tables, drops and card, then the manifest with the hashes of all of them."""
        rows = self._artefact.rows()
        drops = all_drops(self._steps)
        splits = _write_splits(rows, folder)
        drops.write_parquet(folder / DROPS)
        manifest = self._manifest(rows, drops, splits)
        card = render_card(CardFacts(manifest, rows, self._config))
        (folder / CARD).write_text(card, "utf-8")
        hashed = manifest.model_copy(update={"files": sha256_folder(folder)})
        (folder / MANIFEST).write_text(hashed.model_dump_json(indent=2) + "\n", "utf-8")

    def _manifest(self, rows: pl.DataFrame, drops: pl.DataFrame,
                  splits: dict[Split, SplitFacts]) -> VersionManifest:  # fmt: skip
        made = self._artefact.manifest
        return VersionManifest(
            name=self._config.name,
            version=str(self._version).partition("@")[2],
            title=self._config.title,
            licence=self._config.licence,
            key=made.key,
            created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            command=self._config.rerun or command_of(made.provenance.argv),
            schema_name=made.schema_name,
            schema_sha256=made.schema_sha256,
            rows=rows.height,
            rows_sha256=made.rows_sha256,
            splits=splits,
            dropped=drop_counts(drops),
            drops_sha256=rows_sha256(drops),
            files={},
            languages=tuple(sorted(rows["language"].unique())),
            lineage=tuple(item.facts for item in self._steps),
        )


def _write_splits(rows: pl.DataFrame, folder: Path) -> dict[Split, SplitFacts]:
    facts = {}
    (folder / "data").mkdir()
    for part in rows.partition_by("split", maintain_order=True):
        split = Split(part["split"][0])
        version_dtypes(part).write_parquet(folder / split_file(split.value))
        facts[split] = SplitFacts(
            file=split_file(split.value),
            rows=part.height,
            groups=part["group_id"].n_unique(),
            rows_sha256=rows_sha256(part),
        )
    return facts


VERSION = Step(
    name="cards.version",
    version="3",
    summary="proving group safety, writing the dataset version",
    config=VersionConfig,
    inputs={"examples": Example},
    output=Example,
    run=run,
    publish=publish,
    lineage=True,
)
