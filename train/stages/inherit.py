"""What a stage takes over from the guard it starts from: its arm and its prompt template."""

from typing import Any

from whyguard.core.errors import ConfigError, fail
from whyguard.train.config import SftStage, StageConfig
from whyguard.train.folder import GuardFacts

_INHERITED = {"arm": "arm", "prompt": "prompt_template"}
"""Keys of a stage, and what they are called in a guard's facts."""


def planned(config: StageConfig, before: StageConfig, where: str) -> StageConfig:
    """`inherited` in a pipeline, from the config of a stage that is not trained yet.

    What neither says is left open: the pipeline's model may be a guard.

    Raises:
        ConfigError: see `inherited`.
    """
    if isinstance(config, SftStage):
        return config
    said = set(_INHERITED) if isinstance(before, SftStage) else before.model_fields_set
    known = {key: getattr(before, key) for key in _INHERITED if key in said}
    for key, theirs in known.items():
        _check(config, key, theirs, f"{where}: {key}")
    return config.model_copy(update=known)


def _check(config: StageConfig, key: str, theirs: Any, where: str) -> None:
    own = getattr(config, key)
    if key in config.model_fields_set and own != theirs:
        fail(ConfigError, where=where, expected=f"'{theirs}', as the guard it starts from was "
             "trained", found=f"'{own}'", do=f"leave {key} out")  # fmt: skip


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
        theirs = type(getattr(config, key))(getattr(before, name))
        _check(config, key, theirs, f"stage {config.stage}: {key}")
        if key not in config.model_fields_set:
            changes[key] = theirs
    return config.model_copy(update=changes)
