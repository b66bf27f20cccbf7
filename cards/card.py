"""The dataset card: README.md with the YAML front matter that the Hugging Face hub reads."""

from typing import Any, NamedTuple

import polars as pl
import yaml

from whyguard.cards.card_review import review_section
from whyguard.cards.card_tables import (
    by_category,
    by_engine,
    by_signal,
    by_source,
    count_table,
    made_of,
    review_table,
)
from whyguard.cards.layout import CARD, DROPS, VersionConfig, VersionManifest
from whyguard.core.languages import known_languages, language_name
from whyguard.core.text_safety import markdown_table, markdown_text, one_line
from whyguard.core.values import LabelSense, Split

COUNTS_HEADING = "## Counts"
_HUB_LICENCES = {
    "Apache-2.0": "apache-2.0", "MIT": "mit", "CC0-1.0": "cc0-1.0", "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-3.0": "cc-by-3.0", "CC-BY-SA-4.0": "cc-by-sa-4.0", "CC-BY-SA-3.0": "cc-by-sa-3.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0", "CC-BY-NC-SA-4.0": "cc-by-nc-sa-4.0", "ODC-By-1.0": "odc-by",
    "CC-BY-ND-4.0": "cc-by-nd-4.0", "BSD-3-Clause": "bsd-3-clause",
}  # fmt: skip
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_SENSES = {
    LabelSense.REQUEST.value: "the *request* asks for harm",
    LabelSense.CONTENT.value: "the *text itself* is harmful content (moderation labels)",
}


class CardFacts(NamedTuple):
    """All that a card speaks of."""

    manifest: VersionManifest
    rows: pl.DataFrame
    config: VersionConfig


def render_card(facts: CardFacts) -> str:
    """The whole card: front matter and sections. Prompts and rationales are never quoted."""
    front = yaml.safe_dump(front_matter(facts), sort_keys=False, allow_unicode=True, width=100)
    sections = (_title, _unreviewed, _review, _counts, _categories, _signals, _licences, _drops,
                _how_made, _label, _columns, _use, _rerun, _hashes)  # fmt: skip
    body = "\n\n".join(text for section in sections if (text := section(facts)))
    return f"---\n{front}---\n\n{body}\n"


def front_matter(facts: CardFacts) -> dict[str, Any]:
    """The card's YAML fields, in the hub's vocabulary."""
    manifest, rows = facts.manifest, facts.rows
    tags = [_bcp47(code) for code in manifest.languages]
    languages = sorted({tag.split("-")[0] for tag in tags})
    licence = _HUB_LICENCES.get(manifest.licence)
    named = {} if licence else {"license_name": one_line(manifest.licence)}
    size = next((name for limit, name in _SIZES if rows.height < limit), "1M<n<10M")
    return {
        "pretty_name": one_line(manifest.title),
        "language": languages,
        "language_bcp47": tags,
        "license": licence or "other",
        **named,
        "multilinguality": "multilingual" if len(languages) > 1 else "monolingual",
        "size_categories": [size],
        "task_categories": ["text-classification", "text-generation"],
        "tags": ["safety", "guardrails", "explanations", "low-resource-languages",
                 *(["machine-translated"] if made_of(rows, facts.config).machine else [])],
        "configs": [{"config_name": "default", "data_files": [
            {"split": split.value, "path": manifest.splits[split].file}
            for split in Split if split in manifest.splits]}],
    }  # fmt: skip


def _bcp47(code: str) -> str:
    table = known_languages()
    return table.get(code).bcp47 if code in table.codes else code[:3]


def _title(facts: CardFacts) -> str:
    manifest, config = facts.manifest, facts.config
    names = ", ".join(markdown_text(language_name(code)) for code in manifest.languages)
    harmful = facts.rows.filter(pl.col("label") == "harmful")
    explained = harmful["explanation"].is_not_null().sum()
    lines = [
        f"# {markdown_text(manifest.title)}",
        markdown_text(config.description) if config.description else "",
        f"Version `{manifest.name}@{manifest.version}`: {manifest.rows} requests to a chat "
        f"assistant in {len(manifest.languages)} languages ({names}), each labelled harmful or "
        f"unharmful. {explained} of {harmful.height} harmful rows carry a brief rationale in the "
        "language of the request. It is made for training and comparing small guards: "
        "classifiers that say whether a request may be answered, and why not.",
        _roles(config),
    ]
    return "\n\n".join(line for line in lines if line)


