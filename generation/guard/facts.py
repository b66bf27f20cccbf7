"""How a guard's folder says it is to be asked."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from whyguard.core.errors import DataError, fail
from whyguard.core.values import Label
from whyguard.generation.grammar import render_judge
from whyguard.generation.guard.prompts import DEFAULT_TEMPLATE

GUARD_FILE = "guard.json"


class GuardUse(BaseModel):
    """What of guard.json scoring needs; training writes and reads the rest (`train/folder.py`)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    prompt_template: str
    labels: dict[Label, str]
    """Full verdict string of each label."""

    def label_strings(self) -> dict[str, str]:
        """Full verdict strings by label, as scoring wants them."""
        return {label.value: text for label, text in self.labels.items()}


class _Licensed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    licence: str


def read_licence(folder: Path) -> str | None:
    """The licence that the guard in `folder` is under; None where that is not told."""
    try:
        return _Licensed.model_validate_json((folder / GUARD_FILE).read_bytes()).licence
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def read_use(folder: Path) -> GuardUse:
    """How the guard in `folder` is asked; a model that was not trained as a guard: by default.

    Raises:
        DataError: guard.json is there and cannot be read, or lacks a label.
    """
    path = folder / GUARD_FILE
    labels = {label: render_judge(label) for label in Label}
    if not path.is_file():
        return GuardUse(prompt_template=DEFAULT_TEMPLATE, labels=labels)
    try:
        use = GuardUse.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        fail(DataError, where=str(path), expected="guard facts of format 1",
             found=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
             do="train the guard again, or repair the file")  # fmt: skip
    if set(use.labels) != set(Label):
        fail(DataError, where=f"{path}: labels", expected=", ".join(Label),
             found=", ".join(use.labels) or "none", do="train the guard again")  # fmt: skip
    return use
