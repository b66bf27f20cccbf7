"""Translation memories of every form, and what is wrong with bad ones."""

import json
from pathlib import Path

import pytest

from whyguard.core.errors import DataError, MissingFileError
from whyguard.generation.translation.memory import Memory, Unit, load_memory

TMX = Path(__file__).parents[1] / "data" / "small.tmx"
WIDE = {"spa_Latn": "es", "ast_Latn": "asturian"}
STARTER = Path(__file__).parents[3] / "generation" / "data" / "starter" / "memory.jsonl"
FULL = {"source_language": "spa_Latn", "language": "ast_Latn", "source": "Casa.", "text": "Casa!"}


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_the_starter_memory_is_found_whatever_the_blanks_and_case() -> None:
    memory = load_memory(STARTER, "nobody")
    first = json.loads(STARTER.read_text("utf-8").split("\n")[0])
    messy = "  " + first["source"].upper().replace(" ", "\u00a0 ") + "\n"
    unit = memory.find("spa_Latn", "ast_Latn", messy)
    assert unit == Unit(first["text"], first["translator"], first["unknown_words"])
    assert memory.find("ast_Latn", "spa_Latn", first["text"]) is None
    assert (memory.read, memory.drops) == (1800, [])


def test_a_wide_table_gives_every_pair(tmp_path: Path) -> None:
    for name, mark in (("m.csv", ","), ("m.tsv", "\t")):
        text = f"id{mark}es{mark}asturian\r\n1{mark}Hola{mark}Hola, ho\r\n".replace(
            f"{mark}Hola, ho", f'{mark}"Hola, ho"'
        )
        memory = load_memory(write(tmp_path / name, "\ufeff" + text), "Ana", WIDE)
        assert memory.find("spa_Latn", "ast_Latn", "hola") == Unit("Hola, ho", "Ana", None)
        assert memory.find("ast_Latn", "spa_Latn", "Hola, ho") == Unit("Hola", "Ana", None)


