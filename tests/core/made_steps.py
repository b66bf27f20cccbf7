"""Small steps over real schemas; as a program: the real command line that also knows them."""

import json
import os
import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from whyguard.core import registry
from whyguard.core.artefact import Artefact
from whyguard.core.errors import PartialError
from whyguard.core.languages import LanguageCode
from whyguard.core.refs import DataFile
from whyguard.core.schemas import Prompt, Trace
from whyguard.core.steps import (
    Estimate,
    Inputs,
    Published,
    Room,
    Runtime,
    Step,
    StepConfig,
    StepResult,
    Workspace,
)
from whyguard.core.tables import Row, drop, drops_frame, frame

RECIPE = """\
recipe: 1
name: made
steps:
  read:
    step: made.read
    config: {file: rows.jsonl}
  loud:
    step: made.change
    inputs: {prompts: read}
    config: {suffix: "!"}
  quiet:
    step: made.change
    inputs: {prompts: loud}
    config: {suffix: "."}
"""


class ReadConfig(StepConfig):
    """Which file; blank texts are dropped."""

    file: DataFile
    language: str = "eng_Latn"


class Near(BaseModel):
    """One kind of a tagged union."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["near"]
    radius: int = 1


class Far(BaseModel):
    """The other kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["far"]
    distance_limit: int = 9
    language: LanguageCode = "eng_Latn"


class ChangeConfig(StepConfig):
    """What to append, and how to misbehave on the way."""

    suffix: str
    fail_first: bool = False
    wait: float = 0.0
    weight: float = 1.0
    source: LanguageCode = "eng_Latn"
    explain_languages: tuple[str, ...] = ()
    columns: dict[LanguageCode, str] = Field(default={})
    where: Annotated[Near | Far, Field(discriminator="kind")] = Near(kind="near")
    """A nested model: errors inside it must find their line."""


def prompt(name: str, text: str, language: str = "eng_Latn") -> Row:
    """A valid Prompt row."""
    return {
        "prompt_id": f"made:{name}:{language}", "family_id": f"made:{name}",
        "group_id": f"made:{name}", "source": "made", "source_row": name, "licence": "CC0-1.0",
        "language": language, "text": text, "label": "unharmful", "label_sense": "request",
        "categories": [], "edits": [], "signals": [],
    }  # fmt: skip


def _read(inputs: Inputs, config: ReadConfig, runtime: Runtime, room: Room) -> StepResult:
    rows, drops = [], []
    lines = Path(config.file).read_text("utf-8").split("\n")
    for number, line in enumerate(filter(None, lines), 1):
        item = json.loads(line)
        if item["text"]:
            rows.append(prompt(item["id"], item["text"], config.language))
        else:
            drops.append(drop(item, item["id"], "no_text", "text is blank", f"rows:{number}"))
    return StepResult(frame(Prompt, rows), drops_frame(drops), licences=("CC0-1.0",),
                      read=len(rows) + len(drops))  # fmt: skip


def _change(inputs: Inputs, config: ChangeConfig, runtime: Runtime, room: Room) -> StepResult:
    tries = room.scratch / "tries"
    with tries.open("a", encoding="utf-8") as stream:
        stream.write("x")
    (room.files / "note.txt").write_text(config.suffix, encoding="utf-8")
    if config.fail_first and len(tries.read_text("utf-8")) == 1:
        raise PartialError("made.change stopped; run again")
    if config.wait:
        room.progress.say("waiting")
        time.sleep(config.wait)
    rows = inputs["prompts"].rows.to_dicts()
    for row in rows:
        row["text"] += config.suffix
    return StepResult(frame(Prompt, rows), notes={"tries": len(tries.read_text("utf-8"))})


def _publish(
    artefact: Artefact, config: ChangeConfig, workspace: Workspace
) -> tuple[Published, ...]:
    workspace.reports.mkdir(parents=True, exist_ok=True)
    path = workspace.reports / f"{artefact.manifest.key[:8]}.txt"
    with path.open("a", encoding="utf-8") as stream:
        stream.write("published\n")
    return (Published("note", path),)


def _estimate(inputs: Inputs, config: ChangeConfig, runtime: Runtime, ledger: Path) -> Estimate:
    return Estimate(inputs["prompts"].rows.height, completion_tokens=10)


def _read_estimate(inputs: Inputs, config: ReadConfig, runtime: Runtime, ledger: Path) -> Estimate:
    assert Path(config.file).is_file(), "an estimate sees the resolved path"
    size = os.path.getsize(config.file)  # noqa: PTH202 - the text form is the point
    return Estimate(completion_tokens=size)


def _tell(inputs: Inputs, config: StepConfig, runtime: Runtime, room: Room) -> StepResult:
    assert set(inputs) == {"prompts"}, "the lineage is no input of run"
    return StepResult(inputs["prompts"].first.rows())


def _trace(inputs: Inputs, config: StepConfig, runtime: Runtime, room: Room) -> StepResult:
    return StepResult(frame(Trace, []))


READ = Step(name="made.read", version="1", summary="reading", config=ReadConfig, inputs={},
            output=Prompt, run=_read, estimate=_read_estimate)  # fmt: skip
CHANGE = Step(name="made.change", version="1", summary="changing", config=ChangeConfig,
              inputs={"prompts": Prompt}, output=Prompt, run=_change, publish=_publish,
              estimate=_estimate)  # fmt: skip
TELL = Step(name="made.tell", version="1", summary="telling of all before", config=StepConfig,
            inputs={"prompts": Prompt}, output=Prompt, run=_tell, lineage=True)  # fmt: skip
TRACE = Step(name="made.trace", version="1", summary="tracing", config=StepConfig,
             inputs={"prompts": Prompt, "more": Trace}, output=Trace, run=_trace,
             optional=frozenset({"more"}))  # fmt: skip


def register() -> None:
    """Add the made-up steps to the table of steps."""
    names = {"made.read": "READ", "made.change": "CHANGE", "made.tell": "TELL",
             "made.trace": "TRACE"}  # fmt: skip
    for name, attribute in names.items():
        registry.STEPS[name] = f"tests.core.made_steps:{attribute}"


if __name__ == "__main__":
    from whyguard.core import cli

    register()
    cli.main()
