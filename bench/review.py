"""Routing and audit of real starter rows with planted faults.

Routing. Half of the groups are reviewed for a budget, in the order of the cold start, by people who
are always right; the router is fitted to what they found. The other half then has faults of kinds
that the first did not have. The baseline spends the same time on rows by chance, one rationale item
each: it finds the budget's share of the faults on average. The router pays for its random share and
for items that two people answer out of the same time.

Audit. The rows that routing left are frozen, some are drawn, and the bounds that are stated are
held against the true rates of the pool.
"""

import datetime
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from bench.harness import Figure
from bench.review_faults import LANGUAGES, Material, Version, material
from whyguard.annotation.audit.bound import lower_rate, shared_alpha, upper_rate
from whyguard.annotation.audit.draw import AuditConfig, audit_items, draw, pool_rows
from whyguard.annotation.audit.questions import AuditQuestion
from whyguard.annotation.audit.statement import AuditStatement, statements
from whyguard.annotation.questions import Q
from whyguard.annotation.routing.choose import Budget, Candidate, Chosen, choose
from whyguard.annotation.routing.features import Features, features_of
from whyguard.annotation.routing.fitting import Answer, Model, fit
from whyguard.annotation.routing.risk import assess
from whyguard.core.schemas import Decision, ReviewItem
from whyguard.core.tables import Row, frame
from whyguard.core.values import Purpose
from whyguard.generation.signals.names import Signal
from whyguard.generation.signals.text import length_z

SEEDS = 20
_SEEDS_ALONE = 5
RATE = 0.1
BUDGETS = (0.10, 0.15)
"""Shares of the rows that one person could look at in the time."""
SECONDS = 75.0
"""One answer to a rationale item; a blind one takes 20."""
SPLITS = {
    "text": ("other row", "twin", "truncated", "clause twice", "swapped words"),
    "language, detail": ("relative", "untranslated", "half untranslated", "word by word",
                         "dropped number", "negated"),
    "every other kind": ("other row", "truncated", "swapped words", "untranslated", "word by word",
                         "negated"),
    "the others": ("twin", "clause twice", "relative", "half untranslated", "dropped number"),
}  # fmt: skip
"""Kinds of faults; a split is fitted on its own and tested on the rest."""
_T19 = 2.093
"""97.5 % quantile of Student's t with 19 degrees of freedom."""
RUNS = 500
AUDITED = 80
LEVELS = {AuditQuestion.VERDICT: 0.05, AuditQuestion.RATIONALE: 0.08}
"""Mean rates of wrong labels, and of wrong rationales; translations have the planted faults."""
_AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Batch(NamedTuple):
    """Rows with their features; `kinds` names each row's fault, '' where it is good."""

    rows: list[Row]
    features: Features
    kinds: list[str]

    @property
    def faults(self) -> int:
        """How many rows are wrong."""
        return sum(map(bool, self.kinds))


class Outcome(NamedTuple):
    """Share of the faults that were found, by how it was routed, and P(wrong) on the whole."""

    fitted: float
    cold: float
    stated: float
    true: float


def run() -> list[Figure]:
    """Prints the details; fails where what is promised does not hold."""
    made = material()
    kinds = {kind for kind in made.faulty if made.faulty[kind]}
    figures = [figure for name, fitting in SPLITS.items() for share in BUDGETS
               for figure in _split(made, name, sorted(kinds & set(fitting)),
                                    sorted(kinds - set(fitting)), share)]  # fmt: skip
    _by_kind(made, sorted(kinds))
    figures += _audits(made, sorted(kinds))
    return figures


def _split(made: Material, name: str, fitting: Sequence[str], testing: Sequence[str],
           share: float) -> list[Figure]:  # fmt: skip
    """A figure of the fitted router, and one of the cold start, on kinds it was not fitted on."""
    done = [_tried(made, fitting, testing, share, seed) for seed in range(SEEDS)]
    stated = statistics.mean(item.stated for item in done)
    print(f"router fitted on the kinds '{name}': it states {100 * stated:.1f} % wrong of the other "
          f"rows, {100 * statistics.mean(item.true for item in done):.1f} % are")  # fmt: skip
    return [
        _found(f"faults found, fitted on {name}, {share:.0%}",
               [item.fitted for item in done], share),
        _found(f"the same rows, cold start, {share:.0%}", [item.cold for item in done], share),
    ]  # fmt: skip


