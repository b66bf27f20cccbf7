"""Tiny models of four families with real tokenizers: tags, order, batches, masks, resuming."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.generation.making import make_room
from tests.generation.translation.tiny_seq2seq import PAIRS

from whyguard.core.errors import ConfigError, DataError, MissingFileError
from whyguard.core.progress import Progress
from whyguard.core.steps import Room
from whyguard.generation.calls.keys import call_key
from whyguard.generation.calls.ledger import stored_answers
from whyguard.generation.teachers.base import Answer, BatchTeacher, Task, TeacherRuntime
from whyguard.generation.translation.backends import BackendConfig, open_backends
from whyguard.generation.translation.seq2seq import (
    Seq2SeqEngine,
    Seq2SeqTeacher,
    identity_of,
    key_config,
    seq2seq_tasks,
)

FAMILIES = ("nllb", "m2m", "madlad", "opus")
CPU = TeacherRuntime(device="cpu", threads=1, batch_size=4)
ASTURIAN = [source for target, source in PAIRS if target == "ast_Latn" and "[0]" not in source]


def entry(folder: Path, family: str, **other: Any) -> BackendConfig:
    base = {"kind": "seq2seq", "model": f"path:{folder}", "family": family, "max_new_tokens": 24}
    return BackendConfig.model_validate(base | other)


def teacher(folder: Path, family: str, runtime: TeacherRuntime = CPU, **other: Any
            ) -> Seq2SeqTeacher:  # fmt: skip
    return Seq2SeqTeacher(entry(folder, family, **other), runtime, Progress.silent())


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> tuple[Path, str]:
    return request.getfixturevalue(request.param), request.param


def said(answers: Sequence[Answer]) -> list[str | None]:
    return [answer.text for answer in answers]


def test_each_family_translates_into_the_language_of_its_tag(model: tuple[Path, str]) -> None:
    one = teacher(*model)
    assert isinstance(one, BatchTeacher)
    for target in ("ast_Latn", "eng_Latn"):
        pairs = {text: answer for (code, text), answer in PAIRS.items()
                 if code == target and "[0]" not in text}  # fmt: skip
        answers = one.answer_batch(seq2seq_tasks("spa_Latn", target, list(pairs)))
        assert said(answers) == list(pairs.values())
        assert {answer.finish for answer in answers} == {"stop"}
        assert all(answer.tokens and answer.prompt_tokens for answer in answers)


def test_masks_survive_in_a_form_that_the_vocabulary_spells(model: tuple[Path, str]) -> None:
    tasks = seq2seq_tasks("spa_Latn", "ast_Latn", ["La casa de ⟦0⟧ es vieja."])
    assert said(teacher(*model).answer_batch(tasks)) == ["La casa de ⟦0⟧ ye vieya."]


@pytest.mark.parametrize("beams", [1, 3])
def test_a_batch_says_what_each_text_says_alone(model: tuple[Path, str], beams: int) -> None:
    one = teacher(*model, beams=beams)
    tasks = seq2seq_tasks("spa_Latn", "ast_Latn", [*ASTURIAN, "La hermana", "El pastel es vieja."])
    alone = [one.answer_batch([task])[0] for task in tasks]
    assert one.answer_batch(tasks) == alone


@pytest.mark.parametrize(("family", "first", "last"), [
    ("nllb", ["spa_Latn"], ["</s>"]), ("m2m", ["__es__"], ["</s>"]),
    ("madlad", ["<2ast>"], ["</s>"]), ("opus", [">>ast<<"], ["</s>"]),
])  # fmt: skip
def test_the_source_holds_the_tag(family: str, first: list[str], last: list[str],
                                  request: pytest.FixtureRequest) -> None:  # fmt: skip
    one = teacher(request.getfixturevalue(family), family)
    one.answer_batch(seq2seq_tasks("spa_Latn", "ast_Latn", ["La casa"]))
    text = one._laid_out("La casa", one.check("spa_Latn", "ast_Latn"))
    tokens = one._tokenizer.convert_ids_to_tokens(one._tokenizer(text)["input_ids"])
    assert (tokens[:1], tokens[-1:]) == (first, last)


@pytest.mark.parametrize(("family", "target", "token"), [
    ("nllb", "ast_Latn", "ast_Latn"), ("nllb", "eng_Latn", "eng_Latn"),
    ("m2m", "ast_Latn", "__ast__"), ("m2m", "fra_Latn", "__fr__"),
])  # fmt: skip
def test_the_target_s_token_is_forced_to_be_first(
    family: str, target: str, token: str, request: pytest.FixtureRequest
) -> None:
    one = teacher(request.getfixturevalue(family), family)
    rows: list[list[int]] = []
    generate = one._loaded.model.generate

    def listen(**options: Any) -> Any:
        done = generate(**options)
        rows.extend(done.tolist())
        return done

    one._loaded.model.generate = listen
    one.answer_batch(seq2seq_tasks("spa_Latn", target, ["La casa es vieja.", "El río"]))
    wanted = one._tokenizer.convert_tokens_to_ids(token)
    assert [row[1] for row in rows] == [wanted, wanted]


@pytest.mark.parametrize(("family", "code", "match"), [
    ("nllb", "arg_Latn", r"language arg_Latn\n.*\n.*no tag 'arg_Latn'\n.*did you mean 'spa_Latn'"),
    ("m2m", "quy_Latn", r"no tag 'quy'\n.*to do: .*'"),
    ("madlad", "arg_Latn", r"no tag 'an'\n.*did you mean"),
    ("opus", "glg_Latn", r"no tag 'glg_Latn'\n.*(did you mean|use one of: ast, eng)"),
])  # fmt: skip
def test_a_language_that_the_model_lacks(family: str, code: str, match: str,
                                         request: pytest.FixtureRequest) -> None:  # fmt: skip
    one = teacher(request.getfixturevalue(family), family)
    with pytest.raises(ConfigError, match=match):
        one.check("spa_Latn", code)


def test_a_model_of_one_pair_needs_no_tag_and_knows_its_pair(opus_pair: Path) -> None:
    one = teacher(opus_pair, "opus")
    tasks = seq2seq_tasks("spa_Latn", "ast_Latn", ASTURIAN)
    assert said(one.answer_batch(tasks)) == [PAIRS["ast_Latn", text] for text in ASTURIAN]
    with pytest.raises(ConfigError, match=r"expected: spa_Latn -> cat_Latn\n.*found:    es -> ast"):
        one.check("spa_Latn", "cat_Latn")
    with pytest.raises(ConfigError, match=r"expected: por_Latn -> ast_Latn"):
        one.check("por_Latn", "ast_Latn")


def test_tags_of_the_recipe_come_first(nllb: Path) -> None:
    one = teacher(nllb, "nllb", tags={"arg_Latn": "ast_Latn"})
    answers = one.answer_batch(seq2seq_tasks("spa_Latn", "arg_Latn", ["La casa es vieja."]))
    assert said(answers) == ["La casa ye vieya."]
    assert one.identity != teacher(nllb, "nllb").identity


def test_a_translation_without_an_end_and_a_text_without_room_are_none(
    model: tuple[Path, str],
) -> None:
    short = teacher(*model, max_new_tokens=3)
    tasks = seq2seq_tasks("spa_Latn", "ast_Latn", ["La casa es vieja.", "casa " * 90])
    cut, long = short.answer_batch(tasks)
    assert (cut.text, cut.reason, cut.finish) == (None, "no end within 3 tokens", "length")
    assert long.text is None
    unbounded = model[1] == "madlad"  # relative positions
    wanted = "no end within 3 tokens" if unbounded else "has room for (64 tokens)"
    assert long.reason.endswith(wanted)


def test_batches_are_of_one_pair_and_like_length(nllb: Path) -> None:
    tasks = [*seq2seq_tasks("spa_Latn", "ast_Latn", ["a" * n for n in (9, 1, 8, 2, 7, 3)]),
             *seq2seq_tasks("spa_Latn", "eng_Latn", ["b"])]  # fmt: skip
    batches = teacher(nllb, "nllb").batches(tasks)
    lengths = [[len(task.messages[-1][1]) for task in batch] for batch in batches]
    assert lengths == [[1, 2, 3, 7], [8, 9], [1]]
    assert sorted(task for batch in batches for task in batch) == sorted(tasks)


class Counting(Seq2SeqTeacher):
    """Counts what it is asked."""

    asked = 0

    def answer_batch(self, tasks: Sequence[Task]) -> list[Answer]:
        Counting.asked += len(tasks)
        return super().answer_batch(tasks)


def test_order_and_one_call_for_equal_texts(nllb: Path, room: Room) -> None:
    backend = open_backends([entry(nllb, "nllb")], room, CPU)[0]
    texts = [ASTURIAN[n % len(ASTURIAN)] for n in (2, 0, 1, 1, 0, 2, 0)]
    found = backend.translate("spa_Latn", "ast_Latn", texts)
    assert [item.text if item else None for item in found] == [
        PAIRS["ast_Latn", text] for text in texts
    ]
    names = {item.translator for item in found if item}
    assert len(names) == 1
    assert names.pop().startswith("nllb path:tiny-nllb@sha256:")
    assert backend.uses[0].role == "translator"


def test_a_rerun_asks_nothing(nllb: Path, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whyguard.generation.translation.seq2seq.Seq2SeqTeacher", Counting)
    Counting.asked = 0
    for _ in range(2):
        engine = Seq2SeqEngine(entry(nllb, "nllb"), room, CPU)
        engine.translate("spa_Latn", "ast_Latn", ASTURIAN, [()] * len(ASTURIAN))
    assert Counting.asked == len(ASTURIAN)
    other = Seq2SeqEngine(entry(nllb, "nllb", beams=2), room, CPU)
    other.translate("spa_Latn", "ast_Latn", ASTURIAN[:1], [()])
    assert Counting.asked == len(ASTURIAN) + 1


def test_line_breaks_and_long_texts_are_re_joined(nllb: Path, room: Room) -> None:
    backend = open_backends([entry(nllb, "nllb", max_chars=20)], room, CPU)[0]
    text = "  La casa es vieja. El río pasa cerca.\n\nLa casa es vieja.\r\n"
    found = backend.translate("spa_Latn", "ast_Latn", [text, ""])
    assert found[0] is not None and found[0].unknown is None and found[0].lost == 0
    assert found[0].text == "  La casa ye vieya. El ríu pasa cerca.\n\nLa casa ye vieya.\r\n"
    assert found[1] is not None and found[1].text == ""


KILLED = """
import os, signal, sys
from whyguard.generation.translation import seq2seq
from tests.generation.making import make_room
from tests.generation.translation.test_seq2seq import CPU, entry
from pathlib import Path

