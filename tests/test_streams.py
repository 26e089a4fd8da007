"""Output whose reader leaves or whose encoding lacks letters, and control characters in it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import random_kit
from odyssey.streams import clean, clean_line, is_lost, lasting, prepare
from odyssey.study.formatting import as_command, words

ROOT = Path(__file__).parents[1]
WORDS = "task=charlm task.data=hello trainer.max_steps=20 logger.mode=disabled model.hidden_size=8"
WORDS += " task.sample_length=20 output_dir=."
TRAIN = f"{sys.executable} {ROOT / 'train.py'} {WORDS}"
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")


def shell(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """With the exit status of the first command of a pipe, and not of its reader."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        encoding="latin-1",
        timeout=240,
    )


def statuses(folder: Path) -> list[str]:
    return [json.loads(p.read_text())["status"] for p in sorted(folder.glob("*/run.json"))]


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["leaves", "> /dev/full", "> /dev/full 2>&1"])
def test_a_reader_that_leaves_costs_no_run(reader: str, tmp_path: Path) -> None:
    if "full" in reader and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    if reader == "leaves":
        reader = random_kit.dice().choice(["| head -1", "| grep -m1 ."])
    one = shell(f"{TRAIN} cell=rnn study=one {reader}", tmp_path)
    assert (one.returncode, one.stderr) == (0, ""), reader
    assert statuses(tmp_path / "one") == ["finished"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "local_pool"])
def test_a_reader_that_leaves_costs_no_study(launcher: str, tmp_path: Path) -> None:
    reader = random_kit.dice().choice(["2>&1 | head -1", "> /dev/full"])
    command = f"{TRAIN} -m cell=rnn,gru study=two hydra/launcher={launcher} {reader}"
    many = shell(command, tmp_path)
    assert (many.returncode, many.stderr) == (0, ""), reader
    assert statuses(tmp_path / "two") == ["finished", "finished"]


@pytest.mark.slow
def test_letters_that_an_encoding_lacks_are_printed_as_others(tmp_path: Path) -> None:
    """What is quick in each encoding; each of the other commands in one, drawn at random."""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ways = [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, plain]
    dice, scripts = random_kit.dice(), ROOT / "scripts"
    dice.shuffle(ways)
    quick = [
        f"{scripts / 'status.py'} s",
        f"{scripts / 'explain.py'} cell=lstm",
        f"{ROOT / 'train.py'} --help",
    ]
    others = [
        f"{scripts / 'report.py'} s",
        f"{scripts / 'sample.py'} $(ls -d s/rnn-*) --length 30 --prompt hé",
        f"{scripts / 'plan.py'} s",
        f"{scripts / 'calibrate.py'} --help",
        f"{scripts / 'dashboard.py'} --help",
    ]
    dice.shuffle(others)
    for number, variables in enumerate(ways):
        # The first trains the runs; the others find them finished and make the plan anew.
        (tmp_path / "s" / "study.json").unlink(missing_ok=True)
        study = shell(f"{TRAIN} -m cell=rnn,gru study=s", tmp_path, **variables)
        assert (study.returncode, study.stderr) == (0, ""), variables
        assert "(plan.margin=...)" in study.stdout, "the ellipsis of the text"
        for command in quick + others[number :: len(ways)]:
            done = shell(f"{sys.executable} {command}", tmp_path, **variables)
            assert "Traceback" not in done.stderr, (variables, command, done.stderr)
            assert done.returncode in (0, 2), (variables, command, done.stderr)
            done.stdout.encode("latin-1")


@pytest.mark.slow
def test_a_report_is_written_whoever_reads_what_it_prints(tmp_path: Path) -> None:
    assert shell(f"{TRAIN} -m cell=rnn,gru study=s > log", tmp_path).returncode == 0
    report = shell(f"{sys.executable} {ROOT / 'scripts' / 'report.py'} s | head -1", tmp_path)
    assert (report.returncode, report.stderr) == (0, "")
    assert (tmp_path / "s" / "report" / "index.html").exists()
    # A reader that has left ends what would go on for ever.
    (tmp_path / "s" / "trials.csv").write_text("trial,run,variant,overrides\n0,a,a,\n")
    watch = f"{sys.executable} {ROOT / 'scripts' / 'status.py'} s --watch 0.1 | head -1"
    assert (done := shell(watch, tmp_path)).returncode == 0, done.stderr


