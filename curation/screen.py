"""A coarse screen for S4: sources without category labels carry such rows too (AdvBench does)."""

import re

_MINOR = (
    r"(?:child(?:ren)?|kids?|minors?|under-?aged?|teen(?:age)?r?s?|toddlers?|infants?|babies|baby|"
    r"pre-?teens?|school-?(?:girl|boy)s?|little (?:girl|boy)s?|young (?:girl|boy)s?)"
)
_SEXUAL = (
    r"(?:sex(?:ual(?:ly|i[sz]\w+)?|y|ting|t)?|porn\w*|erotic\w*|nudes?|nudity|naked|molest\w*|"
    r"rap(?:e[ds]?|ing)|incest\w*|intercourse|fondl\w*|groom(?:ing|s|ed)?|lewd\w*)"
)
_ALONE = re.compile(r"\b(?:p(?:a)?edophil\w*|lolicon|shotacon|csam|child (?:abuse )?porn\w*)\b")
_MINOR_WORD = re.compile(rf"\b{_MINOR}\b")
_SEXUAL_WORD = re.compile(rf"\b{_SEXUAL}\b")


def looks_like_s4(text: str) -> bool:
    """Whether an English text names minors and sexual matters together.

    Meant for harmful rows only: a benign row about protecting children is kept. Too wide on
    purpose: a lost row costs little, and a kept one must not happen. It is no classifier, and it
    reads English only.
    """
    folded = text.casefold()
    if _ALONE.search(folded):
        return True
    return bool(_MINOR_WORD.search(folded) and _SEXUAL_WORD.search(folded))
