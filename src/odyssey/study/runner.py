"""Conducting a study: what is done is passed over, the rest is launched until nothing is left."""

from __future__ import annotations

import os
import shlex
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TextIO

from odyssey.cli_utils import is_installed, print_error, show, typed_as
from odyssey.code_hash import code_version
from odyssey.config.compose import compose
from odyssey.config.overrides import to_hydra
from odyssey.config.sources import CONFIG_NAME
from odyssey.errors import UserError
from odyssey.streams import lasting
from odyssey.study import adaptive, data_check
from odyssey.study.analysis_plan import updated
from odyssey.study.compatibility import check, replaced_runs
from odyssey.study.display import Display
from odyssey.study.formatting import several
from odyssey.study.launchers.job import Stopped, has_failed, returned
from odyssey.study.plan import Plan, Trial
from odyssey.study.session_lock import running
from odyssey.study.state import StudyState, read_study
from odyssey.study.store import Command, locked, write_study_record, write_trials
from odyssey.study.summary import closing_table, failures
from odyssey.study.trial import RUN
from odyssey.study.wandb import fill_agent_run
from odyssey.training.record import DONE, Code
from odyssey.training.run_dir import RunFolder

Launch = Callable[..., Any]  # Hydra's Launcher.launch
Load = Callable[[Sequence[Sequence[str]]], Sequence[Any]]  # JobReturns of data_check.load
WIDTH = 80  # of the lines on the plan
ROUNDS = 5  # times that a run may be launched in one session, by whatever it was cut short


def begin(plan: Plan) -> StudyState:
    """Write the plan into the study's folder, beside what is there; returns what is there now.

    Values, trials and data that are there stay. Raises UserError as `check` does: another process
    may have come first.
    """
    with locked(plan.folder):
        state = read_study(plan.folder)
        check(plan, state)
        record, old = plan.record(), state.record
        if old is not None:
            for key, values in old.compare.items():
                new = [v for v in record.compare.get(key, []) if v not in values]
                record.compare[key] = values + new
            labels = {" ".join(variant) for variant in plan.variants}
            labels |= {row.variant for row in state.trials}
            record.variants = max(len(labels), old.variants or 0)
            if record.trials is not None:
                record.trials = max(record.trials, old.trials or 0)
            record.commands, record.data = old.commands, old.data
            record.dropped = old.dropped
        now = _this_command()
        record.plan = updated(
            old.plan if old else None, plan.analysis, plan.baseline, now.time, _ended(state)
        )
        record.code = Code(**code_version())
        record.commands = [*record.commands, now]
        write_study_record(plan.folder, record)
        replaced = replaced_runs(plan, state)
        for run in replaced:  # aside, they are no longer counted as failed
            RunFolder(run.path).set_aside()
        names = {run.name for run in replaced}
        kept = [row for row in state.trials if row.run not in names]
        if old is None:  # a study.json written anew has not the commands of the rows that are there
            kept = [replace(row, command=None) for row in kept]
        plan.command = len(record.commands) - 1
        write_trials(plan.folder, [*kept, *(t.row(plan.command) for t in plan.trials)])
        return read_study(plan.folder, before=state)


def _analysis_plan(plan: Plan, state: StudyState) -> list[str]:
    """What to say of the plan of the analysis: where it is new, and where it was asked for."""
    record = state.record
    if record is None or record.plan is None:
        return []
    if len(record.commands) > 1 and all(value is None for value in plan.analysis.values()):
        return []
    now = record.commands[-1].time
    late = [change for change in record.plan.changes if change.time == now]
    if late:
        keys = ", ".join(f"plan.{change.key}" for change in late)
        note = f"{keys} changed with {several(late[0].results, 'result')} there: reports say so"
        return [f"plan: {record.plan.in_words()}", f"note: {note}"]
    return [f"plan: {record.plan.in_words()}"]


def _ended(state: StudyState) -> int:
    """How many runs have a result, or failed."""
    return sum(run.state in (*DONE, "failed") for run in state.runs.values())


def _this_command() -> Command:
    """Now, and what was typed; less its words where a library's caller has none."""
    program, *words = sys.argv or [""]
    if program.endswith(".py") and not is_installed():
        typed = shlex.join(["python", program, *words])
    else:
        typed = f"{typed_as('train')} {shlex.join(words)}".rstrip()
    return Command(time.strftime("%Y-%m-%dT%H:%M:%S%z"), typed)


