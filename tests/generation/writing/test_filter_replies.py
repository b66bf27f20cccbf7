"""generation.filter_replies: refusals refuse, answers answer."""

from pathlib import Path
from typing import Any

from tests.generation.making import counted, prompt
from tests.generation.writing.made import reply, with_replies

from whyguard.core.steps import Room, Runtime, StepResult
from whyguard.generation.packs.load import known_packs, load_pack
from whyguard.generation.writing.filter_replies import FILTER_REPLIES, ReplyLimits

NO = "I'm sorry, but I cannot help with that. I can tell you about locks in museums."
YES = "The garden opens at nine on Sundays, and the path along the river stays open all night."
PROMPTS = [prompt(n, label) for n in range(20) for label in ("harmful", "unharmful")]


def run(folder: Path, room: Room, *rows: dict[str, Any], **limits: Any) -> StepResult:
    given = with_replies(folder, rows, prompts=PROMPTS)
    limits = {"check_language": False} | limits
    return FILTER_REPLIES.run(given, ReplyLimits(**limits), Runtime(), room)


def test_each_rule(tmp_path: Path, room: Room) -> None:
    result = run(
        tmp_path, room,
        reply(0, NO), reply(0, YES, "helpful"),
        reply(1, NO) | {"prompt_id": "made:001-b:eng_Latn"},
        reply(2, YES), reply(3, NO, "helpful"),
        reply(4, f"{NO} First, open the box."),
        reply(5, f"<think>{NO}</think>"), reply(6, "No."), reply(7, "I cannot help you. " * 9),
        reply(8, "placeholder unharmful request 8", "helpful"),
        reply(9, NO, language="hin_Deva"),
        reply(10, "See https://example.org: 1. open it.", "helpful"),
    )  # fmt: skip
    assert result.rows["text"].to_list() == [NO, YES, "See https://example.org: 1. open it."]
    assert counted(result.drops) == {"answers": 1, "echo": 1, "format": 1, "help": 1, "kind": 1,
                                     "length": 1, "refuses": 1, "repetition": 1,
                                     "script": 1}  # fmt: skip
    assert result.read == 12
    assert result.drops["row_id"][0] == "made:001-b:eng_Latn:eng_Latn"
    assert result.notes["yield"]["answers"]["eng_Latn"]["unmeasured"] == 1


def test_a_refusal_that_repeats_the_request(tmp_path: Path, room: Room) -> None:
    words = "how does one carry the blue box of the old harbour master over the bridge"
    given = with_replies(tmp_path, [reply(0, f"I cannot help with {words}.")],
                         prompts=[prompt(0, text=words)])  # fmt: skip
    result = FILTER_REPLIES.run(given, ReplyLimits(check_language=False), Runtime(), room)
    assert counted(result.drops) == {"copying": 1}


def test_refusals_of_language_packs_pass(tmp_path: Path, room: Room) -> None:
    rows = [reply(n, text, language=code)
            for code in known_packs() for pack in [load_pack(code)] if pack
            for n, text in enumerate(pack.wording.refusals)]  # fmt: skip
    result = run(tmp_path, room, *rows)
    assert result.drops.select("row_id", "rule").rows() == []
    assert result.rows.height == len(rows)


def test_a_language_without_phrases_is_not_measurable(tmp_path: Path, room: Room) -> None:
    result = run(tmp_path, room, reply(0, "Ezin dizut lagundu honekin.", language="eus_Latn"))
    assert result.rows.height == 1
    assert result.notes["yield"]["refuses"]["eus_Latn"]["unmeasured"] == 1


def test_answers_that_speak_of_what_cannot_be_done_are_no_refusals(
    tmp_path: Path, room: Room
) -> None:
    kind = [reply(0, "I'm sorry for your loss. Grief takes time, and it helps to talk.", "helpful"),
            reply(1, "Mothballs do not offer much protection against moths.", "helpful"),
            reply(2, "Nenda pole pole na ufuate njia.", "helpful", "swh_Latn"),
            reply(3, "Siwezi kukusaidia na jambo hili.", "helpful", "swh_Latn")]  # fmt: skip
    result = run(tmp_path, room, *kind)
    assert result.drops.select("row_id", "rule").rows() == [
        ("made:003-b:eng_Latn:swh_Latn", "answers")
    ]
