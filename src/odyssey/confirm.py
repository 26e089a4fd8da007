"""`python scripts/confirm.py outputs/<study>`: the best settings of a search, with fresh seeds."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from odyssey.cli_utils import Parser, check_count, exit_status, show, typed_as, typed_path
from odyssey.config.schema import flat
from odyssey.config.seeds import SEED_KEYS
from odyssey.config.trust import own_words
from odyssey.errors import UserError
from odyssey.io import write_text
from odyssey.study.analysis_plan import ALPHA, short
from odyssey.study.formatting import several
from odyssey.study.formatting import words as words_of
from odyssey.study.overrides import text
from odyssey.study.state import (
    CONFIRMS,
    LEFT,
    RunState,
    StudyState,
    not_a_study,
    read_study,
)
from odyssey.study.store import TrialRow
from odyssey.yaml_text import read_values

FOLDER = "confirm"  # a configuration folder, with the sweep of that study
# Keys that the confirming study sets anew; the split stays, unless the search compared several.
OWN = ("study", "seed", "seeds.init", "seeds.order", "output_dir")


@dataclass(frozen=True)
class Confirms:
    """confirms.json: which search a study confirms, and the run that each variant is from."""

    study: str
    runs: Mapping[str, str]  # variant of the search, or with `, second`, -> name of its run
    seeds: Sequence[int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the best configurations anew; the exit status is that of the training, or 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    found: list[int] = []
    return exit_status(lambda: found.append(_confirm(words))) or found[0]


def _confirm(words: list[str]) -> int:
    from odyssey.cli import main as train

    asked = _parser().parse_intermixed_args(words)
    if asked.seeds < 2:
        raise UserError(f"--seeds {asked.seeds} is too few for a comparison: type 2 or more")
    check_count("--seeds", asked.seeds, 2, 10_000)
    if wrong := [w for w in asked.words if "=" not in w or w.partition("=")[0] in OWN]:
        raise UserError(
            f"{wrong[0]} is not understood here: type settings of the launcher, the logger or the "
            "trainer, as in hydra.launcher.n_jobs=2"
        )
    folder, confirms, command = plan(asked.study, asked.seeds, asked.runner_up, asked.trust)
    for variant, run in confirms.runs.items():
        show(f"{variant}: {run}")
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(asdict(confirms), indent=2, ensure_ascii=False)
    write_text(folder / CONFIRMS, content + "\n", sync=False)
    given = {word.partition("=")[0] for word in asked.words}
    command = [word for word in command if word.partition("=")[0] not in given]
    return train(["-m", *command, *asked.words])


def plan(
    study: Path, seeds: int, runner_up: bool, trust: bool = False
) -> tuple[Path, Confirms, list[str]]:
    """The folder of the confirming study, what it confirms, and the words that train it.

    trust: whether the search's own code, if it has some, may be run.

    Its sweep is written into a configuration folder beside its runs. Raises UserError for what is
    no search, and where a variant has no finished run.
    """
    if wrong := not_a_study(study, f"type a search, as in {typed_as('confirm')} outputs/greff"):
        raise UserError(wrong)
    state = read_study(study)
    if state.record is None or not state.record.space:
        raise UserError(
            f"{study} is no search: each of its variants has one configuration. Type its command "
            "again with more seeds, as in seed=range(0,10)"
        )
    left = sum(run.state in (*LEFT, "running") for run in state.runs.values()) + state.to_come
    if left:
        show(f"note: {several(left, 'trial')} of {study} not finished: the best so far are taken")
    chosen = _choose(state, runner_up)
    rows = {row.run: row for row in state.trials}
    compared = [key for entry in state.record.compare for key in entry.split(",")]
    own = {*OWN, *(key for key in SEED_KEYS if key in compared)}
    words = [word for run in chosen.values() for word in _words(rows, run)]
    if not trust and (others := own_words(words)):
        raise UserError(
            f"{study} has trials with {others[0]}, which is no part of Odyssey's and would be run: "
            "give --trust if you know whose code it is"
        )
    settings = {label: _settings(_words(rows, run), own) for label, run in chosen.items()}
    settings = _complete(settings, chosen)
    first = max(_used(state), default=-1) + 1
    fresh = list(range(first, first + seeds))
    name = f"{state.name}-confirmed"
    folder = study.resolve().parent / name
    shared, differing = _split(settings)
    command = [f"{key}={value}" for key, value in shared.items()]
    if differing:
        sweep = _sweep(differing, settings)
        file = folder / FOLDER / "sweep" / "confirm.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, sweep, sync=False)
        command = ["--config-dir", str(folder / FOLDER), "sweep=confirm", *command]
    command += _analysis(state, runner_up)
    command += [f"seed=range({first},{first + seeds})", f"study={name}"]
    command += [f"output_dir={folder.parent}"]
    runs = {label: run.name for label, run in chosen.items()}
    return folder, Confirms(state.name, runs, fresh), command


def _words(rows: Mapping[str, TrialRow], run: RunState) -> list[str]:
    """What follows the command that trained a run. Raises UserError where no trial says so."""
    if run.name not in rows:
        raise UserError(
            f"{run.path} is not in the trials.csv of its study, which would say how it was trained"
        )
    try:
        return shlex.split(rows[run.name].overrides)
    except ValueError:
        raise UserError(
            f"{run.path} has a row in the trials.csv of its study that is no command line"
        ) from None


def _analysis(state: StudyState, runner_up: bool) -> list[str]:
    """The search's plan of the analysis, for the study that confirms it.

    With the runners-up its baseline is two variants, so that the default is taken.
    """
    plan = state.record.plan if state.record else None
    if plan is None:
        return []
    words = [
        f"plan.{key}={value}"
        for key in ("metric", "margin")
        if (value := getattr(plan, key)) is not None
    ]
    words += [f"plan.alpha={plan.alpha}"] if plan.alpha != ALPHA else []
    return words + ([f"plan.baseline='{short(plan.baseline)}'"] if not runner_up else [])


def _used(state: StudyState) -> Iterator[int]:
    """Every seed that a run of the search had."""
    for run in state.runs.values():
        if run.record is not None:
            seeds = run.record.seeds
            mine = (run.record.seed, *((seeds.init, seeds.order) if seeds else ()))
            yield from (seed for seed in mine if seed is not None)


def _choose(state: StudyState, runner_up: bool) -> dict[str, RunState]:
    """The best finished run of each variant by validation, and the second best if asked for."""
    found: dict[str, RunState] = {}
    variants: dict[str, list[RunState]] = {}
    for label, runs in state.variants().items():
        own = [word for word in words_of(label) if word.partition("=")[0] not in SEED_KEYS]
        variants.setdefault(" ".join(own) or f"cell={runs[0].cell}", []).extend(runs)
    for label, runs in variants.items():
        finished = [r for r in runs if r.state == "finished" and r.value == r.value]
        if not finished:
            raise UserError(
                f"{label} of {state.folder} has no finished run with a validation value: let the "
                f"study end first ({typed_as('status')} {state.folder} shows what is left)"
            )
        finished.sort(key=lambda r: r.value, reverse=finished[0].mode == "max")
        found[label] = finished[0]
        if runner_up and len(finished) > 1:
            found[f"{label}, second"] = finished[1]
    return found


def _settings(words: Sequence[str], own: Collection[str]) -> dict[str, str]:
    """The words of a trial by their keys, without those of its study."""
    pairs = (word.partition("=") for word in words)
    return {key: value for key, _, value in pairs if key not in own}


def _complete(
    settings: Mapping[str, dict[str, str]], chosen: Mapping[str, RunState]
) -> dict[str, dict[str, str]]:
    """The settings, each variant with the keys of all.

    A key that a variant's command did not set has the value of its run. Where the run has none, the
    setting does not apply to the variant, and is any other's: it will be left out again.
    """
    values: dict[str, str] = {}  # of each key, in some variant
    for one in settings.values():
        for key, value in one.items():
            values.setdefault(key, value)
    found = {}
    for label, one in settings.items():
        lacking = [key for key in values if key not in one]
        config = _config(chosen[label]) if lacking else {}
        found[label] = one | {k: text(config[k]) if k in config else values[k] for k in lacking}
    return found


def _config(run: RunState) -> dict[str, Any]:
    """The run's configuration with dotted keys. Raises UserError where it cannot be read."""
    file = run.path / "config.yaml"
    found = read_values(file)
    if not isinstance(found, dict):
        raise UserError(f"{file} is not readable, and holds settings that are to be confirmed")
    return flat(found)