def test_a_stream_whose_reader_has_left_says_so_and_goes_on() -> None:
    read, write = os.pipe()
    stream = lasting(write, None, own=True)
    print("a", file=stream, flush=True)
    assert not is_lost(stream)
    os.close(read)
    for _ in range(3):
        print("b" * random_kit.rng().integers(1, 100_000), file=stream, flush=True)
    assert is_lost(stream)
    os.write(write, b"what a child prints")  # the descriptor goes nowhere now
    stream.close()


@needs_full
def test_a_full_disk_is_as_a_reader_that_has_left() -> None:
    with lasting(os.open("/dev/full", os.O_WRONLY), None, own=True) as stream:
        print("x", file=stream)
        assert is_lost(stream)


def test_a_descriptor_that_does_not_wait_gets_all() -> None:
    import threading

    read, write = os.pipe()
    os.set_blocking(write, False)
    got = bytearray()

    def reader() -> None:
        while some := os.read(read, 1000):
            got.extend(some)

    thread = threading.Thread(target=reader)
    text = "x" * 300_000
    with lasting(write, None, own=True) as stream:
        thread.start()
        print(text, file=stream, end="")
    thread.join()
    os.close(read)
    assert got.decode() == text


def test_letters_are_encoded_as_near_as_can_be() -> None:
    read, write = os.pipe()
    ascii = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with lasting(write, ascii, own=True) as stream:
        print("a… 3 × 4 ± é \udcff", file=stream)
    assert os.read(read, 100) == b"a... 3 x 4 +- ? ?\n"
    os.close(read)


def test_streams_that_somebody_has_put_there_are_left_alone() -> None:
    before = sys.stdout, sys.stderr
    prepare()
    assert (sys.stdout, sys.stderr) == before  # those of pytest


def test_control_characters_are_escaped() -> None:
    assert clean("a\x1b[2Jb\x9b\x07\r\x7f\u202ec\u2066") == (
        r"a\x1b[2Jb\x9b\x07\r\x7f\u202ec\u2066"
    )
    assert clean("tab\tline\nümlaut … 漢字 🙂 ע") == "tab\tline\nümlaut … 漢字 🙂 ע"
    assert clean_line("a\nb\tc") == r"a\nb\tc"
    assert clean("\udcff") == r"\udcff"
    rng = random_kit.rng()
    for _ in range(200):
        text = "".join(map(chr, rng.integers(0, 0x3000, 30)))
        safe = clean(text)
        assert clean(safe) == safe
        assert not any(ord(c) < 32 and c not in "\n\t" or 0x7F <= ord(c) < 0xA0 for c in safe)


def test_a_command_to_be_copied_is_one_line_of_quoted_words() -> None:
    line = as_command(words("cell=rnn; rm -rf ~ $(id) 'task.path=a b'"))
    assert line == "'cell=rnn;' rm -rf '~' '$(id)' 'task.path=a b'"
    rng = random_kit.rng()
    for _ in range(10):
        given = [
            "".join(map(chr, rng.choice([*range(1, 0xA0), 0x2028, 0x202E, 0x4E00], 6)))
            for _ in range(20)
        ]
        line = as_command(given)
        assert clean_line(line) == line
        shown = subprocess.run(
            ["bash", "-c", f"printf '%s\\0' {line}"],
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            capture_output=True,
        )
        assert shown.stdout.decode().split("\0")[:-1] == given


@pytest.mark.slow
def test_names_and_texts_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """What one types, a study's name and the letters that a model writes."""
    (tmp_path / "odd.txt").write_text("ab\x1b]0;owned\x07\x9b2J\u202e" * 400, encoding="utf-8")
    train = [sys.executable, str(ROOT / "train.py"), "cell=rnn", "task=charlm", "output_dir=o"]
    train += ["task.path=odd.txt", "trainer.max_steps=3", "logger.mode=disabled"]
    commands = [
        [*train, "model.hidden_size=8"],
        [*train, "model.hidden_sise\x1b[31m=8", "seed=\x9b2J", "\u202etxt"],
        [*train, "study=a\x1b[2Jb"],
        [*train, "-m", "seed=0,1", "model.hidden_size=8", "study=two"],
        [sys.executable, str(ROOT / "scripts" / "report.py"), "o/\x1b[31mnone"],
        [sys.executable, str(ROOT / "scripts" / "sample.py"), "RUN", "--length", "300"],
        [sys.executable, "-m", "odyssey", "\x1b[31mtrain"],
    ]
    for command in commands:
        (run,) = [str(p.parent) for p in tmp_path.glob("o/default/*/run.json")][:1] or [""]
        command = [run if word == "RUN" else word for word in command]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
        for printed in (done.stdout.decode(), done.stderr.decode()):
            assert clean(printed) == printed, (command, printed)
            assert "Traceback" not in printed
