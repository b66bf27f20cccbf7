"""What a stage takes over from the guard it starts from: its arm and its prompt template."""

from typing import Any

from whyguard.core.errors import ConfigError, fail
from whyguard.train.config import SftStage, StageConfig
from whyguard.train.folder import GuardFacts

_INHERITED = {"arm": "arm", "prompt": "prompt_template"}
"""Keys of a stage, and what they are called in a guard's facts."""


def inherited(config: StageConfig, before: GuardFacts | None) -> StageConfig:
    """The config with what the guard before says, where the config says nothing.

    SFT decides anew; a base model says nothing.

    Raises:
        ConfigError: the config says something else: a guard would be asked in a way it was not
            trained for, and called what it is not.
    """
    if before is None or isinstance(config, SftStage):
        return config
    changes: dict[str, Any] = {}
    for key, name in _INHERITED.items():
        own, theirs = getattr(config, key), getattr(before, name)
        if key not in config.model_fields_set:
            changes[key] = type(own)(theirs)
        elif own != theirs:
            fail(ConfigError, where=f"stage {config.stage}: {key}", expected=f"'{theirs}', as the "
                 "guard it starts from was trained", found=f"'{own}'",
                 do=f"leave {key} out")  # fmt: skip
    return config.model_copy(update=changes)