def _split(settings: Mapping[str, Mapping[str, str]]) -> tuple[dict[str, str], list[str]]:
    """What all variants have in common, and the keys in which they differ."""
    every = list(settings.values())
    keys = list(every[0])
    differing = [key for key in keys if len({one[key] for one in every}) > 1]
    return {key: every[0][key] for key in keys if key not in differing}, differing


def _sweep(keys: Sequence[str], settings: Mapping[str, Mapping[str, str]]) -> str:
    """A sweep of the variants with their settings, as a file of `conf/sweep`."""
    keys = sorted(keys, key=lambda key: key != "cell")  # the cell first
    rows = [[one[key] for key in keys] for one in settings.values()]
    values: Any = rows if len(keys) > 1 else [row[0] for row in rows]
    content = {"hydra": {"sweeper": {"compare": {",".join(keys): values}}}}
    head = "# @package _global_\n# The best settings of each variant of a search.\n"
    return head + OmegaConf.to_yaml(OmegaConf.create(content))


def _parser() -> argparse.ArgumentParser:
    parser = Parser("confirm", __doc__.partition(": ")[2])
    add = parser.add_argument
    add("study", type=typed_path, help="the folder of a search, outputs/<study>")
    add("words", nargs="*", metavar="key=value", help="further settings, hydra.launcher.n_jobs=2")
    add("--seeds", type=int, default=10, help="of each configuration, none of the search's: 10")
    add("--runner-up", action="store_true", help="also the second best of each variant")
    add("--trust", action="store_true", help="run cells and the like that are not Odyssey's")
    return parser
