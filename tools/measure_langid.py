"""Measure the built-in language classifier on text that no translation engine of ours wrote.

    python tools/measure_langid.py --data ../shared/data [--lid176 lid.176.ftz] [--write]

Prints the tables of docs/langid.md (markdown, figures only: the texts stay where they are).
`--write` stores the error rates of the built-in classifier in curation/data/langid/measured.json;
run it whenever the starter pack, its translation memory or the extra sentences change.

Lines of odd index only: settings were chosen on even ones.
"""

import argparse
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from whyguard.curation.langid import Classifier, ErrorRate
from whyguard.curation.langid_builtin import builtin_classifier, measured_path
from whyguard.curation.langid_train import fasttext

FLORES = ("eng", "spa", "ast", "glg", "oci", "cat")
FLORES_PLUS = {"arg": "arg", "ast": "ast", "spa": "spa", "arn": "oci", "val": "cat"}
UDHR = {"ast": "ast", "glg": "glg", "cat": "cat", "spa": "spa", "eng": "eng", "lnc": "oci",
        "auv": "oci", "prv": "oci"}  # fmt: skip
LID176 = {"en": "eng", "es": "spa", "ast": "ast", "an": "arg", "gl": "glg", "oc": "oci",
          "ca": "cat"}  # fmt: skip
PASSWORD = b"multilingual machine translation"  # printed in the zip's own readme, against crawlers
FLORES_TEXT = "FLORES-200 devtest, odd lines"
FLORES_PLUS_TEXT = "FLORES+ devtest, odd lines (post-edited from Apertium output)"

Tell = Callable[[Sequence[str]], list[str]]


class Sample(NamedTuple):
    """Texts of one file, and the language they count as."""

    corpus: str
    name: str
    language: str
    texts: list[str]


def flores(data: Path) -> list[Sample]:
    """FLORES-200 devtest and FLORES+ devtest, odd lines."""
    import pyzipper

    found = []
    for name in FLORES:
        text = (data / f"flores200_devtest/{name}_Latn.devtest").read_text("utf-8")
        found.append(Sample("FLORES-200", name, f"{name}_Latn", text.strip().split("\n")[1::2]))
    with pyzipper.AESZipFile(data / "flores_plus_iberian/FLORES+.zip") as archive:
        archive.setpassword(PASSWORD)
        for name, language in FLORES_PLUS.items():
            text = archive.read(f"FLORES+/devtest/devtest.{name}_Latn").decode("utf-8")
            lines = text.strip().split("\n")[1::2]
            found.append(Sample("FLORES+", name, f"{language}_Latn", lines))
    return found


def udhr(data: Path) -> list[Sample]:
    """Lines of three or more words of the Universal Declaration of Human Rights."""
    found = []
    with zipfile.ZipFile(data / "udhr/udhr2.zip") as archive:
        for name, language in UDHR.items():
            lines = archive.read(f"udhr2/{name}.txt").decode("utf-8").split("\n")
            texts = [line.strip() for line in lines if len(line.split()) > 2]
            found.append(Sample("UDHR", name, f"{language}_Latn", texts))
    return found


def pieces(sample: Sample, words: int) -> Sample:
    """The same file cut to `words` words from the fifth on."""
    cut = [" ".join(text.split()[4 : 4 + words]) for text in sample.texts]
    kept = [text for text in cut if len(text.split()) == words]
    return sample._replace(corpus=f"{sample.corpus}, {words} words", texts=kept)


def tell_ours(classifier: Classifier) -> Tell:
    """Our predictions."""
    return lambda texts: [prediction.language for prediction in classifier.predict(texts)]


def tell_lid176(path: Path, *, closed: bool) -> Tell:
    """Predictions of lid.176: its best label, or its best label among the seven."""
    model = fasttext().load_model(str(path))

    def tell(texts: Sequence[str]) -> list[str]:
        labels, _ = model.predict([text.replace("\n", " ") for text in texts],
                                  k=176 if closed else 1)  # fmt: skip
        codes = [[LID176.get(item.removeprefix("__label__"), "") for item in row] for row in labels]
        return [next((code for code in row if code), "other") + "_Latn" for row in codes]

    return tell


def table(samples: Sequence[Sample], tells: dict[str, Tell]) -> str:
    """Right-language shares as a markdown table."""
    lines = ["| text | counts as | n | " + " | ".join(tells) + " |",
             "|---|---|--:|" + "--:|" * len(tells)]  # fmt: skip
    for sample in samples:
        cells = [f"{right(sample, tell) / len(sample.texts):.1%}" for tell in tells.values()]
        lines.append(f"| {sample.corpus} {sample.name} | {sample.language} | {len(sample.texts)} | "
                     + " | ".join(cells) + " |")  # fmt: skip
    return "\n".join(lines)


def confusion_table(samples: Sequence[Sample], classifier: Classifier) -> str:
    """Counts by file and predicted language as a markdown table."""
    codes = classifier.languages
    lines = ["| text | " + " | ".join(codes) + " |", "|---|" + "--:|" * len(codes)]
    for sample in samples:
        row = classifier.confusion({sample.language: sample.texts}).counts[sample.language]
        cells = [str(row[code] or ".") for code in codes]
        lines.append(f"| {sample.corpus} {sample.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def right(sample: Sample, tell: Tell) -> int:
    """Texts of a sample whose language was recognised."""
    return sum(code == sample.language for code in tell(sample.texts))


def measured(samples: Sequence[Sample], classifier: Classifier) -> dict[str, Any]:
    """What measured.json holds: FLORES-200 error rates, FLORES+ for Aragonese."""
    errors = {}
    for sample in samples:
        plus = sample.corpus == "FLORES+"
        if plus and sample.name != "arg":
            continue
        wrong = len(sample.texts) - right(sample, tell_ours(classifier))
        text = FLORES_PLUS_TEXT if plus else FLORES_TEXT
        errors[sample.language] = ErrorRate(n=len(sample.texts), wrong=wrong, text=text)
    return {"training_sha256": classifier.facts.training_sha256,
            "errors": {code: errors[code].model_dump() for code in sorted(errors)}}  # fmt: skip


def main() -> None:
    """Print the tables; write measured.json where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lid176", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    classifier = builtin_classifier()
    tells = {"ours": tell_ours(classifier)}
    if options.lid176:
        tells["lid.176"] = tell_lid176(options.lid176, closed=False)
        tells["lid.176, best of the seven"] = tell_lid176(options.lid176, closed=True)
    samples = flores(options.data)
    short = [pieces(sample, 8) for sample in samples]
    print(table(samples, tells), table(udhr(options.data), tells), table(short, tells),
          confusion_table(samples, classifier), sep="\n\n")  # fmt: skip
    if options.write:
        text = json.dumps(measured(samples, classifier), indent=2) + "\n"
        measured_path().write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