class Session:
    """One process's work on a study; there may be others at the same time."""

    def __init__(self, plan: Plan, launch: Launch, load: Load | None = None) -> None:
        """launch: trains trials; load: loads their data alone, None where nothing can do so."""
        self.plan, self.launch, self.load = plan, launch, load
        self.launched: dict[str, int] = {}  # run -> times
        self.jobs = 0
        self.unrecorded: dict[str, str] = {}  # run -> error that its folder does not hold
        self.stopped = False  # at a failed run

    def conduct(self) -> int:
        """Run all that is to be run. Returns the exit status: 0, or 1 where some are not done.

        Runs that another process is still at are its own matter.
        """
        self._check_data()
        with locked(self.plan.folder):  # makes it
            pass
        with running(self.plan.folder):
            return self._conduct()

    def _conduct(self) -> int:
        plan = self.plan
        state = begin(plan)
        for note in plan.notes:
            show(textwrap.fill(f"note: {note}", WIDTH, break_on_hyphens=False))
        for line in _analysis_plan(plan, state):
            show(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False))
        if plan.adaptive:
            plan.trials.clear()  # of an earlier session in this process
            plan.trials += adaptive.recorded(plan, state)
        with _own_output() as stream:
            rows = [t.row() for t in plan.trials]
            bar = plan.progress_bar and stream.isatty()
            with Display(plan.folder, rows, state, stream, bar, **_to_come(plan)) as display:
                self._rounds(state, display)
        state = read_study(plan.folder, before=state)
        fill_agent_run(plan, state, self.launched)
        show(closing_table(state))
        told = failures(state)
        if told:
            show(told, sys.stderr)
        for name, why in self._unrecorded(state).items():
            print_error(f"{name} has stopped: {why}")
        if self.stopped:
            print_error(_stopped(plan, state))
        elif any(run.state in DONE for run in state.runs.values()):
            show(f"\nreport: {typed_as('report')} {shlex.quote(str(plan.folder))}")
        names = {t.run for t in plan.trials}
        ended = {n for n in names if n in state.runs and state.runs[n].state in (*DONE, "running")}
        return int(ended != names)

    def _check_data(self) -> None:
        """Load what the runs to do read, each once, where there are several runs to do.

        Raises UserError where some of it cannot be had: nothing is written then.
        """
        plan = self.plan
        here = self._todo(read_study(plan.folder), plan.startup if plan.adaptive else plan.trials)
        asked = {trial.data: trial for trial in here if trial.data}
        if len(here) < 2 or not asked or (self.load is None and not self._is_basic()):
            return
        found: dict[str, None] = {}
        for trial, one in zip(asked.values(), self._loaded(asked.values()), strict=True):
            errors = data_check.errors_in(one)
            reading = sum(other.data == trial.data for other in here)
            rest = ""
            if len(asked) > 1:
                need = f"need{'s' * (reading == 1)}"
                rest = f" ({several(reading, 'run')} of the study {need} it, as {trial.variant})"
            found |= dict.fromkeys(f"{error}{rest}" for error in errors)
        if found:
            raise UserError(*found)

    def _loaded(self, trials: Iterable[Trial]) -> Sequence[Any]:
        if self.load is not None:
            # Hydra would make the study's folder.
            return self.load([[*self._words(trial), "hydra.sweep.dir=."] for trial in trials])
        values = [data_check.load(compose(trial.words)) for trial in trials]
        return [returned((), value) for value in values]

    def _is_basic(self) -> bool:
        """Whether runs are trained in this process, by Hydra's own launcher."""
        return self.plan.settings.launcher_name == "basic"

    def _rounds(self, state: StudyState, display: Display) -> None:
        """Launch what is left, and again what another process left behind or a worker lost.

        An adaptive search then has further trials, until it has all.
        """
        while not self.stopped:
            if todo := self._todo(state, self.plan.trials):
                if self._one_by_one():
                    todo = todo[:1]
                for trial in todo:
                    self.launched[trial.run] = self.launched.get(trial.run, 0) + 1
                self._launch(todo)
            elif self._may_grow(state) and (new := adaptive.grow(self.plan, state)):
                display.add([t.row() for t in new])
            else:
                return
            state = read_study(self.plan.folder, before=state)

    def _may_grow(self, state: StudyState) -> bool:
        """Whether further trials may be proposed: not where the disk has no room for results."""
        return self.plan.adaptive and not self._unrecorded(state)

    def _launch(self, trials: Sequence[Trial]) -> None:
        """A launcher that gives up ends the session; what its trials have done is in their folders.

        Ours never do so for one of their trials; Hydra's own for Ray, Slurm and others do.
        """
        jobs = [self._words(trial) for trial in trials]
        ended: Any
        try:
            ended = self.launch(jobs, initial_job_idx=self.jobs)
        except Stopped as stopped:
            self.stopped = True
            ended = [stopped.returned.get(number) for number in range(len(jobs))]
        except UserError:
            raise
        except Exception as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip(" -")]
            why = f"{type(error).__name__}: {lines[-1] if lines else 'without a word'}"
            raise UserError(
                f"hydra/launcher has given up ({why}); "
                "the same command goes on with what is missing"
            ) from error
        self.jobs += len(jobs)
        for trial, one in zip(trials, ended or [], strict=False):
            value = getattr(one, "return_value", None)
            # Without a folder it is a process that was lost, and another may do better.
            if isinstance(value, dict) and value.get("status") == "failed" and value.get("folder"):
                self.unrecorded[trial.run] = str(value.get("error") or "no error is recorded")
            if self._one_by_one() and has_failed(one):
                self.stopped = True

    def _one_by_one(self) -> bool:
        """Whether to hand the launcher one trial at a time: Hydra's own does not stop early."""
        return self.plan.settings.on_failure == "stop" and self._is_basic()

    def _unrecorded(self, state: StudyState) -> dict[str, str]:
        """Runs that failed and could not write so, as on a full disk, with what they said."""
        kept = ("failed", *DONE)
        return {
            name: next((line for line in reversed(why.splitlines()) if line.strip()), why).strip()
            for name, why in self.unrecorded.items()
            if name not in state.runs or state.runs[name].state not in kept
        }

    def _todo(self, state: StudyState, trials: Sequence[Trial]) -> list[Trial]:
        """Those of the trials to launch: interrupted runs first, then the new ones; each once."""
        going_on: dict[str, Trial] = {}
        new: dict[str, Trial] = {}
        for trial in trials:
            times = self.launched.get(trial.run, 0)
            run = state.runs.get(trial.run)
            now = run.state if run is not None else "missing"
            if self.plan.resume.get("mode") == "force":
                wanted = times == 0
            elif trial.run in self.unrecorded:  # it would only fail again
                wanted = False
            elif now == "failed":
                wanted = times == 0 and bool(self.plan.resume.get("failed"))
            else:
                wanted = now in ("missing", "interrupted") and times < ROUNDS
            if wanted:
                (going_on if now == "interrupted" else new).setdefault(trial.run, trial)
        return [*going_on.values(), *new.values()]

    def _words(self, trial: Trial) -> list[str]:
        """As a launcher takes them."""
        # The primary file is that of the study, which Hydra knows.
        words = [w for w in trial.words if not w.startswith(f"{CONFIG_NAME}=")]
        if self.plan.resume.get("mode") == "force":
            words.append("resume=force")
        if self.plan.resume.get("mixed"):
            words.append("resume.mixed=true")
        words.append(f"{RUN}'{trial.run}'")
        return to_hydra(words)


