"""Text as the language classifier sees it, and the training lines made from it."""

import functools
import random
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

LABEL = "__label__"
MIN_WORDS = 3
"""Under this many words a language is not measurable."""

_APOSTROPHES = "'\u2019\u2018\u02bc`\u00b4"
_INNER = "\u00b7\u200c\u200d"  # Catalan's middle dot, and joiners of Indic and Persian spelling
_UNSPACED = ("CJK UNIFIED", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
_SENTENCE_END = re.compile(r"[.!?:;\u2026\u0964\u3002][\s\"'\u201d\u2019\u00bb)\]]*\s|\n")


class _Letters(dict[int, str]):
    """A translation table that is filled as characters turn up: letters stay, the rest is space."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char in _APOSTROPHES:
            kept = "' "  # l'home -> l' home: the article is a word of its own
        elif char in _INNER:
            kept = char
        elif unicodedata.category(char)[0] not in "LM":
            kept = " "
        else:
            kept = f" {char} " if unicodedata.name(char, "").startswith(_UNSPACED) else char
        self[code] = kept
        return kept


_LETTERS = _Letters()


def normalise(text: str) -> str:
    """Lower-case words, separated by one space; digits, punctuation and names are gone.

    A capitalised word inside a sentence is taken for a name, which says where a text is about, not
    what language it is in; where fewer than three words would be left (headlines, capitals), all
    words are kept. In scripts without spaces each character counts as a word.
    """
    composed = unicodedata.normalize("NFC", text)
    sentences = [_words(part) for part in _SENTENCE_END.split(composed)]
    plain = [w for words in sentences for i, w in enumerate(words) if i == 0 or not w[0].isupper()]
    if len(plain) < MIN_WORDS:
        plain = [word for words in sentences for word in words]
    return " ".join(plain).lower()


def _words(sentence: str) -> list[str]:
    words = (word.strip(_INNER) for word in sentence.translate(_LETTERS).split())
    return [word for word in words if word and word != "'"]


def measurable(normalised: str) -> bool:
    """Whether a normalised text is long enough to be told a language."""
    return normalised.count(" ") >= MIN_WORDS - 1


def training_lines(
    texts_by_language: Mapping[str, Sequence[str]],
    *,
    rows: int,
    max_rows: int,
    piece_words: tuple[int, int],
    seed: int,
) -> list[str]:
    """Labelled lines for fastText: each language gets the same number, in mixed order.

    A language's texts come once each; pieces of `piece_words` consecutive words are drawn from
    them until there are enough lines, so that short texts are learnt too. The number is `rows`, or
    twice the largest language's texts where that is more, and at most `max_rows`.
    """
    rng = random.Random(seed)
    wanted = min(max_rows, max(rows, *(2 * len(texts) for texts in texts_by_language.values())))
    lines = []
    for language in sorted(texts_by_language):
        texts = thinned(texts_by_language[language], wanted // 2)
        words = [text.split() for text in texts]
        pieces = _pieces(words, wanted - len(words), piece_words, rng)
        lines += [f"{LABEL}{language} {' '.join(line)}" for line in (*words, *pieces)]
    rng.shuffle(lines)
    return lines


def thinned(texts: Sequence[str], most: int) -> Sequence[str]:
    """At most `most` texts, evenly spread over all of them."""
    if len(texts) <= most:
        return texts
    return [texts[i * len(texts) // most] for i in range(most)]


def _pieces(
    texts: Sequence[Sequence[str]], number: int, size: tuple[int, int], rng: random.Random
) -> Iterator[Sequence[str]]:
    for index in range(number):
        words = texts[index % len(texts)]
        length = rng.randint(min(size[0], len(words)), min(size[1], len(words)))
        start = rng.randint(0, len(words) - length)
        yield words[start : start + length]


@functools.lru_cache(maxsize=4096)
def normalised(text: str) -> str:
    """`normalise`, remembered: the same text is asked for by several measures."""
    return normalise(text)
