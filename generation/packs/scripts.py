"""Which script a text is written in, as far as letters' Unicode names tell."""

import unicodedata

_NAMES = {
    "Arab": ("ARABIC",), "Armn": ("ARMENIAN",), "Beng": ("BENGALI",), "Cyrl": ("CYRILLIC",),
    "Deva": ("DEVANAGARI",), "Ethi": ("ETHIOPIC",), "Geor": ("GEORGIAN",), "Grek": ("GREEK",),
    "Gujr": ("GUJARATI",), "Guru": ("GURMUKHI",), "Hang": ("HANGUL",), "Hans": ("CJK",),
    "Hant": ("CJK",), "Hebr": ("HEBREW",), "Java": ("JAVANESE",), "Khmr": ("KHMER",),
    "Knda": ("KANNADA",), "Kore": ("HANGUL", "CJK"), "Laoo": ("LAO",), "Latn": ("LATIN",),
    "Jpan": ("HIRAGANA", "KATAKANA", "CJK"), "Mlym": ("MALAYALAM",), "Mymr": ("MYANMAR",),
    "Orya": ("ORIYA",), "Sinh": ("SINHALA",), "Taml": ("TAMIL",), "Telu": ("TELUGU",),
    "Thaa": ("THAANA",), "Thai": ("THAI",), "Tibt": ("TIBETAN",), "Tfng": ("TIFINAGH",),
}  # fmt: skip
"""ISO 15924 code -> first words of its letters' Unicode names."""


def is_known(script: str) -> bool:
    """Whether `script_share` can tell anything about a script."""
    return script in _NAMES


def script_share(text: str, script: str) -> float | None:
    """Share of the letters of `text` that belong to a known `script`; None without a letter."""
    names = [unicodedata.name(char, "") for char in text if unicodedata.category(char)[0] == "L"]
    names = [name for name in names if not name.startswith("MODIFIER")]
    if not names:
        return None
    return sum(name.startswith(_NAMES[script]) for name in names) / len(names)
