"""`study` and `compare`: the runs of a study as tables, the report's verdicts as objects."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from odyssey.api import run as runs_api
from odyssey.api import show
from odyssey.api.run import Run, in_outputs
from odyssey.bars import new_bar
from odyssey.errors import UserError, did_you_mean
from odyssey.study.formatting import number, several
from odyssey.study.state import RunState, StudyState, not_a_study, read_study
from odyssey.study.summary import sections

if TYPE_CHECKING:
    import pandas as pd

    from odyssey.report.analysis.result import Analysis, Summary
    from odyssey.report.io.runs import Collection

EXAMPLE = 'give the folder of a study, as in "outputs/first"'
COLUMNS = ("trial", "run", "variant", "state", "seed", "monitor", "valid", "test", "seconds")


def study(folder: str | Path) -> Study:
    """A study folder as an object; nothing is trained.

    Parameters
    ----------
    folder : path
        `outputs/first`, or `first` alone, which is looked for in `outputs`.

    Raises
    ------
    UserError
        Where it is no study's folder.

    Examples
    --------
    >>> import odyssey, tempfile
    >>> out = tempfile.mkdtemp()
    >>> words = "task=charlm task.data=hello trainer.max_steps=2 logger.mode=disabled study=first"
    >>> for cell in ("gru", "lstm"):  # as `python train.py -m cell=gru,lstm …` does
    ...     run = odyssey.train(f"{words} output_dir={out} cell={cell}")
    changed ...
    >>> first = odyssey.study(f"{out}/first")
    >>> first.counts
    {'finished': 2}
    >>> list(first.runs["cell"])
    ['gru', 'lstm']
    """
    path = in_outputs(folder, "a study", "outputs/first")
    if wrong := not_a_study(path, EXAMPLE):
        raise UserError(wrong)
    return Study(path)


def compare(
    studies: str | Path | Study | Sequence[str | Path | Study],
    *,
    baseline: str | None = None,
    margin: float | None = None,
    metric: str | None = None,
    share: float | None = None,
    alpha: float | None = None,
    seed: int = 0,
) -> Comparisons:
    """Compare the variants of one study or several, as `scripts/report.py` does.

    Parameters
    ----------
    studies : path, Study, or a sequence of them
        Study folders. Runs are pooled only where task, data, settings of the task and metric are
        the same.
    baseline : str, optional
        The variant that the others are compared with, as in `"lstm"`. By default that of the
        study's plan (`plan.baseline=…` of its command), else the LSTM with peepholes, else the
        LSTM, else the first variant. What is chosen here, after the data, makes verdicts
        exploratory; so it is with `margin`, `share` and `alpha`.
    margin : float, optional
        A difference that would not matter to you, in the metric's unit; by default the plan's.
        Without one no verdict is "same".
    metric : str, optional
        One metric alone, as in `"accuracy"`; by default each.
    share : float, optional
        Of a search's trials, the best share that is compared, chosen by validation; by default the
        plan's, else 0.1.
    alpha : float, optional
        Level of significance; by default the plan's, else 0.05.
    seed : int
        Of the bootstrap and the forests.

    Returns
    -------
    Comparisons
        One for each group of runs that may be compared and each metric, the largest group and its
        monitored metric first.

    Raises
    ------
    UserError
        For what is no study, a baseline or a metric that is not there, a number out of range.

    Examples
    --------
    >>> import odyssey, tempfile
    >>> out = tempfile.mkdtemp()
    >>> words = "task=charlm task.data=hello trainer.max_steps=2 logger.mode=disabled study=first"
    >>> for cell in ("gru", "lstm"):
    ...     run = odyssey.train(f"{words} output_dir={out} cell={cell}")
    changed ...
    >>> found = odyssey.compare(f"{out}/first", metric="bits_per_char")[0]
    >>> found.baseline, found.verdict("gru").word, found.verdict("gru").n
    ('lstm', 'cannot tell', 1)
    """
    given = [studies] if isinstance(studies, (str, Path, Study)) else studies
    folders = [s.folder if isinstance(s, Study) else study(s).folder for s in given]
    with _as_keywords():
        return _compare(folders, baseline, margin, metric, share, alpha, seed)


class Study:
    """A study on the disk: its trials, its runs, and how many are in which state.

    Made by :func:`study`. Everything is read anew when it is asked for, so a study that is still
    running can be watched.

    Attributes
    ----------
    folder : Path
        The folder of the study.
    name : str
        Its name.

    Examples
    --------
    >>> import odyssey, tempfile
    >>> words = "task=charlm task.data=hello trainer.max_steps=2 logger.mode=disabled study=first"
    >>> out = tempfile.mkdtemp()
    >>> run = odyssey.train(f"{words} output_dir={out} cell=gru")
    changed ...
    >>> first = odyssey.study(f"{out}/first")
    >>> first
    <Study first: 1 finished>
    >>> list(first.best().index) == [run.name]
    True
    >>> first.load(run.name).status
    'finished'
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.resolve().name
        self._state: StudyState | None = None

    @property
    def state(self) -> StudyState:
        """What the folder holds now: the plan, the trials and the state of each run."""
        self._state = read_study(self.folder, self._state)
        return self._state

    @property
    def counts(self) -> dict[str, int]:
        """How many runs are `finished`, `diverged`, `failed`, …, without states of no run."""
        return {state: n for state, n in self.state.counts().items() if n}

    @property
    def trials(self) -> pd.DataFrame:
        """A row for each trial of the plan, and for each run outside of it, in their order.

        Columns: `trial` (its number within its variant; nan outside the plan), `run`, `variant`,
        `state`, `seed`, `monitor` (the metric of the next two), `valid`, `test`, `seconds` in
        training, and `overrides`, with which `python train.py` is this trial alone.
        """
        import pandas as pd

        state, rows, planned = self.state, [], set()
        for trial in state.trials:
            planned.add(trial.run)
            if run := state.runs.get(trial.run):
                rows.append((trial.trial, run.name, trial.variant, *_numbers(run), trial.overrides))
        for run in state.runs.values():
            if run.name not in planned:
                rows.append((None, run.name, "", *_numbers(run), ""))
        frame = pd.DataFrame(rows, columns=[*COLUMNS, "overrides"])
        return frame.astype({"trial": "Int64", "seed": "Int64"})

    @property
    def runs(self) -> pd.DataFrame:
        """A row for each run: the table that the report writes as `runs.csv`, by the run's name.

        Among its columns are `state`, `cell`, `task`, `data`, `seed`, `params`, `valid/…` and
        `test/…`, `config.…` for each setting, `seconds`, `steps` and `command`, which repeats the
        run. What was read is kept in `report/` of the study, to be fast the next time.
        """
        import pandas as pd

        from odyssey.report.io.export import make_columns

        frame = pd.DataFrame(make_columns(self._collection()))
        return frame.set_index("run")

    def best(self, n: int = 1) -> pd.DataFrame:
        """The `n` best finished runs by validation, for each task, data set and metric.

        Columns: `task`, `data`, `monitor`, `valid`, `test`, `seconds`, `variant`; the index is
        the run's name, as `load` takes it.
        """
        import pandas as pd

        if n < 1:
            raise UserError(f"n={n} is out of range: give 1 or more")
        rows: dict[str, tuple[Any, ...]] = {}
        for section in sections(self.state):
            found = [(run, v.label) for v in section.variants for run in v.finished]
            found.sort(key=lambda pair: pair[0].value, reverse=section.mode == "max")
            for run, label in found[:n]:
                about = (section.task, section.data, section.monitor)
                rows[run.name] = (*about, run.value, run.test, run.seconds, label)
        columns = ["task", "data", "monitor", "valid", "test", "seconds", "variant"]
        frame = pd.DataFrame(list(rows.values()), columns=columns, index=list(rows))
        frame.index.name = "run"
        return frame

    def load(
        self,
        run: str,
        *,
        checkpoint: Literal["best", "last"] = "best",
        device: str = "auto",
        trust: bool = False,
    ) -> Run:
        """A run of the study by its name; options as of :func:`odyssey.load`.

        Raises UserError where there is none of that name, or it has not begun.
        """
        there = self.state.runs
        if run not in there:
            raise UserError(
                f"{run} is no run of {self.folder}{did_you_mean(run, there)}: give a name from "
                "the index of `runs`"
            )
        if there[run].state == "missing":
            raise UserError(f"{run} of {self.folder} has not begun: the study's command trains it")
        path = self.folder / run
        return runs_api.load(path, checkpoint=checkpoint, device=device, trust=trust)

    def compare(
        self,
        *,
        baseline: str | None = None,
        margin: float | None = None,
        metric: str | None = None,
        share: float = 0.1,
        alpha: float = 0.05,
        seed: int = 0,
    ) -> Comparisons:
        """Its variants compared; as :func:`odyssey.compare` of this study."""
        with _as_keywords():
            return _compare([self.folder], baseline, margin, metric, share, alpha, seed)

    def drop(self, *settings: str, delete: bool = False) -> list[str]:
        """Leave runs out of the study, as `scripts/study.py drop` does, without a question.

        Parameters
        ----------
        settings : str
            What the runs have, as in `"cell=rnn"`, `"seed=0,1"` (either): all of them have to
            match. Or names of runs.
        delete : bool
            Delete their folders; else they are in `dropped/` of the study's folder.

        Returns
        -------
        list of str
            The names of the runs that are no longer part of it.

        Raises
        ------
        UserError
            Where no run has the settings, all have, or the study is running.
        """
        from odyssey.study.drop import drop

        found = drop(self.folder, settings, delete=delete)
        return [run.name for run in found.runs] if found else []

    def rename(self, name: str) -> None:
        """Give the study another name, in its folder and its files.

        `study=NAME` then goes on with it. Runs that W&B has keep their ids, and the group that they
        were logged in. Raises UserError where the name is taken, or the study is running.
        """
        from odyssey.study.rename import rename

        self.folder = rename(self.folder, name).folder
        self.name, self._state = name, None

    def merge(self, *others: str | Path | Study, mixed: bool = False) -> None:
        """Move the runs of other studies into this one; a run that both have is there once.

        What is left of the others is then in `dropped/`. mixed: whether runs of other code or data
        may come too. Raises UserError where studies have other settings, or are running.
        """
        from odyssey.study.merge import merge

        folders = [o.folder if isinstance(o, Study) else study(o).folder for o in others]
        merge(self.folder, folders, mixed=mixed)
        self._state = None

    def _collection(self) -> Collection:
        from odyssey.report.io.collect import collect

        return collect([self.folder], curves=False)

    def __len__(self) -> int:
        """The number of runs, planned ones too."""
        return len(self.state.runs)

    def __repr__(self) -> str:
        said = ", ".join(f"{n} {state}" for state, n in self.counts.items())
        return f"<Study {self.name}: {said or 'no runs'}>"

    def _repr_html_(self) -> str:
        state = self.state
        parts = [show.pairs({s: n for s, n in state.counts().items() if n}, self.name)]
        for section in sections(state):
            rows = [
                (
                    variant.label,
                    f"{variant.counts['finished']}/{len(variant.runs)}",
                    variant.best.value if variant.best else None,
                    variant.best.test if variant.best else None,
                    variant.median,
                )
                for variant in section.variants
            ]
            head = ("variant", "runs", "best", "test", "median")
            parts.append(show.table(head, rows, section.title))
        return "".join(parts)


