"""train/pairs.py: pairs of a real model, sampling that survives, pairs as tokens."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.train.conftest import Store, make_room
from tests.train.pair_making import (
    AST,
    ENGLISH,
    HARMFUL,
    UNHARMFUL,
    config_of,
    one_family,
    runtime_of,
    said,
    with_english,
)

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import DataError
from whyguard.core.progress import Progress
from whyguard.core.schemas import Example
from whyguard.core.steps import Input, Room
from whyguard.core.tables import Row, frame
from whyguard.generation.calls.keys import call_key
from whyguard.generation.calls.ledger import LEDGER_FILE, Ledger, stored_answers
from whyguard.generation.guard.prompts import DEFAULT_TEMPLATE, prompt_template
from whyguard.generation.guard.scoring import encode_pieces, encode_prompt
from whyguard.generation.teachers.shaping import load_tokenizer
from whyguard.train.folder import (
    GuardFacts,
    ScoreFacts,
    StageFacts,
    add_scores,
    plain_facts,
    write_guard,
)
from whyguard.train.pair_sampler import GuardSampler, sampling_tasks
from whyguard.train.pairs import (
    PAIRS,
    Asking,
    PreferencePair,
    Source,
    encode_pairs,
    estimate,
    run,
)
from whyguard.train.stages.data import StageData
from whyguard.train.stages.pairs_run import PairsJob, pairs_key

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("prefill", ["", "<think>"])
def test_encoded_pairs_are_the_prompt_and_what_follows_it(llama: Path, prefill: str) -> None:
    tokenizer, template = load_tokenizer(llama), prompt_template("short-v1")
    built = one_family(said(HARMFUL), said(UNHARMFUL), explanation="splice",
                       source=Source(Asking(template, prefill), "a guard"))  # fmt: skip
    (pair,) = encode_pairs(built.rows, tokenizer, template)
    row = built.rows[0]
    tail = tuple(encode_pieces(tokenizer, [prefill])) if prefill else ()
    assert pair.prompt_t == (*encode_prompt(tokenizer, template, row["prompt_t"]), *tail)
    assert pair.prompt_e == (*encode_prompt(tokenizer, template, row["prompt_e"]), *tail)
    for name in ("chosen", "rejected", "anchor"):
        assert prefill + tokenizer.decode(getattr(pair, name)) == row[name]
    judge = tuple(tokenizer("<judge>harmful</judge>", add_special_tokens=False).input_ids)
    assert pair.anchor[-len(judge) :] == judge, "the verdict's tokens are those of scoring"
    assert pair.chosen[: len(pair.anchor)] == pair.anchor
    with pytest.raises(DataError, match="template request-v1"):
        encode_pairs(built.rows, tokenizer, prompt_template("request-v1"))


@pytest.mark.parametrize(("changes", "message"), [
    ({"languages": [ENGLISH]}, "without eng_Latn"), ({"languages": [AST, AST]}, "each once"),
    ({"temperature": 0}, "temperature above 0"), ({"sampels": 2}, "sampels")])  # fmt: skip
def test_configs_that_cannot_be_meant(changes: Row, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_of(**changes)


def stored_examples(store: Store, groups: int = 8) -> dict[str, Input]:
    return {"examples": Input((store(Example, frame(Example, with_english(groups)), "examples"),))}


def test_pairs_of_a_real_model(store: Store, judging: Path, room: Room) -> None:
    inputs, config = stored_examples(store), config_of(judging)
    assert estimate(inputs, config, runtime_of(), room.ledger).calls == 48 * 4
    result = run(inputs, config, runtime_of(), room)
    rows = result.rows.to_dicts()
    assert result.read == 32 == len(rows) + result.drops.height
    assert len(rows) >= 16, "half of the samples are right, half are wrong"
    english = {row["family_id"]: row for row in with_english() if row["language"] == ENGLISH}
    for row in rows:
        assert row["chosen"] == f"<judge>{row['label']}</judge>" != row["rejected"]
        assert row["prompt_e"] == english[row["family_id"]]["text"]
    assert result.notes["families"] == len({row["family_id"] for row in rows})
    assert sum(result.notes["without"].values()) == result.drops.height
    calls = {row["chosen_call"] for row in rows} | {row["rejected_call"] for row in rows}
    assert stored_answers(room.ledger, calls) == calls


def test_a_rerun_asks_nothing_and_another_seed_asks_all(store: Store, judging: Path,
                                                        room: Room) -> None:  # fmt: skip
    inputs, config = stored_examples(store, 2), config_of(judging)
    first = run(inputs, config, runtime_of(), room)
    found = estimate(inputs, config, runtime_of(), room.ledger)
    assert (found.calls, found.cached) == (0, 12 * 4)
    assert run(inputs, config, runtime_of(3), room).rows.equals(first.rows)
    other = config_of(judging, seed=1)
    assert estimate(inputs, other, runtime_of(), room.ledger).calls == 12 * 4
    spliced = config_of(judging, explanation="splice", cap=1)
    assert estimate(inputs, spliced, runtime_of(), room.ledger).cached == 12 * 4


def test_a_random_model_gives_drops_and_no_pair(store: Store, llama: Path, room: Room) -> None:
    result = run(
        stored_examples(store, 1), config_of(llama, prefill_think=True), runtime_of(), room
    )
    assert result.rows.is_empty()
    assert set(result.drops["rule"]) == {"unreadable_on_english"}
    assert result.notes["without"] == {"unreadable_on_english": 4}


def facts_of(template: str, *, prefill: bool) -> GuardFacts:
    """Facts of a guard whose GRPO stage asked it so."""
    stage = StageFacts(stage="grpo", data="made", data_sha256="", rows=1, steps=1, seed=0,
                       settings={"prefill_think": prefill})  # fmt: skip
    facts = plain_facts(ModelUse(reference="x", revision="", licence="", role="base"), template)
    return facts.model_copy(update={"stages": (stage,)})


@pytest.mark.parametrize(("told", "expected"), [(None, "<think>"), (False, ""), (True, "<think>")])
def test_a_guard_is_asked_as_its_grpo_stage_asked_it(
    store: Store, llama: Path, room: Room, told: bool | None, expected: str, tmp_path: Path
) -> None:
    shutil.copytree(llama, tmp_path / "guard")
    write_guard(tmp_path / "guard", facts_of("request-v1", prefill=True))
    inputs = stored_examples(store, 1)
    run(inputs, config_of(tmp_path / "guard", prefill_think=told, samples=1), runtime_of(), room)
    template = prompt_template("request-v1")
    config = config_of(tmp_path / "guard", samples=1)
    identity = GuardSampler(config.teacher, runtime_of(), Progress.silent(), template).identity
    rows = [row for row in with_english(1) if row["language"] != "eng_Latn"]
    asked = [call_key(config.teacher, identity, task) for task in sampling_tasks(rows, 1, expected)]
    assert stored_answers(room.ledger, asked) == set(asked)


def test_the_key_of_stored_pairs_says_how_the_guard_is_asked(llama: Path,
                                                             tmp_path: Path) -> None:  # fmt: skip
    guard = tmp_path / "guard"
    shutil.copytree(llama, guard)
    data = StageData(frame(Example, with_english(1)), "made", "", ())

    def key(facts: GuardFacts | None = None, **changes: Any) -> str:
        if facts is not None:
            write_guard(guard, facts)
        return pairs_key(PairsJob(config_of(guard, **changes), "made", "datasets"), data)

    untrained = key()
    plain = key(facts_of(DEFAULT_TEMPLATE, prefill=False))
    asked = key(facts_of("request-v1", prefill=False))
    begun = key(facts_of("request-v1", prefill=True))
    assert untrained == plain
    assert len({plain, asked, begun}) == 3
    add_scores(guard, [ScoreFacts(name="f1", language=AST, mode="no_think", value=0.5)])
    assert key() == begun, "figures change no sample"
    assert key(prompt=DEFAULT_TEMPLATE, prefill_think=False) == plain, "as is said, or found"


def test_samples_end_behind_the_verdict_whatever_the_tokens(store: Store, judging: Path,
                                                            room: Room) -> None:  # fmt: skip
    result = run(stored_examples(store, 1), config_of(judging, max_new_tokens=200),
                 runtime_of(), room)  # fmt: skip
    assert result.rows.height
    with Ledger(room.ledger) as ledger:
        answers = ledger.get(result.rows["chosen_call"].to_list(), 0.0)
    assert all(answer.finish == "stop" for answer in answers.values())
    assert all((answer.text or "").endswith("</judge>") for answer in answers.values())


def test_no_rows_in_a_language_is_an_error(store: Store, judging: Path, room: Room) -> None:
    with pytest.raises(DataError, match="train rows in cat_Latn"):
        run(
            stored_examples(store, 1),
            config_of(judging, languages=["cat_Latn"]),
            runtime_of(),
            room,
        )


def test_the_declaration() -> None:
    assert (PAIRS.name, PAIRS.output) == ("train.pairs", PreferencePair)
    assert PAIRS.inputs == {"examples": Example}


@pytest.mark.slow
def test_a_killed_run_asks_only_what_is_missing(store: Store, judging: Path,
                                                tmp_path: Path) -> None:  # fmt: skip
    inputs = stored_examples(store)
    expected = run(inputs, config_of(judging), runtime_of(4), make_room(tmp_path / "whole"))
    killed = tmp_path / "killed"
    make_room(killed)
    words = [str(judging), str(tmp_path / "store" / "examples"), str(killed)]
    paths = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / '.dev'}"}
    process = subprocess.Popen([sys.executable, "-m", "tests.train.judging", *words], cwd=ROOT,
                               env=paths)  # fmt: skip
    deadline = time.monotonic() + 60
    while count(killed) < 40 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    stored = count(killed)
    assert 40 <= stored < 48 * 4 and stored % 4 == 0, "batches are stored whole"
    room = Room(killed / "files", killed / "scratch", make_room(tmp_path / "x").progress,
                killed / "ledger")  # fmt: skip
    left = estimate(inputs, config_of(judging), runtime_of(4), room.ledger)
    assert (left.cached, left.calls) == (stored, 48 * 4 - stored)
    assert run(inputs, config_of(judging), runtime_of(4), room).rows.equals(expected.rows)
    assert count(killed) == 48 * 4


def count(folder: Path) -> int:
    """Stored answers of a ledger."""
    path = folder / "ledger" / LEDGER_FILE
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            return int(db.execute("select count(*) from call").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_tables_are_read_back_as_they_were(store: Store, judging: Path, room: Room) -> None:
    result = run(stored_examples(store, 2), config_of(judging), runtime_of(), room)
    again = store(PreferencePair, result.rows, "pairs").rows()
    assert again.equals(result.rows)
    assert isinstance(again["categories"].dtype, pl.List)