def _roles(config: VersionConfig) -> str:
    related = ", ".join(markdown_text(language_name(c)) for c in config.related_languages)
    parts = []
    if config.train_language:
        parts.append(f"Training language: {markdown_text(language_name(config.train_language))}.")
    if related:
        parts.append(f"Related languages, for measuring transfer: {related}.")
    return " ".join(parts)


def _unreviewed(facts: CardFacts) -> str:
    rows, config = facts.rows, facts.config
    made = made_of(rows, config)
    share = f"{made.reviewed} of {rows.height} rows ({made.reviewed / rows.height:.0%})"
    lines = [f"> **Reviewed by native speakers: {share}.**"]
    if made.machine:
        lines.append(
            f"> **Machine-translated: {made.machine} of {rows.height} rows "
            f"({made.machine / rows.height:.0%}); {made.machine_unreviewed} of them were not "
            "reviewed by a native speaker.** Expect unnatural, wrong or misleading sentences, and "
            "labels or rationales that no longer fit the translated text. Figures measured on "
            "these rows say how a guard does on machine translations, not on what speakers write."
        )
    if config.review_notice:
        lines.append(f"> {markdown_text(config.review_notice)}")
    header = ("language", "rows", "machine-translated", "rationales machine-translated",
              "reviewed")  # fmt: skip
    table = markdown_table(header, review_table(rows, config))
    return "## What was not reviewed\n\n" + "\n>\n".join(lines) + "\n\n" + table


def _review(facts: CardFacts) -> str:
    return review_section(facts.manifest.lineage, facts.rows)


def _counts(facts: CardFacts) -> str:
    header, body = count_table(facts.rows)
    return f"{COUNTS_HEADING}\n\n" + markdown_table(header, body)


def _categories(facts: CardFacts) -> str:
    header, body = by_category(facts.rows)
    if not body:
        return "## Categories\n\nNo row names a category."
    note = "Harmful rows by category; a row with two categories counts in both."
    return f"## Categories\n\n{note}\n\n" + markdown_table(header, body)


def _signals(facts: CardFacts) -> str:
    body = by_signal(facts.rows)
    if not body:
        return "## Quality signals\n\nNone was measured."
    note = ("Measured on localised rows; a null means that it could not be measured there. Which "
            "faults each one sees is in whyguard's docs/signals.md.")  # fmt: skip
    header = ("signal", "rows", "null", "lowest tenth", "median", "highest tenth")
    return f"## Quality signals\n\n{note}\n\n" + markdown_table(header, body)


def _licences(facts: CardFacts) -> str:
    table = markdown_table(("source", "licence", "rows"), by_source(facts.rows))
    whole = f"The collection: {markdown_text(facts.manifest.licence)}. Rows keep their source's."
    return f"## Licences by source\n\n{whole}\n\n{table}"


def _drops(facts: CardFacts) -> str:
    body: list[tuple[str | int | float, ...]] = [
        (step, rule, n)
        for step, rules in facts.manifest.dropped.items()
        for rule, n in rules.items()
    ]
    gone = [item.step for item in facts.manifest.lineage if not item.found]
    names = markdown_text(", ".join(gone))
    lost = f" Drops of steps no longer in the store are not known: {names}." if gone else ""
    if not body:
        return f"## What was dropped\n\nNothing.{lost}"
    note = f"Each dropped row lies in `{DROPS}` with its step, rule, reason and place.{lost}"
    return f"## What was dropped\n\n{note}\n\n" + markdown_table(("step", "rule", "rows"), body)


def _how_made(facts: CardFacts) -> str:
    steps: list[tuple[str | int | float, ...]] = []
    for item in reversed(facts.manifest.lineage):
        counts = item.counts
        read = "" if counts is None or counts.read is None else str(counts.read)
        kept = "" if counts is None else str(counts.kept)
        dropped = "" if counts is None else str(sum(counts.dropped.values()))
        steps.append((item.step, item.step_version or "not stored", item.key[:12], read, kept,
                      dropped))  # fmt: skip
    header = ("step", "version", "key", "read", "kept", "dropped")
    parts = ["## How it was made", markdown_table(header, steps)]
    models = sorted({(m.reference, m.revision, m.licence, m.role)
                     for item in facts.manifest.lineage for m in item.models})  # fmt: skip
    if models:
        parts.append(markdown_table(("model", "revision", "licence", "role"), list(models)))
    engines = by_engine(facts.rows)
    parts.append(
        markdown_table(("what", "by", "rows"), engines)
        if engines
        else "No model or engine wrote any of the rows."
    )
    parts.append("Each step's full settings and input hashes are in `manifest.json`.")
    return "\n\n".join(parts)


