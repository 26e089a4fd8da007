"""An adaptive search: trials that follow from the results of those before.

Its memory is the study's folder: trials.csv says which values a trial had, the run folders what
came of them. Nothing else is kept, so that a search goes on from there as if it had never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from odyssey.errors import UserError
from odyssey.study.formatting import words as words_of
from odyssey.study.launchers import local
from odyssey.study.plan import STARTUP, Plan, Trial, draw
from odyssey.study.sampling import Past, place, propose
from odyssey.study.search_space import Parameter
from odyssey.study.state import RunState, StudyState, read_study
from odyssey.study.store import locked, write_trials
from odyssey.training.record import DONE

TRIES = 20  # proposals for a trial, where the first ones cannot be run
WORKERS = 8  # trials at a time, where the launcher does not say how many it runs


def grow(plan: Plan, before: StudyState) -> list[Trial]:
    """Give the plan its next trials, and return them; none when all are there.

    What another process has added comes first: it may have to be run before anything can be
    learnt from it. Only then the next batch of every variant is proposed.
    before: an earlier look at the study.
    Raises UserError where no proposal for a trial can be run.
    """
    with locked(plan.folder):
        state = read_study(plan.folder, before=before)
        new = recorded(plan, state)
        if not new and (new := _next(plan, state)):
            write_trials(plan.folder, [*state.trials, *(t.row(plan.command) for t in new)])
    plan.trials += new
    return new


def recorded(plan: Plan, state: StudyState) -> list[Trial]:
    """The trials that are in trials.csv and not in the plan yet, number by number.

    What is fixed is as in this command; a row that is then another run is none of this plan's.
    Raises UserError where one that is still to be run cannot be.
    """
    labels = {_unordered(" ".join(variant)): variant for variant in plan.variants}
    known = {(t.number, t.variant) for t in plan.trials}
    found = []
    for row in sorted(state.trials, key=lambda row: row.trial or 0):
        number, variant = row.trial, labels.get(_unordered(row.variant))
        if number is None or number >= _count(plan) or variant is None:
            continue
        label = " ".join(variant)
        if (number, label) in known:
            continue
        words = _by_key(words_of(row.overrides))
        keys = [key for p in plan.settings.searched for key in p.keys]
        drawn = [words[key] for key in keys if key in words]
        if len(_places(plan, drawn)) < len({p.name for p in _active(plan, drawn)}):
            continue
        run = state.runs[row.run]
        whole = len(drawn) == len(keys)
        if run.state in DONE and whole:  # thousands of them are not composed again
            trial = Trial(number, label, plan.words(variant, drawn), run.name)
        else:
            trial = plan.trial(number, variant, drawn)
        if trial.run == run.name:
            known.add((number, label))
            found.append(trial)
    return found


def batch(plan: Plan) -> int:
    """How many trials of a variant are proposed at a time, none of which knows the others' results.

    As many as give every worker one; 8 workers where the launcher does not say how many it has.
    """
    if plan.settings.batch is not None:
        return plan.settings.batch
    launcher = plan.settings.launcher
    target = str(launcher["_target_"])
    if target.endswith(".LocalPoolLauncher"):
        workers = local.at_a_time(launcher, plan.threads)
    else:
        workers = 1 if target.endswith(".BasicLauncher") else WORKERS
    return math.ceil(workers / len(plan.variants))


def _next(plan: Plan, state: StudyState) -> list[Trial]:
    """The next batch of every variant; of each number all variants."""
    size = batch(plan)
    found = []
    for variant in plan.variants:
        label = " ".join(variant)
        mine = {t.number: t for t in plan.trials if t.variant == label}
        left = [number for number in range(_count(plan)) if number not in mine]
        # Batches are the same numbers in every session, however many trials each is asked for.
        for number in (n for n in left if n // size == left[0] // size):
            past = _past(plan, mine, number // size * size, state)
            mine[number] = _propose(plan, variant, number, past)
            found.append(mine[number])
    return sorted(found, key=lambda trial: trial.number)


def _propose(plan: Plan, variant: Sequence[str], number: int, past: Sequence[Past]) -> Trial:
    """Trial `number` of a variant. Raises UserError where no proposal can be run."""
    settings = plan.settings
    told = sum(score is not None for _, score in past)
    wrong: UserError | None = None
    for attempt in range(TRIES):
        if attempt == 0 and min(number, told) < STARTUP:
            words = draw(settings, variant, number)
        else:
            seed = (settings.seed, _unordered(" ".join(variant)), number, attempt)
            searched = [p for p in settings.searched if plan.active[tuple(variant)] & {*p.keys}]
            words = propose(searched, past, *seed)
        try:
            return plan.trial(number, variant, words)
        except UserError as error:  # two settings that do not go together
            wrong = error
    assert wrong is not None
    raise wrong


def _past(plan: Plan, trials: Mapping[int, Trial], before: int, state: StudyState) -> list[Past]:
    """What is known of a variant's trials, by number; of those from number `before` on, no results.

    So a batch has the same trials whether it is proposed at once or, after a stop, in parts.
    """
    found: list[Past] = []
    for number, trial in sorted(trials.items()):
        run = state.runs.get(trial.run)
        if number >= before or run is None:
            found.append((_places(plan, trial.words), None))
        elif run.state not in ("failed", "damaged"):
            found.append((_places(plan, trial.words), _score(run)))
    return found


def _score(run: RunState) -> float | None:
    """Smaller is better, infinity where it diverged; None where it is not done."""
    if run.state not in DONE:
        return None
    value = -run.value if run.mode == "max" else run.value
    return value if run.state == "finished" and math.isfinite(value) else math.inf


def _places(plan: Plan, words: Sequence[str]) -> dict[str, float]:
    """Where these overrides are in the space; parameters that they do not set are left out."""
    by_key = _by_key(words)
    found = {}
    for parameter in plan.settings.searched:
        at = place(parameter, [by_key.get(key, "") for key in parameter.keys])
        if at is not None:
            found[parameter.name] = at
    return found


def _active(plan: Plan, words: Sequence[str]) -> list[Parameter]:
    """The parameters of which these overrides set a key."""
    there = _by_key(words)
    return [p for p in plan.settings.searched if any(key in there for key in p.keys)]


def _by_key(words: Sequence[str]) -> dict[str, str]:
    return {word.partition("=")[0]: word for word in words}


def _unordered(label: str) -> str:
    """A variant's label, the same in whatever order its settings were typed."""
    return " ".join(sorted(label.split(" ")))


def _count(plan: Plan) -> int:
    """Trials of a variant."""
    assert plan.settings.trials is not None
    return plan.settings.trials
