"""Where configuration files are looked for: in conf/, then in folders of the user's own.

Hydra's ways to name such folders, `--config-dir DIR` and `hydra.searchpath=[…]`, and another
primary file, `--config-name NAME`, are words among the overrides here, so that they are recorded
with a run and a study: `hydra.searchpath=[file:///home/me/conf]`, `hydra.job.config_name=mine`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml  # type: ignore[import-untyped]
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from odyssey.errors import UserError, did_you_mean, options
from odyssey.io import read_text
from odyssey.registry import CONF as CONF

SEARCH_PATH = "hydra.searchpath"
CONFIG_NAME = "hydra.job.config_name"
PRIMARY = "config"  # the file that all others follow from, where no other is asked for


@dataclass(frozen=True)
class Sources:
    """The user's folders, as Hydra writes them (`file://…` or `pkg://…`), and the primary file."""

    folders: tuple[str, ...] = ()
    primary: str = PRIMARY

    def words(self) -> list[str]:
        """As words of the command line; none for conf/ alone."""
        found = []
        if self.folders:
            found.append(f"{SEARCH_PATH}=[{','.join(_quoted(f) for f in self.folders)}]")
        if self.primary != PRIMARY:
            found.append(f"{CONFIG_NAME}={self.primary}")
        return found


_current = Sources()  # of this process; hydra_plugins.odyssey_plugins has Hydra look there too


def current() -> Sources:
    """The sources in use."""
    return _current


def use(words: Sequence[str]) -> None:
    """Look from now on where these words of a command line say; in conf/ alone if none does.

    Raises UserError for a folder or a primary file that is not there.
    """
    global _current
    found: list[str] = []
    primary = PRIMARY
    for word in words:
        key, _, text = word.lstrip("+").partition("=")
        if key == SEARCH_PATH:
            found += [_address(entry) for entry in _entries(word)]
        elif key == CONFIG_NAME:
            primary = text.strip("'\"").removesuffix(".yaml")
    sources = Sources(tuple(dict.fromkeys(found)), primary)
    files = {p.stem: p for folder in _paths(sources) for p in folder.glob("*.yaml")}
    if primary not in files:
        raise UserError(
            f"--config-name {primary} is not there{did_you_mean(primary, files)}: "
            f"type one of {options(files)}"
        )
    if primary != PRIMARY:
        _see_primary(files[primary])
    _current = sources


def _see_primary(file: Path) -> None:
    """Raise UserError for a primary file that does not begin with the package's own."""
    try:
        content = yaml.safe_load(read_text(file)[0])
    except (OSError, ValueError, yaml.YAMLError) as error:
        what = " ".join(str(error).split())
        raise UserError(
            f"--config-name {file.stem} is not readable: mend {file} ({what})"
        ) from None
    defaults = content.get("defaults") if isinstance(content, dict) else None
    if not isinstance(defaults, list) or PRIMARY not in defaults:
        raise UserError(
            f"--config-name {file.stem} is not usable: begin {file} with defaults: [{PRIMARY}, "
            "_self_], which brings all that a run has"
        )


def search_path_word(folder: str) -> str:
    """`--config-dir FOLDER` as a word. Raises UserError where there is no such folder."""
    return f"{SEARCH_PATH}=[{_quoted(_address(folder, '--config-dir '))}]"


def folders() -> list[Path]:
    """The folders that are looked into, conf/ first."""
    return list(_paths(_current))


def choices(group: str) -> list[str]:
    """The names that a group may have, in order."""
    return sorted({p.stem for folder in folders() for p in (folder / group).glob("*.yaml")})


def find(group: str, name: str) -> Path:
    """The file of a choice; its place in conf/ where there is none."""
    places = [folder / group / f"{name}.yaml" for folder in folders()]
    return next((p for p in places if p.is_file()), places[0])


def place(path: Path) -> str:
    """How a message names a file: `conf/cell/lstm.yaml`, or the whole path of a user's own."""
    return f"conf/{path.relative_to(CONF)}" if path.is_relative_to(CONF) else str(path)


def _entries(word: str) -> list[str]:
    try:
        value = OverridesParser.create().parse_overrides([word])[0].value()
    except HydraException:
        value = None
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(e, str) for e in entries):
        raise UserError(f"{word} is not a list of folders: type {SEARCH_PATH}=[FOLDER]")
    return entries


def _address(entry: str, option: str = f"{SEARCH_PATH}=") -> str:
    """A folder as Hydra writes it, a path made absolute. Raises UserError where it is none."""
    if entry.startswith("pkg://"):
        if _folder(entry) is None:
            raise UserError(f"{option}{entry} is not a package with files: type {option}FOLDER")
        return entry
    path = Path(entry.removeprefix("file://")).absolute()
    if not path.is_dir():
        raise UserError(f"{option}{entry} is not a folder: type one with files as conf/ has them")
    return f"file://{path}"


def _paths(sources: Sources) -> Iterator[Path]:
    yield CONF
    for address in sources.folders:
        if (folder := _folder(address)) is not None:
            yield folder


def _folder(address: str) -> Path | None:
    if address.startswith("file://"):
        return Path(address.removeprefix("file://"))
    parts = urlsplit(address)
    package = (parts.netloc + unquote(parts.path)).strip("/").replace("/", ".")
    try:
        with as_file(files(package)) as folder:
            return folder
    except (ImportError, TypeError, OSError):
        return None


def _quoted(address: str) -> str:
    """An address as an entry of a list in Hydra's grammar."""
    if re.fullmatch(r"[\w:/.-]+", address, re.ASCII):
        return address
    return "'" + address.replace("\\", "\\\\").replace("'", "\\'") + "'"
