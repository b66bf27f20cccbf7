"""Glossary proposals of annotators: gathered from answers, and accepted into a user's pack."""

import datetime
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

import dataframely as dy
import polars as pl

from whyguard.annotation.glossary_file import changed_term, with_term
from whyguard.annotation.questions import Q
from whyguard.annotation.views.base import Given
from whyguard.core.drafts import write_whole
from whyguard.core.errors import ConfigError, DataError, MissingFileError, explain, fail
from whyguard.core.languages import ENGLISH
from whyguard.core.schemas import LANGUAGE_PATTERN, ReviewItem
from whyguard.core.tables import Row, drop, drops_frame, frame, validated
from whyguard.core.text_safety import one_line
from whyguard.curation.normalise import fold, normalise
from whyguard.generation.packs.check import Level, check_pack
from whyguard.generation.packs.load import GLOSSARY, Term, load_pack, pack_file

_NOT_IN_PLACE = "a form of YAML that cannot be edited in place"
_Asked = tuple[str, str]
"""Item and annotator."""


class GlossaryProposal(dy.Schema):
    """A better word for a term, as annotators proposed it.

    `times` counts answers; `rivals` are other words that were proposed for the same term.
    """

    language = dy.String(primary_key=True, regex=LANGUAGE_PATTERN)
    source_language = dy.String(primary_key=True, regex=LANGUAGE_PATTERN)
    term = dy.String(primary_key=True, min_length=1)
    better = dy.String(primary_key=True, min_length=1)
    times = dy.Int64(min=1)
    annotators = dy.List(dy.String(), nullable=False)
    items = dy.List(dy.String(), nullable=False)
    rivals = dy.List(dy.String(), nullable=False)


class Proposal(NamedTuple):
    """One row of `GlossaryProposal`."""

    language: str
    source_language: str
    term: str
    better: str
    times: int
    annotators: tuple[str, ...]
    items: tuple[str, ...]
    rivals: tuple[str, ...] = ()


class Proposals(NamedTuple):
    """The proposals, most frequent first within a language, and answers that are none."""

    rows: pl.DataFrame
    drops: pl.DataFrame


class Accepted(NamedTuple):
    """What was written where; `before` is the word that stood there, None for a new term."""

    path: Path
    term: Term
    before: str | None
    changed: bool


class _One(NamedTuple):
    language: str
    source_language: str
    term: str
    better: str
    asked: _Asked

    @property
    def about(self) -> tuple[str, str, str]:
        """Languages and term, without regard to case."""
        return self.language, self.source_language, fold(self.term)


def find_proposals(answers: Iterable[Given], items: pl.DataFrame) -> Proposals:
    """Gather the answers to `glossary_term` and `glossary_better` of one item and annotator.

    Terms are one where they differ in case alone. Half a proposal, one about no known item, and one
    on a text that was not translated are dropped with their reason.

    Args:
        answers: answers to any questions; others than these two are passed over.
        items: rows of `ReviewItem`, for the languages.

    Raises:
        DataError: `items` are no review items.
    """
    known = {row["item_id"]: row for row in validated(ReviewItem, items, "items").to_dicts()}
    halves: dict[_Asked, dict[str, str]] = {}
    for answer in answers:
        if answer.question in (Q.GLOSSARY_TERM, Q.GLOSSARY_BETTER):
            text = normalise(one_line(answer.value))
            halves.setdefault((answer.item_id, answer.annotator), {})[answer.question] = text
    found: list[_One] = []
    drops: list[dict[str, str]] = []
    for asked, texts in sorted(halves.items()):
        one = _one(asked, texts, known)
        if isinstance(one, _One):
            found.append(one)
        else:
            drops.append(drop(texts, " ".join(asked), *one, "glossary"))
    return Proposals(frame(GlossaryProposal, _grouped(found)), drops_frame(drops))


def _one(asked: _Asked, texts: Mapping[str, str],
         known: Mapping[str, Row]) -> _One | tuple[str, str]:  # fmt: skip
    """The proposal, or the rule by which there is none and the reason in words."""
    item = known.get(asked[0])
    if item is None:
        return "no_item", "no such item in this campaign"
    term, better = texts.get(Q.GLOSSARY_TERM, ""), texts.get(Q.GLOSSARY_BETTER, "")
    if not term or not better:
        return "half", "a term without a better one, or a better one without its term"
    source = str(item["source_language"] or ENGLISH)
    if source == item["language"]:
        return "not_translated", f"the item is not a translation: it was written in {source}"
    return _One(str(item["language"]), source, term, better, asked)


def _grouped(found: Iterable[_One]) -> list[Row]:
    by_term: dict[tuple[str, str, str], dict[str, list[_One]]] = {}
    for one in found:
        by_term.setdefault(one.about, {}).setdefault(one.better, []).append(one)
    rows: list[Row] = []
    for (language, source, _), words in by_term.items():
        names = Counter(one.term for ones in words.values() for one in ones)
        term = min(names, key=lambda name: (-names[name], name))
        rows += [
            {"language": language, "source_language": source, "term": term, "better": better,
             "times": len(ones), "annotators": sorted({one.asked[1] for one in ones}),
             "items": sorted({one.asked[0] for one in ones}),
             "rivals": sorted(set(words) - {better})}
            for better, ones in words.items()
        ]  # fmt: skip
    return sorted(rows, key=lambda row: (row["language"], -row["times"], row["term"],
                                         row["better"]))  # fmt: skip