def _found(name: str, found: Sequence[float], share: float) -> Figure:
    """Seconds of people's time a fault found; chance finds `share` of them in the same time."""
    mean = statistics.mean(found)
    half = _T19 * statistics.stdev(found) / math.sqrt(len(found))
    ratios = f"{(mean - half) / share:.1f} to {(mean + half) / share:.1f}"
    if mean < 2.0 * share:
        raise AssertionError(f"{name}: {mean / share:.2f} times what chance finds, not 2 or more")
    each = SECONDS / RATE
    return Figure(name, "rows by chance", each, each * share / mean,
                  f"{100 * mean:.0f} % of faults; 95 % interval of the ratio {ratios}")  # fmt: skip


def _tried(made: Material, fitting: Sequence[str], testing: Sequence[str], share: float, seed: int
           ) -> Outcome:  # fmt: skip
    mine, rest = _halves(made, seed)
    before = planted(made, mine, fitting, f"{seed} before")
    now = planted(made, rest, testing, f"{seed} now")
    budget = budget_of(share)
    model = fit(before.features, _answers(before, routed(before, None, budget, f"{seed}")))
    stated = model.risk(now.features) if model else assess(now.features).risk
    return Outcome(
        _share(now, routed(now, model, budget, f"{seed} next")),
        _share(now, routed(now, None, budget, f"{seed} next")),
        float(stated.mean()), now.faults / len(now.rows),
    )  # fmt: skip


