"""The rules that filters are made of: each says what is wrong with one text of a row."""

from collections.abc import Callable, Sequence

from pydantic import Field

from whyguard.core.languages import ENGLISH
from whyguard.core.steps import StepConfig
from whyguard.core.tables import Row
from whyguard.core.values import CATEGORY_CODES, NOT_WRITTEN
from whyguard.curation.langid_builtin import builtin_classifier
from whyguard.curation.normalise import fold, normalise
from whyguard.generation.grammar import holds_tag
from whyguard.generation.packs.wording import category_name
from whyguard.generation.signals.text import copied_share, script_purity, words_of
from whyguard.generation.writing.copying import longest_run
from whyguard.generation.writing.patterns import counts, found_texts, has_own, matches, patterns
from whyguard.generation.writing.sieve import FINE, UNMEASURED, Filter, Finding, Rule, bad, expect

UNSPACED = frozenset({"Hanb", "Hans", "Hant", "Hrkt", "Java", "Jpan", "Khmr", "Laoo", "Mymr",
                      "Thai", "Tibt"})  # fmt: skip
"""Scripts that put no blanks between words."""
_SYLLABIC = frozenset({"Java", "Khmr", "Laoo", "Mymr", "Thai", "Tibt"})
"""Those that spell a syllable with several characters: in plain texts (the Universal Declaration's
paragraphs) up to half of all trigrams of characters are repeats, but under 0.25 of 8-grams."""
_LETTERS_A_WORD = 3
_WORD_GRAM, _SYLLABIC_GRAM = 3, 8
_LEAST_EVIDENCE = 2
_FEWEST_COPIED = 3
_MOST_OF_SHORT = 0.6
"""Most of a short prompt's words that may be taken over in a row."""

Code = Callable[[Row], str]
"""The language of a row's text."""
Source = Callable[[Row], str | None]
"""The text of a row's prompt in the language of the row; None where there is none."""


class TextLimits(StepConfig):
    """Bounds that traces, explanations and replies share."""

    min_words: int = Field(default=5, ge=1)
    max_words: int = Field(default=200, ge=1)
    max_repetition: float = Field(default=0.3, ge=0.0, le=1.0)
    check_language: bool = True
    """Only for languages the built-in classifier knows; others are not measurable here."""


class LocalLimits(TextLimits):
    """Bounds of texts that are written in many languages, about prompts."""

    max_words: int = Field(default=120, ge=1)
    min_script: float = Field(default=0.6, ge=0.0, le=1.0)
    """Least share of letters in the language's script; names and terms may be in another one."""
    max_run: int = Field(default=8, ge=1)
    """Longest run of words (characters in scripts without spaces, three for a word) that may be
    taken from the prompt."""
    max_copied: float = Field(default=0.3, ge=0.0, le=1.0)
    """Most of the prompt's word trigrams that may be taken over."""
    check_help: bool = True
    """Look for help towards the harm: steps, code, addresses, quantities, instructions."""


def count_words(text: str, language: str) -> int:
    """Words of a text; a third of the letters in scripts that put no blanks between words."""
    if language[4:] in UNSPACED:
        return sum(map(str.isalpha, text)) // _LETTERS_A_WORD
    return len(text.split())


