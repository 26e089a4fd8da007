"""`hydra.sweeper.dry_run=true`: the trials that a command would run, as a table; nothing starts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from odyssey.study.formatting import differing, several, short, words
from odyssey.study.plan import Plan, Trial
from odyssey.study.state import RunState, StudyState
from odyssey.study.store import TrialRow
from odyssey.training.record import DONE

SHOWN = 20  # trials, on a terminal, where not all are asked for
WIDEST = 20  # characters of a value


def dry_run(plan: Plan, state: StudyState, width: int, limit: int | None) -> str:
    """How many runs the plan has and what each would be, in `width` columns.

    state: what is in the study's folder already. limit: trials shown at most; None for all.
    """
    trials = plan.trials or plan.startup
    shown = trials[:limit]
    lines = [*textwrap.wrap(_counted(plan, trials, state), width, break_on_hyphens=False), ""]
    for note in plan.notes:
        lines += [*textwrap.wrap(f"note: {note}", width, break_on_hyphens=False), ""]
    lines += _table(plan, shown, state, width)
    if more := len(trials) - len(shown):
        lines.append(f"… and {more:,} more (hydra.sweeper.dry_run=all shows them)")
    if to_come := _size(plan) - len(trials):
        lines.append(f"… and {several(to_come, 'trial')} that will follow from the results")
    lines += ["", "Nothing was started or written, since hydra.sweeper.dry_run is set."]
    return "\n".join(lines)


def _size(plan: Plan) -> int:
    """Trials, those of an adaptive search that are to come too."""
    if not plan.adaptive:
        return len(plan.trials)
    return (plan.settings.trials or 0) * len(plan.variants)


def _counted(plan: Plan, trials: Sequence[Trial], state: StudyState) -> str:
    """`8 trials of 4 variants in outputs/rates: 2 finished, 6 to do`."""
    runs = dict.fromkeys(trial.run for trial in trials)
    what = several(_size(plan), "trial" if plan.settings.sweeper == "search" else "run")
    if plan.settings.sweeper == "search" and len(plan.variants) > 1:
        what += f" of {len(plan.variants):,} variants"
    if not plan.adaptive and len(runs) < len(trials):
        what += f", {several(len(runs), 'different run')}"
    there = [state.runs[name].state for name in runs if name in state.runs]
    said = [f"{there.count(s):,} {s}" for s in dict.fromkeys(there) if s != "missing"]
    passed_over = sum(s in (*DONE, "failed", "damaged", "running") for s in there)
    if plan.resume.get("mode") == "force":
        passed_over = 0
    to_do = len(runs) - passed_over + _size(plan) - len(trials)
    return f"{what} in {plan.folder}: {', '.join([*said, f'{to_do:,} to do'])}"


def _table(plan: Plan, trials: Sequence[Trial], state: StudyState, width: int) -> list[str]:
    """A row for each trial: number, settings, run and its state; in two lines where it is wide."""
    given = [_settings(plan, trial) for trial in trials]
    keys = list(dict.fromkeys(key for one in given for key in one))
    last = [key.rpartition(".")[2] for key in keys]
    heads = last if len(set(last)) == len(last) else keys
    search = plan.settings.sweeper == "search"
    head = ["trial"] * search + [*heads, "run", ""]
    rows = [
        [str(trial.number)] * search
        + [one.get(key, "-") for key in keys]
        + [trial.run, _state(state.runs.get(trial.run))]
        for trial, one in zip(trials, given, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    if max(map(len, lines)) <= width:
        return lines
    names = differing([_numbered(trial, place) for place, trial in enumerate(trials)])
    found = []
    for place, trial in enumerate(trials):
        number = f"trial {trial.number}, " * search
        found.append(f"{number}{trial.run} {_state(state.runs.get(trial.run))}".rstrip())
        found += textwrap.wrap(
            names[str(place)],
            width,
            initial_indent="    ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
    return found


def _numbered(trial: Trial, place: int) -> TrialRow:
    """Its row, under its place: several trials may be one run."""
    row = trial.row()
    return TrialRow(row.trial, str(place), row.variant, row.overrides)


def _settings(plan: Plan, trial: Trial) -> dict[str, str]:
    """What is compared and searched, with this trial's values."""
    axes = [key for entry in plan.settings.compared for key in entry.split(",")]
    axes += [key for parameter in plan.settings.searched for key in parameter.keys]
    found = {}
    for word in (*words(trial.variant), *trial.words):
        key = word.partition("=")[0]
        if key in axes and key not in found:
            value = short(word)[len(key) + 1 :]
            found[key] = value if len(value) <= WIDEST else f"{value[: WIDEST - 1]}…"
    return {key: found[key] for key in axes if key in found}


def _state(run: RunState | None) -> str:
    return "" if run is None or run.state == "missing" else run.state
