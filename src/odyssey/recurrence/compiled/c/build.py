"""Compilation of generated C into a shared library, once for each source, compiler and processor.

After `codegen`, before `engine`. Libraries are kept in the kernel cache under a hash of everything
that their code depends on.
"""

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
from contextlib import suppress
from pathlib import Path

from odyssey.io import atomic_path
from odyssey.recurrence.compiled.buffers import CannotCompile
from odyssey.recurrence.compiled.kernel_cache import cache_folder, process_folder

FLAGS = (
    "-std=gnu11",
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fPIC",
    "-shared",
    "-pthread",
)
FUNCTIONS = ("forward", "backward")  # of a library
# Options for this processor, the most specific first; the first that the compiler takes are used.
PROCESSOR = (
    ("-march=native", "-mprefer-vector-width=512"),
    ("-march=native",),
    ("-mcpu=native",),
    (),
)


def load(source: str) -> ctypes.CDLL:
    """The library that `source` compiles to, from the cache if it was compiled before.

    Raises CannotCompile.
    """
    compiler = _compiler()
    name = f"{_cache_key(source, compiler)}.so"
    with suppress(OSError):  # a full disk, or one from which nothing may be executed
        return _load_or_compile(compiler, source, cache_folder() / name)
    try:
        return _load_or_compile(compiler, source, process_folder() / name)
    except OSError as error:
        raise CannotCompile(f"the compiled file cannot be written or loaded: {error}") from error


def _cache_key(source: str, compiler: list[str]) -> str:
    """A hash of all that the compiled code depends on: source, compiler, processor, options."""
    version, options = _version(tuple(compiler)), repr((FLAGS, PROCESSOR))
    parts = [source, " ".join(compiler), version, processor(), options]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _load_or_compile(compiler: list[str], source: str, path: Path) -> ctypes.CDLL:
    """Raises OSError where nothing can be written to that path or loaded from there."""
    if path.is_file():
        with suppress(OSError, AttributeError):  # a damaged file, or one of another content
            return _with_functions(path, source)
    compile_library(compiler, source, path)
    try:
        return _with_functions(path, source)
    except AttributeError as error:
        path.unlink(missing_ok=True)
        raise CannotCompile(f"{compiler[0]} made a library without its functions") from error


def _with_functions(path: Path, source: str) -> ctypes.CDLL:
    """The library. Raises OSError if it cannot be loaded, AttributeError if it is another."""
    library = ctypes.CDLL(str(path))
    for name in FUNCTIONS:
        if f" {name}(" in source:
            getattr(library, name)
    return library


def compile_library(compiler: list[str], source: str, path: Path) -> None:
    """Compile `source` to the shared library `path`, which other processes may write meanwhile.

    Raises CannotCompile, and OSError where the file cannot be written.
    """
    with (
        atomic_path(path, sync=False) as library,
        tempfile.TemporaryDirectory(dir=path.parent) as folder,
    ):
        written = Path(folder) / "cell.c"
        written.write_text(source, encoding="utf-8")
        for options in PROCESSOR:
            command = [*compiler, *FLAGS, *options, "-o", str(library), str(written), "-lm"]
            try:
                done = _run(command, 120)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise CannotCompile(f"{compiler[0]} does not run: {error}") from error
            if done.returncode == 0:
                return
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        reason = next((line for line in lines if "error" in line), lines[0])
        raise CannotCompile(f"{compiler[0]} refuses the source: {reason}")


def _compiler() -> list[str]:
    """The command of the C compiler, $CC or cc. Raises CannotCompile where there is none."""
    try:
        words = shlex.split(os.environ.get("CC", "")) or ["cc"]
    except ValueError as error:
        raise CannotCompile(f"CC={os.environ['CC']} cannot be read ({error})") from error
    found = shutil.which(words[0])
    if found is None:
        raise CannotCompile(f"there is no C compiler ({words[0]})")
    return [found, *words[1:]]


@functools.cache
def _version(compiler: tuple[str, ...]) -> str:
    try:
        done = _run([*compiler, "--version"], 60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotCompile(f"{compiler[0]} does not run: {error}") from error
    return done.stdout


@functools.cache
def processor() -> str:
    """Model and instruction sets; machines with different ones may share a home directory."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    kinds = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    found = {line.split(":")[0].strip(): line for line in reversed(lines)}
    parts = [found[kind] for kind in kinds if kind in found]
    return "\n".join([platform.machine(), platform.processor(), *parts])


def _run(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
    )