done = 0
answer_batch = seq2seq.Seq2SeqTeacher.answer_batch

def die(self, tasks):
    global done
    done += 1
    if done == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer_batch(self, tasks)

seq2seq.Seq2SeqTeacher.answer_batch = die
engine = seq2seq.Seq2SeqEngine(entry(Path(sys.argv[1]), "nllb"), make_room(Path(sys.argv[2])),
                               CPU.model_copy(update={"batch_size": 2}))
engine.translate("spa_Latn", "ast_Latn", [f"La casa {n}" for n in range(10)], [()] * 10)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(nllb: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(nllb), str(tmp_path / "room")],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    room, config = make_room(tmp_path / "room"), entry(nllb, "nllb")
    texts = [f"La casa {n}" for n in range(10)]
    tasks = seq2seq_tasks("spa_Latn", "ast_Latn", texts)
    keys = [call_key(key_config(config), identity_of(config), task) for task in tasks]
    assert len(stored_answers(room.ledger, keys)) == 4
    runtime = CPU.model_copy(update={"batch_size": 2})
    again = Seq2SeqEngine(config, room, runtime)
    rest = again.translate("spa_Latn", "ast_Latn", texts, [()] * 10)
    fresh = Seq2SeqEngine(config, make_room(tmp_path / "other"), runtime)
    assert rest == fresh.translate("spa_Latn", "ast_Latn", texts, [()] * 10)
    assert stored_answers(room.ledger, keys) == set(keys)