def _stopped(plan: Plan, state: StudyState) -> str:
    """The sentence for a study that has stopped at a failed run."""
    runs = [state.runs[name].state for name in {t.run for t in plan.trials} if name in state.runs]
    named = {"interrupted": "interrupted", "missing": "not begun"}
    left = [f"{runs.count(s):,} {how}" for s, how in named.items() if s in runs]
    rest = f" ({' and '.join(left)})" if left else ""
    return (
        f"study={plan.study} has stopped at a failed run, as hydra.sweeper.on_failure=stop says"
        f"{rest}; the same command goes on with the others, and tries it again with "
        "resume.failed=true"
    )


def _to_come(plan: Plan) -> dict[str, Any]:
    """What a Display is told of trials that are not known yet."""
    if not plan.adaptive:
        return {}
    searched = [key for p in plan.settings.searched for key in p.keys]
    return {"count": (plan.settings.trials or 0) * len(plan.variants), "searched": searched}


@contextmanager
def _own_output() -> Iterator[TextIO]:
    """Standard output as it is now: runs in this process send theirs to a file meanwhile."""
    try:
        copy = os.dup(sys.stdout.fileno())
    except (OSError, ValueError):  # no file: somebody reads it in memory
        yield sys.stdout
        return
    with lasting(copy, sys.stdout, own=True) as stream:
        yield stream


def conduct(plan: Plan, launch: Launch, load: Load | None = None) -> Sequence[Any]:
    """What a sweeper does; the exit status is left in the plan."""
    try:
        plan.exit_code = Session(plan, launch, load).conduct()
    except UserError as error:  # Hydra would show where it was raised
        for message in error.messages:
            print_error(message)
        plan.exit_code = 2
    return []
