"""Compiling generated C once, and keeping what came out under a hash of all that went in."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

FLAGS = (
    "-std=gnu11",
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fPIC",
    "-shared",
    "-pthread",
)
# For this processor, the most particular first; the first set that the compiler takes is used.
PROCESSOR = (
    ("-march=native", "-mprefer-vector-width=512"),
    ("-march=native",),
    ("-mcpu=native",),
    (),
)


class CannotCompile(Exception):
    """There is no C compiler, or it does not take the source; the message is its reason."""


def load(source: str) -> ctypes.CDLL:
    """The library that `source` compiles to, from the cache if it was compiled before."""
    compiler = _compiler()
    words = [source, " ".join(compiler), _version(compiler), _processor(), repr((FLAGS, PROCESSOR))]
    key = hashlib.sha256("\0".join(words).encode()).hexdigest()[:24]
    path = cache_folder() / f"{key}.so"
    if path.is_file():
        try:
            return ctypes.CDLL(str(path))
        except OSError:  # damaged, by a full disk for instance
            pass
    _compile(compiler, source, path)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CannotCompile(f"the compiled file cannot be loaded: {error}") from error


def cache_folder() -> Path:
    """$ODYSSEY_KERNELS, or odyssey/kernels in the user's cache folder; made if need be."""
    given = os.environ.get("ODYSSEY_KERNELS")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(given) if given else Path(base) / "odyssey" / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return _own_folder()


@functools.cache
def _own_folder() -> Path:
    """For this process alone, where the user has no folder to write to."""
    return Path(tempfile.mkdtemp(prefix="odyssey-kernels-"))


def _compiler() -> list[str]:
    words = shlex.split(os.environ.get("CC", "")) or ["cc"]
    found = shutil.which(words[0])
    if found is None:
        raise CannotCompile(f"there is no C compiler ({words[0]})")
    return [found, *words[1:]]


def _version(compiler: list[str]) -> str:
    return _first_lines(tuple(compiler))


@functools.cache
def _first_lines(compiler: tuple[str, ...]) -> str:
    try:
        done = subprocess.run([*compiler, "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotCompile(f"{compiler[0]} does not run: {error}") from error
    return done.stdout


@functools.cache
def _processor() -> str:
    """Model and abilities: a home directory may be shared by machines that differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    kinds = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    found = {line.split(":")[0].strip(): line for line in reversed(lines)}
    words = [found[kind] for kind in kinds if kind in found]
    return "\n".join([platform.machine(), platform.processor(), *words])


def _compile(compiler: list[str], source: str, path: Path) -> None:
    """Compile beside the cache's file and move it there at once: others may do the same now."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        written, made = Path(folder) / "cell.c", Path(folder) / "cell.so"
        written.write_text(source, encoding="utf-8")
        for processor in PROCESSOR:
            command = [*compiler, *FLAGS, *processor, "-o", str(made), str(written), "-lm"]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise CannotCompile(f"{compiler[0]} does not run: {error}") from error
            if done.returncode == 0:
                os.replace(made, path)
                return
    lines = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr.strip()]
    raise CannotCompile(f"{compiler[0]} refuses the source: {lines[0]}")