def test_blank_cells_are_no_translations(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", "es,asturian\nUno,\n,Dos\nTres,\u200b\nCasa,Casa\n")
    memory = load_memory(path, "Ana", WIDE)
    assert (len(memory), memory.read) == (2, 4)


def test_long_tables_of_every_kind(tmp_path: Path) -> None:
    header = "source_language,language,source,text,translator,unknown_words\n"
    rows = "spa_Latn,ast_Latn,Casa.,Casa!,Ana,\nspa_Latn,ast_Latn,Mesa.,Mesa!,,2\n"
    found = load_memory(write(tmp_path / "m.csv", header + rows), "Eva")
    assert found.find("spa_Latn", "ast_Latn", "Casa.") == Unit("Casa!", "Ana", None)
    assert found.find("spa_Latn", "ast_Latn", "Mesa.") == Unit("Mesa!", "Eva", 2)


def test_the_first_translation_of_a_text_stays(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", lines(FULL, FULL | {"text": "other"}))
    memory = load_memory(path, "x")
    assert memory.find("spa_Latn", "ast_Latn", "casa.") == Unit("Casa!", "x", None)


def test_bad_rows_among_good_ones_are_drops(tmp_path: Path) -> None:
    bad = [FULL | {"text": None}, FULL | {"source": 3}, FULL | {"text": " "}, ["a"],
           FULL | {"language": "ast"}, FULL | {"unknown_words": "many"},
           FULL | {"text": "\ud800"}]  # fmt: skip
    good = [FULL | {"source": f"Casa {n}."} for n in range(8)]
    path = write(tmp_path / "m.jsonl", lines(*good, *bad) + '{"broken": \n')
    memory = load_memory(path, "x")
    rules = [item["rule"] for item in memory.drops]
    assert sorted(rules) == ["broken_json", "json_not_object", "memory_language",
                             *["memory_no_text"] * 4, "memory_unknown_words"]  # fmt: skip
    assert memory.read == len(memory) + len(memory.drops) == 16
    assert {item["where"] for item in memory.drops} == {f"m.jsonl:{n}" for n in range(9, 17)}


def test_tmx(tmp_path: Path) -> None:
    memory = load_memory(TMX, "Ana")
    assert memory.find("spa_Latn", "ast_Latn", "La casa es vieja.") == Unit(
        "La casa ye vieya.", "Ana", None
    )
    assert memory.find("eng_Latn", "ast_Latn", "the house is old.") is not None
    assert memory.find("spa_Latn", "ast_Latn", "Una moza canta.") == Unit(
        "Una moza canta.", "Ana", None
    )
    assert memory.find("spa_Latn", "ast_Latn", "Sin par.") is None
    assert memory.read == 4


def test_tmx_with_a_namespace_and_another_encoding(tmp_path: Path) -> None:
    text = TMX.read_text("utf-8").replace('"UTF-8"', '"UTF-16"').replace(
        '<tmx version="1.4">', '<tmx xmlns="http://www.lisa.org/tmx14" version="1.4">'
    )  # fmt: skip
    memory = load_memory(write(tmp_path / "m.tmx", text.encode("utf-16")), "Ana")
    assert memory.find("spa_Latn", "ast_Latn", "La casa es vieja.") is not None


def test_tmx_variants_of_unknown_languages_are_skipped(tmp_path: Path) -> None:
    foreign = '<tuv xml:lang="xx-foo"><seg>a</seg></tuv><tuv><seg>b</seg></tuv>'
    text = TMX.read_text("utf-8").replace('<tu tuid="1">', f'<tu tuid="1">{foreign}')
    memory = load_memory(write(tmp_path / "m.tmx", text), "Ana")
    assert memory.find("spa_Latn", "ast_Latn", "La casa es vieja.") is not None
    assert memory.skipped == {"xx-foo": 1, "": 1}
    assert len(memory) == len(load_memory(TMX, "Ana"))


LAUGHS = """<?xml version="1.0"?><!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;">]>
<tmx><body><tu><tuv xml:lang="es"><seg>&c;</seg></tuv></tu></body></tmx>"""
OUTSIDE = """<?xml version="1.0"?><!DOCTYPE tmx [<!ENTITY a SYSTEM "file:///etc/hostname">]>
<tmx><body><tu><tuv xml:lang="es"><seg>&a;</seg></tuv></tu></body></tmx>"""


@pytest.mark.parametrize(("name", "content", "columns", "match"), [
    ("m.tmx", LAUGHS, None, "entities, which may expand without end"),
    ("m.tmx", OUTSIDE, None, "entities, which may expand without end"),
    ("m.tmx", "<tmx><body>", None, "expected: TMX"),
    ("m.tmx", "", None, "expected: TMX"),
    ("m.tmx", b"\xff\xfe\xff", None, "expected: TMX"),
    ("m.tmx", '<?xml version="1.0" encoding="no-such"?><tmx/>', None, "expected: TMX"),
    ("m.tmx", "<html/>", None, "root element is <tmx>"),
    ("m.tmx", "<tmx><body/></tmx>", None, "at least one translation"),
    ("m.tmx", '<tmx><tu><tuv xml:lang="xx-foo"><seg>a</seg></tuv></tu></tmx>', None, "'xx-foo'"),
    ("m.tmx", "<tmx><tu><tuv><seg>a</seg></tuv></tu></tmx>", None, "known language"),
    ("m.tmx", '<tmx><tu><tuv xml:lang="es-Cyrl"><seg>a</seg></tuv></tu></tmx>', None, "es-Cyrl"),
    ("m.xlsx", "x", None, "a file ending in"),
    ("m.csv", "", WIDE, "an empty file"),
    ("m.csv", "es,asturian\n", WIDE, "a header and no rows"),
    ("m.csv", "es,ast\nUno,Un\n", WIDE, "a column 'asturian'"),
    ("m.csv", "es,asturian\nUno,Un\n", {"spa_Latn": "es"}, "at least two languages"),
    ("m.csv", "es,asturian\nUno,Un\n", None, "a column 'source_language'"),
    ("m.csv", b"es,asturian\nni\xf1o,ne\xf1u\n", WIDE, "not UTF-8"),
    ("m.csv", "es,asturian\n,\n", WIDE, "at least one translation"),
    ("m.jsonl", "{", None, "one JSON object"),
    ("m.jsonl", lines(FULL | {"text": ""}), None, "field 'text'"),
    ("m.jsonl", lines(FULL | {"language": "Asturian"}), None, "a code such as ast_Latn"),
])  # fmt: skip
def test_bad_files(
    tmp_path: Path, name: str, content: str | bytes, columns: dict[str, str] | None, match: str
) -> None:
    with pytest.raises(DataError, match=match):
        load_memory(write(tmp_path / name, content), "x", columns)


@pytest.mark.parametrize("name", ["none.tmx", "none.csv"])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        load_memory(tmp_path / name, "x", WIDE)


def test_multijail(shared_data: Path) -> None:
    columns = {"eng_Latn": "en", "ben_Beng": "bn", "swh_Latn": "sw", "jav_Latn": "jv"}
    memory = load_memory(shared_data / "multijail" / "MultiJail_shared.csv", "native", columns)
    assert (memory.read, memory.drops) == (157, [])
    assert len(memory) > 157 * 12 - 40
    assert memory.find("eng_Latn", "ben_Beng", "not in there") is None


def test_an_empty_memory_finds_nothing() -> None:
    assert Memory().find("spa_Latn", "ast_Latn", "Casa") is None