def _label(facts: CardFacts) -> str:
    counted = facts.rows.group_by("label_sense").len().sort("label_sense")
    lines = [f"- `{sense}` ({n} rows): harmful means that {_SENSES[str(sense)]}."
             for sense, n in counted.iter_rows()]  # fmt: skip
    return "\n".join(["## What the label says", "", *lines])


def _columns(facts: CardFacts) -> str:
    return (
        "## Columns\n\n"
        "`text` is the request, `label` its verdict, `categories` S1..S14, `think` an English "
        "trace, `explanation` the rationale in the request's language (with "
        "`explanation_english` and, as a control, `explanation_template`: category wording only), "
        "`reply` what an assistant should say: a refusal, or a helpful answer to a benign request. "
        "A *family* (`family_id`) is all translations of one request; a *group* (`group_id`) is a "
        "family with its contrast twin and near-duplicates. No group lies in two splits: keep it "
        "so when you split again, and resample by group when you compute intervals. `translator`, "
        "`explanation_generator`, `explanation_translator` and `reply_generator` say who wrote "
        "what; null means that it came with the source, or is not there. `reviewed` is true only "
        "where a native speaker checked the row; `revisions` tells what people changed in it."
    )


def _use(facts: CardFacts) -> str:
    return (
        "## Intended use and limits\n\n"
        "For training and evaluating guards of chat assistants, and for studying whether "
        "rationales help them. The harmful rows *ask* for harm and hold no instructions, but they "
        "are unpleasant to read. Not for training assistants to comply, not a full policy, and "
        "too small to certify a guard: a guard trained on it misses harm and refuses harmless "
        "requests. Labels follow the sources' own policies; other communities may draw the line "
        "elsewhere."
    )


def _rerun(facts: CardFacts) -> str:
    version = f"{facts.manifest.name}@{facts.manifest.version}"
    return (
        "## How to load, check and make it again\n\n"
        "```python\n"
        "import datasets\n\n"
        "dataset = datasets.load_dataset('path/to/this/folder')\n"
        "```\n\n"
        f"```sh\nwhyguard dataset check {version}\n{_fenced(facts.manifest.command)}\n```"
    )


def _fenced(command: str) -> str:
    return " ".join(command.replace("`", "'").split())


def _hashes(facts: CardFacts) -> str:
    manifest = facts.manifest
    body: list[tuple[str | int | float, ...]] = [
        (s.file, s.rows, s.groups, s.rows_sha256) for s in manifest.splits.values()
    ]
    body.append(("all splits", manifest.rows, facts.rows["group_id"].n_unique(),
                 manifest.rows_sha256))  # fmt: skip
    table = markdown_table(("table", "rows", "groups", "rows sha256"), body)
    note = f"Key of the artefact: `{manifest.key}`. Hashes of files are in `manifest.json`."
    return f"## Hashes\n\n{table}\n\n{note}"


def stated_front_matter(text: str) -> Any:
    """The front matter that a card holds.

    Raises:
        ValueError: there is none.
        yaml.YAMLError: it is no YAML.
    """
    start, found, _ = text.partition("\n---\n")
    if not (found and start.startswith("---\n")):
        raise ValueError(f"{CARD} has no front matter between two lines of ---")
    return yaml.safe_load(start.removeprefix("---\n"))


def card_counts(text: str) -> dict[str, list[int]]:
    """The counts that a card states, by language code, in the order of `count_table`.

    Raises:
        ValueError: there is no table of counts, or a cell of it is not a number.
    """
    _, found, after = text.partition(f"\n{COUNTS_HEADING}\n")
    if not found:
        raise ValueError(f"{CARD} has no section '{COUNTS_HEADING}'")
    lines = [line for line in after.lstrip().split("\n\n")[0].split("\n") if line.startswith("|")]
    stated = {}
    for line in lines[2:]:
        cells = [cell.strip().replace("\\", "") for cell in line.strip("|").split("|")]
        stated[cells[1]] = [int(cell) for cell in cells[2:]]
    return stated