def test_pickles_are_not_loaded(nllb: Path, tmp_path: Path) -> None:
    for path in nllb.iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(MissingFileError, match=r"weights as \*\.safetensors"):
        teacher(tmp_path, "nllb")


def test_a_model_of_another_kind_is_refused(llama: Path) -> None:
    one = teacher(llama, "nllb", tags={"spa_Latn": "<s>", "ast_Latn": "<s>"})
    with pytest.raises(DataError, match="an encoder-decoder that transformers can load"):
        one.answer_batch(seq2seq_tasks("spa_Latn", "ast_Latn", ["a"]))


def test_the_key_holds_what_shapes_the_answer(nllb: Path, tmp_path: Path) -> None:
    task = seq2seq_tasks("spa_Latn", "ast_Latn", ["La casa"])[0]
    base = entry(nllb, "nllb")
    others = [entry(nllb, "nllb", beams=2), entry(nllb, "nllb", max_new_tokens=9),
              entry(nllb, "m2m"), entry(nllb, "nllb", tags={"ast_Latn": "spa_Latn"})]  # fmt: skip
    keys = {call_key(key_config(one), identity_of(one), task) for one in (base, *others)}
    turned = seq2seq_tasks("ast_Latn", "spa_Latn", ["La casa"])[0]
    keys.add(call_key(key_config(base), identity_of(base), turned))
    assert len(keys) == 6
    moved = tmp_path / "tiny-nllb"
    moved.mkdir()
    for path in nllb.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    same = entry(moved, "nllb", pivot="eng_Latn", max_chars=99)
    assert call_key(key_config(same), identity_of(same), task) in keys
    facts = json.loads((moved / "config.json").read_text("utf-8"))
    (moved / "config.json").write_text(json.dumps(facts | {"made_up": 1}), "utf-8")
    assert identity_of(same) != identity_of(base)