def repetition(text: str, language: str = ENGLISH) -> float:
    """Share of word trigrams that repeat an earlier one: 0 none, near 1 a loop; 0 under 3 words.

    Scripts that put no blanks between words have trigrams of characters instead, those that spell
    syllables with several characters 8-grams.
    """
    words = text.lower().split()
    if language[4:] in UNSPACED:
        words = list("".join(words))
    size = _SYLLABIC_GRAM if language[4:] in _SYLLABIC else _WORD_GRAM
    grams = [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def own_language(row: Row) -> str:
    """The language that a row says it is in."""
    return str(row["language"])


def local_name(row: Row) -> str:
    """The name of an explanation or a reply in drops."""
    return f"{row['prompt_id']}:{row['language']}"


def in_english(row: Row) -> str:
    """The language of traces."""
    return ENGLISH


def tag_rule(field: str) -> Rule:
    """No tag of the grammar, nor one with invisible characters in it."""
    return lambda row: expect(not holds_tag(normalise(row[field])), "holds a tag of the grammar")


def length_rule(limits: TextLimits, field: str, code: Code) -> Rule:
    """Word count within the limits."""

    def rule(row: Row) -> Finding:
        count = count_words(row[field], code(row))
        return expect(limits.min_words <= count <= limits.max_words,
                      f"{count} words, allowed {limits.min_words}-{limits.max_words}")  # fmt: skip

    return rule


def repetition_rule(limits: TextLimits, field: str, code: Code) -> Rule:
    """Not a loop."""

    def rule(row: Row) -> Finding:
        share = repetition(row[field], code(row))
        return expect(share <= limits.max_repetition, f"repetition {share:.2f}")

    return rule


def language_rule(field: str, code: Code) -> Rule:
    """Written in the language it should be, as far as the classifier can tell."""
    classifier = builtin_classifier()

    def rule(row: Row) -> Finding:
        right = classifier.right_language(row[field], code(row))
        if right is None:
            return UNMEASURED
        return expect(right, f"not recognised as {code(row)}")

    return rule


def script_rule(limits: LocalLimits) -> Rule:
    """Written in the language's script."""

    def rule(row: Row) -> Finding:
        share = script_purity(row["text"], row["language"])
        if share is None:
            return UNMEASURED
        return expect(share >= limits.min_script, f"{share:.2f} of the letters are of the script")

    return rule


def help_rule(row: Row) -> Finding:
    """No help towards the harm. Some marks hold for any language, instructions for listed ones."""
    found = matches("help", row["language"], row["text"])
    if not found and not has_own("help", row["language"]):
        return UNMEASURED
    return expect(not found, f"reads like help: {', '.join(dict.fromkeys(found))}")


def harmless_rule(row: Row) -> Finding:
    """Does not call a harmful request harmless; only phrases are seen, in listed languages."""
    return calls_harmless(row["text"], row["language"])


def calls_harmless(text: str, language: str) -> Finding:
    """Phrases that speak for a request, in a text about a harmful one."""
    if not patterns("harmless", language):
        return UNMEASURED
    found = matches("harmless", language, text)
    return expect(not found, f"speaks against the verdict: {', '.join(found)}")


def copying_rule(limits: LocalLimits, source: Source) -> Rule:
    """Does not repeat the prompt at length."""

    def rule(row: Row) -> Finding:
        prompt = source(row)
        if prompt is None:
            return UNMEASURED
        run, share = longest_run(row["text"], prompt), copied_share(prompt, row["text"])
        unspaced = row["language"][4:] in UNSPACED
        allowed = limits.max_run * (_LETTERS_A_WORD if unspaced else 1)
        size = len(words_of(prompt))
        if size <= allowed:
            return _short_copy(run, size, allowed // limits.max_run)
        copied = share or 0.0
        fits = run <= allowed and copied <= limits.max_copied
        return expect(fits, f"takes {run} words in a row and {copied:.2f} of the prompt's trigrams")

    return rule


def _short_copy(run: int, size: int, letters: int) -> Finding:
    """A prompt of a few words has few trigrams: the share of its words in a row counts.

    A prompt of one or two words (of `letters` characters each) can hardly be spoken of without
    them.
    """
    fits = run < _FEWEST_COPIED * letters or run <= _MOST_OF_SHORT * size
    return expect(fits, f"takes {run} of the prompt's {size} words in a row")


def category_rule(categories: Callable[[Row], Sequence[str]]) -> Rule:
    """Does not speak of another category instead of its own.

    Evidence, strongest first: codes (S2), whole names of two words or more in the language or in
    English, and listed words of each category (English only), of which another category needs two
    and its own has none. Without evidence nothing can be said, which is common.
    """

    def rule(row: Row) -> Finding:
        own = set(categories(row))
        if not own:
            return UNMEASURED
        named = named_categories(row["text"], row["language"])
        if any(code in NOT_WRITTEN for code in named):
            return bad("names a category that is never carried")
        if named:
            return expect(bool(named & own), f"names {', '.join(sorted(named))}")
        evidence = counts("categories", row["language"], row["text"])
        return _by_evidence(evidence, own)

    return rule


def _by_evidence(evidence: dict[str, int], own: set[str]) -> Finding:
    if any(evidence.get(code, 0) for code in own):
        return FINE
    others = [code for code, count in evidence.items() if count >= _LEAST_EVIDENCE]
    return bad(f"words of {', '.join(others)}, none of its own") if others else UNMEASURED


def named_categories(text: str, language: str) -> set[str]:
    """Categories that a text names by code, or by a name of more than one word.

    A code counts where it cannot be something else's name (a telephone's): see `codes` in
    data/writing/patterns.yaml.
    """
    folded = fold(text)
    spelt = set(words_of(" ".join(found_texts("codes", language, text))))
    named = {code for code in CATEGORY_CODES if code.lower() in spelt}
    for name, code in _long_names(language):
        if name in folded:
            named.add(code)
            folded = folded.replace(name, " ")
    return named


def _long_names(language: str) -> list[tuple[str, str]]:
    """Names of two words or more, the longest first: "violent crimes" ends "non-violent crimes"."""
    names = [(category_name(code, spoken), code)
             for code in CATEGORY_CODES for spoken in (language, ENGLISH)]  # fmt: skip
    return sorted({(fold(name), code) for name, code in names if name and " " in name},
                  key=lambda item: (-len(item[0]), item[0]))  # fmt: skip


def text_rules(limits: LocalLimits) -> list[Filter]:
    """What holds for every localised text, cheapest first."""
    found = [Filter("format", tag_rule("text")),
             Filter("length", length_rule(limits, "text", own_language)),
             Filter("repetition", repetition_rule(limits, "text", own_language)),
             Filter("script", script_rule(limits))]  # fmt: skip
    if limits.check_language:
        found.append(Filter("language", language_rule("text", own_language)))
    return found