@dataclass(frozen=True)
class Estimate:
    """A number with its interval: 1 - alpha of such intervals hold the true value.

    Attributes
    ----------
    value, low, high : float
        In the metric's unit; nan where there are too few runs.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.low):
            return number(self.value)
        return f"{number(self.value)} ({number(self.low)} to {number(self.high)})"


@dataclass(frozen=True)
class Verdict:
    """A variant of a comparison, and what may be concluded of it against the baseline.

    Attributes
    ----------
    variant : str
        Its label: `gru`, or `gru bptt.length=25`.
    settings : mapping
        The compared settings: `{"cell": "gru", "bptt.length": "25"}`.
    word : str
        "better", "promising" (better in a search, and to be confirmed with fresh seeds of its best
        settings), "worse", "same" (within the margin), "no difference found", which is not "same",
        "cannot tell" of too few runs, or "baseline".
    sentence : str
        The verdict in full.
    n : int
        How many runs are compared.
    mean, median : Estimate
        Of these runs' values of the metric.
    difference : Estimate
        The mean minus the baseline's; nan of the baseline.
    p : float
        Of the test that decides, corrected over all variants (Holm); nan of the baseline.
    test : str
        What decided: "paired t", "welch", "ranks", "losses" or, for a search, "reselection".
    best : str or None
        The name of the finished run with the best validation value.
    counts : mapping
        Runs by state, compared or not.
    note : str
        What to know of the test; often empty.
    """

    variant: str
    settings: Mapping[str, str]
    word: str
    sentence: str
    n: int
    mean: Estimate
    median: Estimate
    difference: Estimate
    p: float
    test: str
    best: str | None
    counts: Mapping[str, int]
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """Runs of one task and data set compared by one metric.

    Attributes
    ----------
    title : str
        "charlm on kjv".
    metric, unit : str
        The metric's name and what a difference of two values is in.
    better : str
        Which values are better: "lower" or "higher".
    part : str
        The compared values: "test", or "valid" where not all runs have test values.
    design : str
        "search", "seeds" or "single": what the runs of a variant differ in.
    baseline : str
        The label of the variant that the others are compared with.
    margin, alpha : float
        As given; a margin of None is none.
    verdicts : tuple of Verdict
        Of each variant, the baseline too, in the order of the report's page: better ones
        first, worse ones last, among these by the mean.
    notes : tuple of str
        What to know of the comparison, as on the report's page.
    factors : tuple of str
        Where the variants are a grid of two or more factors, what each of them does and whether it
        depends on another, in sentences; empty without a grid.
    """

    title: str
    metric: str
    unit: str
    better: str
    part: str
    design: str
    baseline: str
    margin: float | None
    alpha: float
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    factors: tuple[str, ...] = ()

    def verdict(self, variant: str) -> Verdict:
        """The verdict of a variant by its label. Raises UserError where there is none."""
        labels = {v.variant: v for v in self.verdicts}
        if variant not in labels:
            raise UserError(
                f"variant={variant} is not among those compared{did_you_mean(variant, labels)}: "
                f"give one of {', '.join(labels)}"
            )
        return labels[variant]

    def to_frame(self) -> pd.DataFrame:
        """A row for each variant, in the order of `verdicts`, with the numbers of its verdict."""
        import pandas as pd

        rows = [
            {
                "variant": v.variant,
                "word": v.word,
                "n": v.n,
                "mean": v.mean.value,
                "mean_low": v.mean.low,
                "mean_high": v.mean.high,
                "median": v.median.value,
                "difference": v.difference.value,
                "difference_low": v.difference.low,
                "difference_high": v.difference.high,
                "p": v.p,
                "test": v.test,
                "best": v.best,
                "sentence": v.sentence,
            }
            for v in self.verdicts
        ]
        return pd.DataFrame(rows).set_index("variant")

    def __str__(self) -> str:
        lines = [self._title()]
        width = max((len(v.variant) for v in self.verdicts), default=0)
        lines += [f"  {v.variant:<{width}}  {v.sentence}" for v in self.verdicts]
        lines += [f"  factors: {said}" for said in self.factors]
        return "\n".join(lines)

    def __repr__(self) -> str:
        words = ", ".join(f"{v.variant} {v.word}" for v in self.verdicts[:8])
        more = ", …" if len(self.verdicts) > 8 else ""
        return f"<Comparison of {self.title} by {self.metric}: {words}{more}>"

    def _title(self) -> str:
        return f"{self.title}: {self.metric}, {self.part}, {self.better} is better"

    def _repr_html_(self) -> str:
        rows = [
            (v.variant, v.n, v.mean, v.difference if v.word != "baseline" else "", v.word, v.p)
            for v in self.verdicts
        ]
        head = ("variant", "n", "mean", f"minus {self.baseline}", "verdict", "p")
        return show.table(head, rows, self._title())


class Comparisons(tuple[Comparison, ...]):
    """Several comparisons, in a tuple that can be shown and turned into one frame."""

    def to_frame(self) -> pd.DataFrame:
        """The rows of all, with the columns `comparison` and `metric` before them."""
        import pandas as pd

        frames = []
        for one in self:
            frame = one.to_frame().reset_index()
            frame.insert(0, "metric", one.metric)
            frame.insert(0, "comparison", one.title)
            frames.append(frame)
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def __str__(self) -> str:
        return "\n\n".join(map(str, self))

    def _repr_html_(self) -> str:
        return "".join(one._repr_html_() for one in self) or "no run has a result yet"


# -- from the report's types -----------------------------------------------------------------------


def _compare(
    folders: Sequence[Path],
    baseline: str | None,
    margin: float | None,
    metric: str | None,
    share: float | None,
    alpha: float | None,
    seed: int,
) -> Comparisons:
    from odyssey.report.analysis.comparisons import make_comparisons
    from odyssey.report.analysis.options import Options
    from odyssey.report.io.collect import collect
    from odyssey.report.pipeline import analyse_all, count_steps

    chosen = Options.asked(baseline=baseline, margin=margin, share=share, alpha=alpha, seed=seed)
    collection = collect(folders, curves=False)
    groups = make_comparisons(collection, baseline=baseline)
    steps = count_steps(groups, metric)
    with new_bar(desc="statistics", total=steps, leave=False, disable=None) as bar:
        analysed = analyse_all(groups, chosen, metric, lambda text: bar.update())
    return Comparisons(_comparison(a) for _, analyses in analysed for a in analyses)


def _comparison(analysis: Analysis) -> Comparison:
    comparison = analysis.comparison
    return Comparison(
        title=comparison.title,
        metric=analysis.metric.name,
        unit=analysis.metric.unit,
        better=analysis.better,
        part=analysis.part,
        design=comparison.kind,
        baseline=comparison.baseline,
        margin=analysis.margin,
        alpha=analysis.alpha,
        verdicts=tuple(_verdict(summary, analysis) for summary in analysis.summaries),
        notes=(*comparison.notes, *comparison.apart, *analysis.notes),
        factors=_factors(analysis),
    )


def _factors(analysis: Analysis) -> tuple[str, ...]:
    from odyssey.report.analysis.factor_words import sentences

    if analysis.factors is None:
        return ()
    said = sentences(analysis.factors, analysis.metric.unit)
    return tuple(f"{what}: {sentence}" for what, sentence in said)


def _verdict(summary: Summary, analysis: Analysis) -> Verdict:
    label = summary.variant.label
    unknown = Estimate(math.nan, math.nan, math.nan)
    found = next((v for v in analysis.verdicts if v.variant == label), None)
    n = len(summary.chosen)
    said = f"the baseline, {several(n, 'run')}"
    return Verdict(
        variant=label,
        settings=dict(summary.variant.settings),
        word=found.conclusion if found else "baseline",
        sentence=found.sentence if found else said,
        n=n,
        mean=_estimate(summary.mean),
        median=_estimate(summary.median),
        difference=_estimate(found.decision.difference) if found else unknown,
        p=found.decision.holm_p if found else math.nan,
        test=found.decision.test if found else "",
        best=summary.best.run.name if summary.best else None,
        counts={state: count for state, count in summary.counts.items() if count},
        note=found.note if found else "",
    )


def _estimate(interval: Any) -> Estimate:
    return Estimate(float(interval.value), float(interval.low), float(interval.high))


def _numbers(run: RunState) -> tuple[Any, ...]:
    """The columns of `trials` from `state` to `seconds`."""
    seed = run.record.seed if run.record else None
    return run.state, seed, run.monitor or None, run.value, run.test, run.seconds


@contextmanager
def _as_keywords() -> Iterator[None]:
    """Let messages name the options as keywords of Python, not of the command."""
    try:
        yield
    except UserError as error:
        found = [re.sub(r"--(\w+) (?=\S)", r"\1=", message) for message in error.messages]
        raise UserError(*found) from None