def _halves(made: Material, seed: int) -> tuple[list[int], list[int]]:
    """Places of the rows of half of the groups, and of the other half."""
    groups = sorted({row["group_id"] for row in made.rows})
    first = set(random.Random(f"halves {seed}").sample(groups, len(groups) // 2))
    places = range(len(made.rows))
    return ([i for i in places if made.rows[i]["group_id"] in first],
            [i for i in places if made.rows[i]["group_id"] not in first])  # fmt: skip


def planted(made: Material, places: Sequence[int], kinds: Sequence[str], seed: str) -> Batch:
    """These rows, a tenth of them with a fault of one of the kinds."""
    rng = random.Random(seed)
    wanted, wrong = round(RATE * len(places)), dict[int, str]()
    for place in rng.sample(places, len(places)):
        kind = rng.choice(kinds)
        if len(wrong) < wanted and place in made.faulty[kind]:
            wrong[place] = kind
    versions = [made.faulty[wrong[i]][i] if i in wrong else made.good[i] for i in places]
    rows = _examples([made.rows[i] for i in places], versions)
    return Batch(rows, features_of(rows), [wrong.get(i, "") for i in places])


def _examples(rows: Sequence[Row], versions: Sequence[Version]) -> list[Row]:
    """Rows of a version, with the length z-score of this very batch among their signals."""
    scores: dict[int, float | None] = {}
    for language in LANGUAGES:
        at = [i for i, row in enumerate(rows) if row["language"] == language]
        ratios = [versions[i].values[Signal.LENGTH_RATIO] or 0.0 for i in at]
        scores |= dict(zip(at, length_z(ratios), strict=True))
    return [_example(row, version, scores[i])
            for i, (row, version) in enumerate(zip(rows, versions, strict=True))]  # fmt: skip


def _example(row: Row, version: Version, z: float | None) -> Row:
    values = version.values | {Signal.LENGTH_RATIO_Z.value: z}
    harmful = row["label"] == "harmful"
    return row | {
        "example_id": f"{row['family_id']}:{row['language']}", "text": version.text,
        "split": "train", "think": None, "translator": "apertium", "reviewed": False,
        "explanation": "a rationale" if harmful else None, "explanation_generator": None,
        "signals": [{"name": name, "value": value} for name, value in values.items()],
    }  # fmt: skip


def budget_of(share: float) -> Budget:
    """Time for this share of a language's rows, of which there are 120 in a batch."""
    return Budget(amount=share * SECONDS * 120, blind=20.0, rationale=SECONDS)


def routed(batch: Batch, model: Model | None, budget: Budget, seed: str) -> dict[int, Chosen]:
    """Place of a row -> how it was chosen, over all languages."""
    assessed = assess(batch.features, model)
    chosen: dict[int, Chosen] = {}
    for language in LANGUAGES:
        places = {row["example_id"]: i for i, row in enumerate(batch.rows)
                  if row["language"] == language}  # fmt: skip
        pool = [Candidate(name, batch.rows[i]["group_id"], "".join(batch.rows[i]["categories"]),
                          assessed.aspects[i], float(assessed.score[i]))
                for name, i in places.items()]  # fmt: skip
        chosen |= {places[one.example_id]: one
                   for one in choose(pool, (), budget, f"{seed} {language}")}  # fmt: skip
    return chosen


def _answers(batch: Batch, chosen: Mapping[int, Chosen]) -> list[Answer]:
    return [Answer(i, batch.rows[i]["group_id"], bool(batch.kinds[i]), one.weight or 1.0,
                   one.purpose is Purpose.RANDOM) for i, one in chosen.items()]  # fmt: skip


def _share(batch: Batch, chosen: Mapping[int, Chosen]) -> float:
    return sum(bool(batch.kinds[i]) for i in chosen) / batch.faults


def _by_kind(made: Material, kinds: Sequence[str]) -> None:
    """What the cold start finds of each kind, mixed with all others and where there is no other."""
    mixed: dict[str, list[bool]] = {kind: [] for kind in kinds}
    alone: dict[str, list[bool]] = {kind: [] for kind in kinds}
    for seed in range(SEEDS):
        places = _halves(made, seed)[1]
        _note(mixed, planted(made, places, kinds, f"{seed} mixed"), seed)
        for kind in kinds if seed < _SEEDS_ALONE else ():
            _note(alone, planted(made, places, [kind], f"{seed} {kind}"), seed)
    print(f"cold start, time for {BUDGETS[0]:.0%}, share found of each kind (alone: no other):")
    for kind in kinds:
        print(f"  {kind:<18} {statistics.mean(mixed[kind]):.0%}, "
              f"alone {statistics.mean(alone[kind]):.0%}")  # fmt: skip


def _note(found: dict[str, list[bool]], batch: Batch, seed: int) -> None:
    chosen = routed(batch, None, budget_of(BUDGETS[0]), f"{seed}")
    for i, kind in enumerate(batch.kinds):
        if kind:
            found[kind].append(i in chosen)


class Audited(NamedTuple):
    """One audit: what was stated, the true rates, and the exact bounds of the same sample."""

    stated: list[AuditStatement]
    true: dict[AuditQuestion, float]

    @property
    def holds(self) -> bool:
        """Whether every bound covers its rate."""
        return all(item.upper >= self.true[item.question] for item in self.stated)


def _audits(made: Material, kinds: Sequence[str]) -> list[Figure]:
    """Coverage is printed; the figures compare the median bounds."""
    done = [_audited(made, kinds, number) for number in range(RUNS)]
    covered = sum(item.holds for item in done)
    low, high = lower_rate(None, RUNS, covered, 0.025), upper_rate(None, RUNS, covered, 0.025)
    print(f"audit: all three bounds hold in {covered} of {RUNS} runs (95 % interval of the share "
          f"{low:.3f} to {high:.3f})")  # fmt: skip
    if covered < 0.95 * RUNS:
        raise AssertionError(f"the bounds hold in {covered} of {RUNS} runs, not in 95 %")
    return [figure for question in AuditQuestion for figure in _medians(question, done)]


def _medians(question: AuditQuestion, done: Sequence[Audited]) -> list[Figure]:
    """Against the exact bound of each sample: of the same level, and of 95 % for it alone."""
    own = [item for audit in done for item in audit.stated if item.question is question]
    ours = statistics.median(item.upper for item in own)
    held = sum(audit.true[question] <= item.upper for audit in done for item in audit.stated
               if item.question is question)  # fmt: skip
    figures = []
    for name, alpha in (("exact, same level", shared_alpha(3)), ("exact, alone at 95 %", 0.05)):
        best = [exact(item, alpha) for item in own]
        ratio = statistics.median(item.upper / top for item, top in zip(own, best, strict=True))
        if ratio > 1.3:
            raise AssertionError(f"{question}: the bound is {ratio:.2f} times the {name}")
        note = (f"% of rows, not s; {ratio:.2f} times the {name} of each sample (median); holds "
                f"in {held} of {RUNS}")  # fmt: skip
        figures.append(Figure(f"audit bound of {question}, median", name,
                              100 * statistics.median(best), 100 * ours, note))  # fmt: skip
    return figures


def exact(item: AuditStatement, alpha: float) -> float:
    """The bound by trying every number of wrong rows, in whole numbers."""
    pool, drawn, wrong = item.pool or 0, item.drawn, item.wrong
    level, bad = Fraction(alpha), wrong
    whole = math.comb(pool, drawn)
    while bad < pool - (drawn - wrong):
        ways = sum(math.comb(bad + 1, x) * math.comb(pool - bad - 1, drawn - x)
                   for x in range(wrong + 1))  # fmt: skip
        if Fraction(ways, whole) <= level:
            break
        bad += 1
    return bad / pool


def _audited(made: Material, kinds: Sequence[str], number: int) -> Audited:
    """Route, freeze what is left, draw, let people answer, and state the bounds."""
    language = LANGUAGES[number % len(LANGUAGES)]
    places = [i for i, row in enumerate(made.rows) if row["language"] == language]
    batch = planted(made, places, kinds, f"audit {number}")
    chosen = routed(batch, None, budget_of(2 * BUDGETS[0]), f"audit {number}")
    pool = [row for i, row in enumerate(batch.rows) if i not in chosen]
    bad = {row["example_id"]: bool(kind) for row, kind in zip(batch.rows, batch.kinds, strict=True)}
    wrong = _wrong(pool, bad, random.Random(f"wrong {number}"))
    config = AuditConfig(campaign="bench", languages=(language,), size=AUDITED, seed=number)
    facts = pool_rows(pool, {})
    items = frame(ReviewItem, audit_items(pool, draw(facts, config, language), {}, config))
    decisions = frame(Decision, [row for item in items.to_dicts() for row in _decided(item, wrong)])
    counts = {(language, 1): sum(row["rationale"] for row in facts)}
    stated = statements(items, decisions, rationales=counts)
    sizes = {item.question: item.pool or 1 for item in stated}
    return Audited(stated, {question: len(names) / sizes[question]
                            for question, names in wrong.items()})  # fmt: skip


def _wrong(pool: Sequence[Row], bad: Mapping[str, bool], rng: random.Random
           ) -> dict[AuditQuestion, set[str]]:  # fmt: skip
    """By question the rows of the pool that are wrong in it."""
    names = [str(row["example_id"]) for row in pool]
    explained = [str(row["example_id"]) for row in pool if row["explanation"]]
    return {
        AuditQuestion.VERDICT: _some(names, LEVELS[AuditQuestion.VERDICT], rng),
        AuditQuestion.TRANSLATION: {name for name in names if bad[name]},
        AuditQuestion.RATIONALE: _some(explained, LEVELS[AuditQuestion.RATIONALE], rng),
    }  # fmt: skip


def _some(names: Sequence[str], rate: float, rng: random.Random) -> set[str]:
    """About this rate of them, between none and twice as many."""
    return set(rng.sample(names, round(rng.uniform(0.0, 2.0 * rate) * len(names))))


def _decided(item: Row, wrong: Mapping[AuditQuestion, set[str]]) -> list[Row]:
    """What right people say of an audit's item."""
    bad = {question: item["example_id"] in names for question, names in wrong.items()}
    if item["kind"] == "blind":
        other = "unharmful" if item["label"] == "harmful" else "harmful"
        said = {Q.VERDICT: other if bad[AuditQuestion.VERDICT] else item["label"]}
    else:
        said = {Q.TRANSLATION_ADEQUACY: "1" if bad[AuditQuestion.TRANSLATION] else "4"}
        if item["rationale"]:
            said[Q.RATIONALE_QUALITY] = "2" if bad[AuditQuestion.RATIONALE] else "5"
    return [{"item_id": item["item_id"], "question": question.value, "value": value,
             "example_id": item["example_id"], "language": item["language"],
             "purpose": item["purpose"], "rule": "single", "annotators": ["a-1"],
             "decided_at": _AT} for question, value in said.items()]  # fmt: skip
