"""Compiling generated C once, and keeping what came out under a hash of all that went in."""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from odyssey.recurrence.compiled.buffers import CannotCompile

log = logging.getLogger("odyssey")

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


def load(source: str) -> ctypes.CDLL:
    """The library that `source` compiles to, from the cache if it was compiled before."""
    compiler = _compiler()
    words = [source, " ".join(compiler), _version(compiler), processor(), repr((FLAGS, PROCESSOR))]
    key = hashlib.sha256("\0".join(words).encode()).hexdigest()[:24]
    with suppress(OSError):  # a full disk, or one from which nothing may be executed
        return _loaded(compiler, source, cache_folder() / f"{key}.so")
    try:
        return _loaded(compiler, source, _own_folder() / f"{key}.so")
    except OSError as error:
        raise CannotCompile(f"the compiled file cannot be written or loaded: {error}") from error


def _loaded(compiler: list[str], source: str, path: Path) -> ctypes.CDLL:
    """Raises OSError where nothing can be written to that place or loaded from there."""
    if path.is_file():
        with suppress(OSError):  # damaged
            return ctypes.CDLL(str(path))
    compile_library(compiler, source, path)
    return ctypes.CDLL(str(path))


def cache_folder() -> Path:
    """$ODYSSEY_KERNELS, or odyssey/kernels in the user's cache folder; made if need be.

    What lies there is executed. So a folder that belongs to another user, or in which everybody may
    write, is not used: this process has one of its own then, as where there is none to write to.
    """
    with suppress(OSError, RuntimeError):  # RuntimeError: a user without a home
        given = os.environ.get("ODYSSEY_KERNELS")
        base = os.environ.get("XDG_CACHE_HOME")
        if given:
            folder = Path(given).absolute()
        else:
            folder = (Path(base) if base else Path.home() / ".cache") / "odyssey" / "kernels"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(folder, os.W_OK) and _is_ours(folder):
            return folder
    return _own_folder()


@functools.cache  # said once
def _is_ours(folder: Path) -> bool:
    about = folder.stat()
    ours = about.st_uid in (os.geteuid(), 0) and not about.st_mode & stat.S_IWOTH
    if not ours:
        log.warning(
            "compiled cells are not kept in %s, since others could leave programs there that you "
            "would run; set ODYSSEY_KERNELS to a folder of your own",
            folder,
        )
    return ours


@functools.cache
def _own_folder() -> Path:
    """For this process alone; it goes when the process ends."""
    folder = tempfile.mkdtemp(prefix="odyssey-kernels-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _compiler() -> list[str]:
    try:
        words = shlex.split(os.environ.get("CC", "")) or ["cc"]
    except ValueError as error:
        raise CannotCompile(f"CC={os.environ['CC']} cannot be read ({error})") from error
    found = shutil.which(words[0])
    if found is None:
        raise CannotCompile(f"there is no C compiler ({words[0]})")
    return [found, *words[1:]]


def _version(compiler: list[str]) -> str:
    return _first_lines(tuple(compiler))


@functools.cache
def _first_lines(compiler: tuple[str, ...]) -> str:
    try:
        done = _run([*compiler, "--version"], 60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotCompile(f"{compiler[0]} does not run: {error}") from error
    return done.stdout


def _run(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
    )


@functools.cache
def processor() -> str:
    """Model and abilities: a home directory may be shared by machines that differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    kinds = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    found = {line.split(":")[0].strip(): line for line in reversed(lines)}
    words = [found[kind] for kind in kinds if kind in found]
    return "\n".join([platform.machine(), platform.processor(), *words])


def compile_library(compiler: list[str], source: str, path: Path) -> None:
    """Compile beside the cache's file and move it there at once: others may do the same now."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        written, made = Path(folder) / "cell.c", Path(folder) / "cell.so"
        written.write_text(source, encoding="utf-8")
        for target in PROCESSOR:
            command = [*compiler, *FLAGS, *target, "-o", str(made), str(written), "-lm"]
            try:
                done = _run(command, 120)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise CannotCompile(f"{compiler[0]} does not run: {error}") from error
            if done.returncode == 0:
                os.replace(made, path)
                return
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    said = next((line for line in lines if "error" in line), lines[0])
    raise CannotCompile(f"{compiler[0]} refuses the source: {said}")