def proposal_of(row: Row) -> Proposal:
    """A row of `GlossaryProposal` as a value."""
    lists = {name: tuple(row[name]) for name in ("annotators", "items", "rivals")}
    return Proposal(**row | lists)


def accept(packs: Path, proposal: Proposal, *, by: str, when: datetime.date,
           replace: bool = False) -> Accepted:  # fmt: skip
    """Write a proposal into the user's packs as a reviewed term.

    The user's `packs/LANGUAGE/glossary.yaml` is changed where the term stands, and nowhere else:
    comments and order stay. Where there is none, the shipped glossary is copied first. The changed
    pack is read and checked in a folder aside before the file takes its place by a rename.

    Args:
        packs: the user's folder of packs; made where it is missing.
        proposal: what is accepted.
        by: who accepts it; stands in the term's note beside the pseudonyms of who proposed it.
        when: the day of the decision.
        replace: whether another word for the term may be replaced. It is kept in the note.

    Raises:
        ConfigError: the term has another word and `replace` is not set.
        MissingFileError: the language has no pack.
        DataError: the pack cannot be read, or what comes of it would not pass `whyguard locale
            check`.
    """
    language = proposal.language
    pack = load_pack(language, packs if packs.is_dir() else None)
    if pack is None:
        fail(MissingFileError, where=f"pack of {language}", expected="a pack", found="none",
             do=f"write one: whyguard locale new {language} --packs {packs}")  # fmt: skip
    old = next((term for term in pack.glossary if _same(term, proposal)), None)
    path = packs / language / GLOSSARY
    if old is not None and old.target == proposal.better and old.reviewed:
        return Accepted(path, old, old.target, changed=False)
    if old is not None and old.target != proposal.better and not replace:
        fail(ConfigError, where=f"glossary of {language}: '{old.source}'",
             expected=f"'{proposal.better}', or no word yet", found=f"'{old.target}'",
             do="say that it may be replaced, or leave it")  # fmt: skip
    term = _term(proposal, old, one_line(by), when)
    text = _text(path, language)
    new = with_term(text, term) if old is None else changed_term(text, old, term)
    _prove(packs, language, new, expected=_terms_after(pack.glossary, old, term))
    _replace(path, new)
    return Accepted(path, term, old.target if old else None, changed=True)


def _same(term: Term, proposal: Proposal) -> bool:
    return (term.language, fold(term.source)) == (proposal.source_language, fold(proposal.term))


def _term(proposal: Proposal, old: Term | None, by: str, when: datetime.date) -> Term:
    who = ", ".join(proposal.annotators)
    note = f"proposed by {who}, accepted by {by}, {when.isoformat()}"
    if old is None:
        return Term(source=proposal.term, target=proposal.better, note=note, reviewed=True,
                    language=proposal.source_language)  # fmt: skip
    if old.target != proposal.better:
        note += f"; before: {old.target}"
    note = f"{old.note}; {note}" if old.note else note
    return old.model_copy(update={"target": proposal.better, "note": note, "reviewed": True})


def _terms_after(terms: tuple[Term, ...], old: Term | None, new: Term) -> tuple[Term, ...]:
    if old is None:
        return (*terms, new)
    return tuple(new if term == old else term for term in terms)


def _text(path: Path, language: str) -> str:
    """The glossary with its own line ends: the user's, or the shipped one where there is none."""
    source = path if path.is_file() else pack_file(language, GLOSSARY)
    return source.read_bytes().decode("utf-8") if source is not None else ""


def _prove(packs: Path, language: str, text: str, expected: tuple[Term, ...]) -> None:
    """Read and check the pack as it would be, in a folder aside."""
    known = _errors(language, packs if packs.is_dir() else None)
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside) / language
        if (packs / language).is_dir():
            shutil.copytree(packs / language, folder)
        folder.mkdir(exist_ok=True)
        (folder / GLOSSARY).write_bytes(text.encode())
        try:
            pack, found = load_pack(language, Path(aside)), _errors(language, Path(aside)) - known
        except DataError as error:  # it names the file aside: say it of the file that is meant
            _unfit(packs / language / GLOSSARY, _NOT_IN_PLACE, error)
    if found or pack is None or pack.glossary != expected:
        _unfit(packs / language / GLOSSARY, "; ".join(sorted(found))[:300] or _NOT_IN_PLACE)


def _unfit(path: Path, found: str, cause: Exception | None = None) -> NoReturn:
    message = explain(str(path), "one changed term, and a pass of `whyguard locale check`", found,
                      "write the term into the file by hand, or choose another word")  # fmt: skip
    raise DataError(message) from cause


def _errors(language: str, packs: Path | None) -> set[str]:
    findings = check_pack(language, packs).findings
    return {f"{item.where}: {item.text}" for item in findings if item.level is Level.ERROR}


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
