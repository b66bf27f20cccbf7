"""Step `annotation.answers`: adopts what was pulled so far. People cannot be run again: their
answers are content, and the step's key is their hash."""

from pathlib import Path
from typing import Any

import polars as pl
from pydantic import model_validator

from whyguard.annotation.campaign import SNAPSHOT, CampaignName
from whyguard.core.refs import WorkspaceFile
from whyguard.core.schemas import Review, ReviewItem
from whyguard.core.steps import Inputs, Room, Runtime, Step, StepConfig, StepResult, always
from whyguard.core.tables import drop, drops_frame, frame, validated


class AnswersConfig(StepConfig):
    """Whose answers."""

    campaign: CampaignName
    answers: WorkspaceFile = ""
    """What `whyguard review pull` writes; by default the campaign's own."""

    @model_validator(mode="before")
    @classmethod
    def _own(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("answers"):
            return values | {"answers": f"review/{values.get('campaign')}/{SNAPSHOT}"}
        return values


def run(inputs: Inputs, config: AnswersConfig, runtime: Runtime, room: Room) -> StepResult:
    """The answers to the given items; answers to items that are no longer asked are dropped."""
    path = Path(config.answers)
    if not path.is_file():
        room.progress.say("  nothing was pulled yet: rows pass unreviewed")
        return StepResult(frame(Review, []), notes={"pulled": False}, read=0)
    table = validated(Review, pl.read_parquet(path), str(path))
    asked = inputs["items"].rows["item_id"].implode()
    kept = table.filter(pl.col("item_id").is_in(asked))
    gone = table.filter(~pl.col("item_id").is_in(asked)).to_dicts()
    drops = [drop(row, row["item_id"], "not_asked", "no step of this recipe asks for it any more")
             for row in gone]  # fmt: skip
    notes = {"pulled": True, "annotators": kept["annotator"].n_unique()}
    return StepResult(kept, drops_frame(drops), notes=notes, read=table.height)


ANSWERS = Step(
    name="annotation.answers",
    version="1",
    summary="adopting people's answers",
    config=AnswersConfig,
    inputs={"items": ReviewItem},
    output=Review,
    run=run,
    light=always,
)
