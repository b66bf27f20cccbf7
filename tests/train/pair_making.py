"""Made-up families, samples and pairs for pair building; texts are placeholders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.train.conftest import example_rows
from tests.train.judging import judging_llama
from tests.train.stages.making import stored

from whyguard.core.schemas import Example
from whyguard.core.tables import Row, frame
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.train.pair_choice import Sample, slots_of
from whyguard.train.pairs import Asking, Built, PairsConfig, Source, build_pairs

ENGLISH, AST, GLG = "eng_Latn", "ast_Latn", "glg_Latn"
SOURCE = Source(Asking(prompt_template("short-v1")), "a guard")
THINK = "<think>it asks for something</think><violations>S2</violations>"


def with_english(groups: int = 8) -> list[Row]:
    """Made-up examples with an English row for each family."""
    rows = [row | {"text": f"{row['text']} {row['language']}"} for row in example_rows(groups)]
    english = [row | {"language": ENGLISH, "example_id": f"{row['family_id']}:{ENGLISH}",
                      "text": f"the house of {row['family_id']} is old"}
               for row in rows if row["language"] == AST]  # fmt: skip
    full = frame(Example, [*english, *rows]).to_dicts()
    return [row | {"split": "train"} for row in full]


def config_of(model: Path | str = "path:none", **changes: Any) -> PairsConfig:
    values = {"model": str(model), "languages": [AST, GLG], "samples": 4, "temperature": 1.0,
              "max_new_tokens": 40, **changes}  # fmt: skip
    return PairsConfig.model_validate(values)


def said(*texts: str | None) -> list[Sample]:
    """Samples with these texts."""
    return [Sample(n, text, f"call-{n}") for n, text in enumerate(texts)]


def judged(verdict: str, think: str = THINK, rest: str = "") -> str:
    return f"{think}<judge>{verdict}</judge>{rest}"


HARMFUL, UNHARMFUL, NOISE = judged("harmful"), judged("unharmful"), "<think>never closed"


def one_family(on_english: Sequence[Sample], on_target: Sequence[Sample],
               row: Row | None = None, source: Source = SOURCE, **changes: Any
               ) -> Built:  # fmt: skip
    """Pairs of one harmful family in Asturian from given samples."""
    rows = [made | (row or {}) for made in with_english(1)
            if made["label"] == "harmful" and made["language"] != GLG]  # fmt: skip
    samples = {f"made:00-h:{ENGLISH}": on_english, f"made:00-h:{AST}": on_target}
    slots = slots_of(rows, ENGLISH, [AST])
    return build_pairs(slots, samples, config_of(languages=[AST], **changes), source)


def runtime_of(batch_size: int = 16) -> TeacherRuntime:
    return TeacherRuntime(device="cpu", threads=1, batch_size=batch_size)


def written_pipeline(folder: Path, stages: str) -> Path:
    """A pipeline of these stages (YAML, two blanks in) on a tiny guard that judges at random."""
    folder.mkdir(exist_ok=True)
    model, data = judging_llama(folder / "model"), folder / "data"
    stored(data, Example, frame(Example, with_english()))
    common = "{languages: [eng_Latn, ast_Latn], seed: 3, arm: refusal_only}"
    path = folder / "pipeline.yaml"
    path.write_text(f"pipeline: 1\nmodel: path:{model}\ndata: {data}\ncommon: {common}\n"
                    f"stages:\n{stages}", "utf-8")  # fmt: skip
    return path
