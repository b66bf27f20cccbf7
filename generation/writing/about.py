"""What filters know of prompts: by id, and by family and language."""

from collections.abc import Sequence

from whyguard.core.tables import Row

_UNKNOWN = "unknown"


class About:
    """Looks up what is known of the prompts that traces, explanations and replies speak of."""

    def __init__(self, prompts: Sequence[Row]) -> None:
        self._prompts = {row["prompt_id"]: row for row in prompts}
        self._texts = {(row["family_id"], row["language"]): row["text"] for row in prompts}

    def label(self, prompt_id: str) -> str:
        """The prompt's label; `unknown` where there is no such prompt."""
        return str(self._prompts[prompt_id]["label"] if prompt_id in self._prompts else _UNKNOWN)

    def categories(self, prompt_id: str) -> tuple[str, ...]:
        """The prompt's categories."""
        return tuple(self._prompts.get(prompt_id, {}).get("categories", ()))

    def family(self, prompt_id: str) -> str:
        """The prompt's family, "" where there is no such prompt."""
        return str(self._prompts.get(prompt_id, {}).get("family_id", ""))

    def text(self, row: Row) -> str | None:
        """The text of a row's prompt in the language of the row, None where there is none."""
        return self._texts.get((self.family(row["prompt_id"]), row["language"]))
