"""Random damage to the files of a study: every command that reads them ends with a sentence.

`pytest tests/test_fuzz_folders.py --fuzz=1000` tries as many; each failure prints its number, and
`--seed` repeats it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import odyssey
from odyssey.confirm import main as confirm
from odyssey.errors import UserError
from odyssey.report.main import main as report
from odyssey.report.wandb_dashboard.main import main as dashboard
from odyssey.study.status import main as status
from odyssey.training.sampling import main as sample
from run_kit import assert_same_run, folder, record, train, write_text
from test_run_damage import OPTIONS, interrupted_at_3

CORE = (".json", ".yaml", ".csv", ".ckpt")  # files that are hit more often than others
SEEDS = (0, 1, 2)  # of the runs; the last is interrupted
MOST_TOLD = 20  # failures, after which no more is tried
LIMIT = 60.0  # seconds that a command may take before it counts as waiting for ever


class Study:
    """A study of three runs, one of them interrupted, as it is before any damage."""

    def __init__(self, place: Path) -> None:
        from odyssey.training.callbacks import Signals

        self.options = [*OPTIONS, f"task.path={write_text(place / 'text.txt')}"]
        self.whole: dict[int, Path] = {}  # seed -> the run as it ends
        for seed in SEEDS:
            assert train(place / str(seed), *self.options, f"seed={seed}") == 0
            self.whole[seed] = folder(place / str(seed))
        with pytest.MonkeyPatch.context() as patch:
            real = Signals.on_train_batch_end
            patch.setattr(Signals, "on_train_batch_end", interrupted_at_3(real))
            words = [*self.options, f"seed={SEEDS[-1]}"]
            assert train(place / "cut", *words) == 130
        self.names = {seed: path.name for seed, path in self.whole.items()}
        self.folder = place / "study" / "s"
        for seed in SEEDS[:-1]:
            shutil.copytree(self.whole[seed], self.folder / self.names[seed])
        shutil.copytree(folder(place / "cut"), self.folder / self.names[SEEDS[-1]])
        self._write_plan(place / "study")

    def _write_plan(self, out: Path) -> None:
        from odyssey.study.plan import prepare
        from odyssey.study.runner import begin

        words = ["seed=0,1,2", *self.options, f"output_dir={out}", "logger.mode=disabled"]
        found = prepare([*words, "trainer.threads=1"])
        assert found is not None and {t.run for t in found.trials} == set(self.names.values())
        begin(found)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(tmp_path_factory.mktemp("fuzz"))


# -- damage ---------------------------------------------------------------------------------------


def _flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 8))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _truncate(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data) + 1)])


def _append(path: Path, rng: random.Random) -> None:
    path.write_bytes(
        path.read_bytes() + rng.choice((b"\0", b"x,y\n", b"}", b"\xff\xfe", b"\n" * 9))
    )


def _other_json(path: Path, rng: random.Random) -> None:
    values = ([], {}, 3, -1, None, True, "text", [1, "a"], {"a": {"b": []}}, 1e308, 10**40)
    path.write_text(json.dumps(rng.choice(values)))


def _edit(path: Path, rng: random.Random) -> None:
    """One value of a JSON file, or a number or a word of any other text."""
    odd: tuple[Any, ...] = (None, [], {}, -5, 10**30, "nan", "", "x" * 999, True, 0.5, [[1]], "\0")
    text = path.read_bytes().decode(errors="replace")
    with contextlib.suppress(ValueError):
        node = values = json.loads(text)
        while isinstance(node, dict) and node:
            key = rng.choice(list(node))
            if not isinstance(node[key], dict) or rng.random() < 0.5:
                node.pop(key) if rng.random() < 0.2 else node.update({key: rng.choice(odd)})
                break
            node = node[key]
        path.write_text(json.dumps(values))
        return
    spans = [m.span() for m in re.finditer(r"[\w.]+", text[:100_000])]
    if spans:
        start, end = rng.choice(spans)
        new = rng.choice(("1e308", "-1", "10" * 20, "null", "[]", "{a: b}", "nan", "x" * 300, ""))
        path.write_text(text[:start] + new + text[end:])


def _rubbish(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(rng.choice((0, 1, 30, 3000))))


def _swap(path: Path, rng: random.Random) -> None:
    """With the file of the same name of another run."""
    others = [p for p in path.parents[1].rglob(path.name) if p != path and p.is_file()]
    if others:
        other = rng.choice(sorted(others))
        mine = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(mine)


CHANGES: tuple[Callable[[Path, random.Random], object], ...] = (
    *(_flip, _truncate, _append, _other_json, _edit, _edit, _rubbish, _swap),
)


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


REPLACEMENTS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a folder with a file": lambda path: (path.mkdir(), (path / "x").touch()),
    "a file": lambda path: path.write_text("x"),
    "a pipe": os.mkfifo,
    "a loop of links": lambda path: path.symlink_to(path.name),
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


def damage(study: Path, rng: random.Random) -> tuple[str, set[str]]:
    """Do one or two things to the files of a study: what, and the runs (or "") that it touched."""
    done, touched = [], set()
    for _ in range(rng.choice((1, 1, 2, 3))):
        files = sorted(p for p in study.rglob("*") if p.is_file() and not p.is_symlink())
        folders = sorted(p for p in study.rglob("*") if p.is_dir() and not p.is_symlink())
        if not files:
            break
        if rng.random() < 0.75:
            core = [p for p in files if p.suffix in CORE]
            files = core if core and rng.random() < 0.75 else files
        if rng.random() < 0.7:
            path, how = rng.choice(files), rng.choice(CHANGES)
            if path.suffix == ".lock":
                continue
            every = [p for p in study.rglob("*") if p.is_file() and not p.is_symlink()]
            before = {p: p.read_bytes() for p in every}
            how(path, rng)
            changed = [p for p in every if p.read_bytes() != before[p]]
            done.append(f"{how.__name__}({path.relative_to(study)})")
        else:
            path = rng.choice(files if rng.random() < 0.7 else folders)
            what = rng.choice(list(REPLACEMENTS))
            _clear(path)
            REPLACEMENTS[what](path)
            changed = [path]
            done.append(f"{path.relative_to(study)} is {what}")
        for p in changed:
            first, *rest = p.relative_to(study).parts
            touched.add(first if rest or first.startswith("lstm") else "")
    return "; ".join(done), touched


# -- commands -------------------------------------------------------------------------------------


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    def late(number: int, frame: Any) -> None:
        raise TimeoutError(f"no end after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def from_python(study: Path, run: Path) -> int:
    """What a notebook does; each look may be refused."""
    code = 0

    def look(what: Callable[[], object]) -> Any:
        nonlocal code
        try:
            return what()
        except UserError as error:
            assert error.messages and all("\n" not in m for m in error.messages), error.messages
            print(*(f"error: {m}" for m in error.messages), sep="\n", file=os.sys.stderr)
            code = 2

    loaded = look(lambda: odyssey.load(run))
    if loaded is not None:
        for attribute in (
            "record",
            "status",
            "result",
            "metrics",
            "config",
            "model",
            "_repr_html_",
        ):
            look(lambda a=attribute: getattr(loaded, a))
        look(lambda: loaded.sample(length=2))
        look(lambda: loaded.predict("the"))
        look(loaded.plot)
        repr(loaded)
    found = look(lambda: odyssey.study(study))
    if found is not None:
        look(lambda: found.runs)
        look(lambda: found.best())
        look(lambda: odyssey.compare(found))
    return code


COMMANDS: dict[str, tuple[int, Callable[[Study, Path, Path, int], int]]] = {  # how often, and what
    "train": (6, lambda s, study, run, seed: train(study.parent, *s.options, f"seed={seed}")),
    "train anew": (
        1,
        lambda s, study, run, seed: train(study.parent, *s.options, f"seed={seed}", "resume=force"),
    ),
    "study": (1, lambda s, study, run, seed: train(study.parent, "-m", "seed=0,1,2", *s.options)),
    "sample": (3, lambda s, study, run, seed: sample([str(run), "--length", "3"])),
    "sample last": (
        1,
        lambda s, study, run, seed: sample([str(run), "--length", "3", "--checkpoint", "last"]),
    ),
    "status": (3, lambda s, study, run, seed: status([str(study), "--all"])),
    "status --json": (1, lambda s, study, run, seed: status([str(study), "--json"])),
    "report": (
        1,
        lambda s, study, run, seed: report([str(study), "--no-figures", "--draws", "100"]),
    ),
    "confirm": (1, lambda s, study, run, seed: confirm([str(study)])),
    "dashboard": (
        1,
        lambda s, study, run, seed: dashboard(
            ["--study", str(study), "--entity", "a", "--dry-run", str(study.parent / "d.json")]
        ),
    ),
    "python": (3, lambda s, study, run, seed: from_python(study, run)),
}


def content(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def attempt(base: Study, place: Path, rng: random.Random) -> None:
    """Damage a copy of the study, run some commands, and look at what became of it."""
    study = place / "s"
    shutil.copytree(base.folder, study)
    what, touched = damage(study, rng)
    sound = {n: content(study / n) for n in base.names.values() if n not in touched}
    said = [what]
    names, weights = zip(*((n, w) for n, (w, _) in COMMANDS.items()), strict=True)
    for command in rng.choices(names, weights, k=rng.choice((1, 2, 3))):
        hit = [seed for seed in SEEDS if base.names[seed] in touched]
        seed = rng.choice(hit if hit and rng.random() < 0.8 else SEEDS)
        run = study / base.names[seed]
        out, err = io.StringIO(), io.StringIO()
        said.append(f"{command} of {run.name}")
        try:
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                warnings.catch_warnings(),
                time_limit(LIMIT),
            ):
                warnings.simplefilter("ignore")
                code = COMMANDS[command][1](base, study, run, seed)
        except BaseException as error:
            told = "".join(traceback.format_exception(error))
            pytest.fail("\n".join([*said, told]), pytrace=False)
        told = "\n".join([*said, f"exit status {code}", err.getvalue()])
        assert code in (0, 1, 2), told
        assert "Traceback" not in err.getvalue() + out.getvalue(), told + out.getvalue()
        if command != "study":
            lines = err.getvalue().splitlines()
            assert code == 0 or any(line.startswith("error: ") for line in lines), told
        if command == "train" and code == 0 and base.names[seed] not in touched:
            assert_same_run(run, base.whole[seed])
        if command == "train" and code == 0 and seed == SEEDS[-1] and "run.json" not in what:
            # Whatever was done to it, if it was not refused, it is the run that it was to be.
            assert_same_run(run, base.whole[seed])
        if command == "train anew":
            sound.pop(run.name, None)
    for name, before in sound.items():
        now = content(study / name)
        if record(study / name)["status"] == "finished" and before != now:
            (seed,) = (s for s, n in base.names.items() if n == name)
            assert seed == SEEDS[-1], "\n".join([*said, f"{name} has changed"])
            assert_same_run(study / name, base.whole[seed])


def test_whatever_is_done_to_a_folder_is_success_or_a_sentence(
    study: Study, fuzz_draws: int, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    failures = []
    for number in range(fuzz_draws):
        place = tmp_path / str(number)
        place.mkdir()
        try:
            attempt(study, place, random.Random(f"{seed} {number}"))
        except (Exception, pytest.fail.Exception) as error:
            failures.append(f"draw {number}: {type(error).__name__}: {error}")
            if len(failures) == MOST_TOLD:
                break
        shutil.rmtree(place, ignore_errors=True)
    if failures:
        pytest.fail("\n\n".join(failures), pytrace=False)
