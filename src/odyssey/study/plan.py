"""The plan of a study: its trials, each with the words that make it and the run that it is."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig

from odyssey.code_hash import source_hash
from odyssey.config.identity import data_hash, data_options, run_name, unchanging
from odyssey.config.keys import GROUPS, subject
from odyssey.config.schema import NEUTRAL_KEYS, PLACE_KEYS, flat
from odyssey.errors import UserError
from odyssey.registry import cell_name, plain
from odyssey.study.analysis_plan import choose_baseline
from odyssey.study.conditional import Applied, Composed, compose_where_it_applies, key_of
from odyssey.study.data_check import data_key
from odyssey.study.display import StudyBar
from odyssey.study.sampling import uniforms
from odyssey.study.spec import LIMIT, Settings, read_settings
from odyssey.study.store import StudyRecord, TrialRow

CONTENT = "task.content"  # in study.json: the hash of the data, where no name determines it
STARTUP = 10  # trials of a variant that an adaptive search draws at random, to have a beginning
FURTHER = 8  # trials of a variant that are looked at where a setting does not apply to its first
MOST_MISTAKES = 20  # that are said at once: what is wrong with one variant is so with most

PATIENCE = 3.0  # seconds without a word while the trials are checked

Item = TypeVar("Item")
_handed_over: list[Plan] = []  # at most one; the sweeper is called by Hydra, which has its words


@dataclass(frozen=True)
class Trial:
    """One trial: the same number has the same draws on any machine, in any order."""

    number: int
    variant: str  # the compared values, as in `cell=gru bptt.length=25`
    words: tuple[str, ...]  # `python train.py` with them is this trial alone
    run: str  # the name of its run folder
    data: str = ""  # trials of the same text read the same data; see data_check

    def row(self, command: int | None = None) -> TrialRow:
        """As a row of trials.csv, by that command of study.json."""
        return TrialRow(self.number, self.run, self.variant, shlex.join(self.words), command)


@dataclass
class Plan:
    """A study that is checked and may start."""

    settings: Settings
    study: str
    folder: Path
    variants: tuple[tuple[str, ...], ...]
    fixed: dict[str, Any]  # flat key -> value: what all its runs have in common
    resume: Mapping[str, Any]
    logger_mode: str
    progress_bar: bool
    threads: int | None  # of the CPU, for each run
    data: dict[str, str] = field(default_factory=dict)  # options of the user's files -> their hash
    sources: dict[str, str] = field(default_factory=dict)  # the user's cells -> their source's hash
    trials: list[Trial] = field(default_factory=list)  # of an adaptive search, those so far
    startup: list[Trial] = field(default_factory=list)  # the first ones of an adaptive search
    analysis: Mapping[str, Any] = field(default_factory=dict)  # plan.…; null is not said
    baseline: str = ""  # by analysis_plan.choose_baseline
    notes: Sequence[str] = ()  # on settings that do not apply to all variants
    partly: frozenset[str] = frozenset()  # fixed words that do not apply to all variants
    active: Mapping[tuple[str, ...], frozenset[str]] = field(default_factory=dict)
    """Variant -> keys of which a value is drawn for it."""
    command: int | None = None  # which of study.json's it is, once the study has begun
    exit_code: int = 0  # how it ended, for the command that started it

    @property
    def adaptive(self) -> bool:
        """Whether trials follow from the results of earlier ones; see `odyssey.study.adaptive`."""
        return self.settings.sampler == "tpe"

    def record(self) -> StudyRecord:
        """As study.json has it, less what is known only when the study begins."""
        s = self.settings
        compare: dict[str, list[Any]] = {
            k: [w[0].partition("=")[2] if "," not in k else list(w) for w in values]
            for k, values in s.compared.items()
        }
        return StudyRecord(
            study=self.study,
            sweeper=s.sweeper,
            compare=compare,
            space={p.name: p.describe() for p in s.searched},
            variants=len(self.variants),
            trials=s.trials,
            sampler=s.sampler,
            draws=s.draws,
            seed=s.seed,
            fixed=self.fixed,
        )

    def trial(self, number: int, variant: Sequence[str], words: Sequence[str]) -> Trial:
        """The trial of a variant with these searched values.

        Raises UserError if it cannot be run.
        """
        found = compose_where_it_applies([*self.settings.fixed, *variant, *words])
        if found.cfg is None:
            raise found.error or UserError()
        _same_folder([self.folder, _folder(found.cfg)])
        whole = tuple(of_the_run(found.words))
        run = run_name(found.cfg)
        return Trial(number, " ".join(variant), whole, run, self.data_key(found.cfg))

    def data_key(self, cfg: DictConfig) -> str:
        """What a trial has in common with those that read the same data."""
        searched = [p for p in self.settings.searched if p.distribution != "choice"]
        return data_key(cfg, [key for p in searched for key in p.keys])

    def words(self, variant: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
        """All words of a run to which all of them apply."""
        return tuple(of_the_run([*self.settings.fixed, *variant, *words]))


def prepare(words: Sequence[str]) -> Plan | None:
    """The plan that these words of `train.py -m` make; the same words give the same object.

    None where they choose a sweeper that is not ours.

    Raises UserError with one sentence for each mistake in the settings or in any trial.
    """
    bare = [re.sub(r"^\+*(?=cell\.options)", "", w) for w in words]
    kept = [w for w in bare if w != "hydra.mode=MULTIRUN"]  # Hydra's own, for -m
    # Hydra hands its own words on apart from the others.
    return _prepare(tuple(sorted(kept, key=lambda w: not w.lstrip("+").startswith("hydra"))))


def hand_over(plan: Plan) -> None:
    """Let the next `handed_over` give this plan, whatever words have made it."""
    _handed_over.append(plan)


def handed_over() -> Plan | None:
    """The plan that was handed over, once; None where there is none."""
    return _handed_over.pop() if _handed_over else None


def forget() -> None:
    """Let the next `prepare` look at the user's files anew, as another process would."""
    _prepare.cache_clear()
    _handed_over.clear()


@lru_cache(maxsize=1)
@unchanging()
def _prepare(words: tuple[str, ...]) -> Plan | None:
    settings, wrong = read_settings(words)
    if settings is None and not wrong:
        return None
    if settings is None or settings.size() > LIMIT:
        raise UserError(*wrong)
    mistakes = dict(zip(wrong, wrong, strict=True))
    # One trial of each variant says what is wrong with all the others, but for their drawn values.
    number = settings.only[0] if settings.only else 0
    made, active, applied = _variants(settings, number, mistakes)
    variants = tuple(made)
    firsts = [cfg for one in made.values() if (cfg := one.cfg) is not None]
    first = firsts[0]
    _same_folder([_folder(cfg) for cfg in firsts])
    analysis = plain(first)["plan"]
    plan = Plan(
        settings,
        first.study,
        _folder(first),
        variants,
        _in_common(settings, firsts),
        plain(first)["resume"],
        first.logger.mode,
        first.trainer.progress_bar,
        first.trainer.threads,
        {data_options(cfg): str(data_hash(cfg)) for cfg in firsts if cfg.task.get("path")},
        _sources(firsts),
        analysis=analysis,
        baseline=_baseline(analysis["baseline"], variants, firsts),
        notes=tuple(applied.notes()),
        partly=applied.partly,
        active=active,
    )
    runs = dict(zip(variants, map(run_name, firsts), strict=True))
    _check_contents(runs)
    known = {}
    for (variant, one), cfg in zip(made.items(), firsts, strict=True):
        typed = tuple(of_the_run(one.words))
        known[variant] = Trial(number, " ".join(variant), typed, run_name(cfg), plan.data_key(cfg))
    trials = list(_trials(plan, number, known))
    if plan.adaptive:
        plan.startup = trials
    else:
        plan.trials = trials
    return plan


def _variants(
    settings: Settings, number: int, mistakes: dict[str, str]
) -> tuple[dict[tuple[str, ...], Composed], dict[tuple[str, ...], frozenset[str]], Applied]:
    """Variants with their trials of that number, their searched keys, and what applies to which.

    The words of a variant are those that apply to it, so that variants may become one.
    mistakes: those of the settings, to which those of the variants are added.
    Raises UserError where there are any.
    """
    combinations = [
        tuple(itertools.chain(*values)) for values in itertools.product(*settings.compared.values())
    ]
    applied = Applied(key for p in settings.searched for key in p.keys)
    found: dict[tuple[str, ...], Composed] = {}
    active: dict[tuple[str, ...], frozenset[str]] = {}
    several: list[tuple[str, ...]] = []  # variants of which some words do not apply
    enough = combinations[:MOST_MISTAKES] if mistakes else combinations
    for variant in _counted(enough, "settings"):
        one = _composed(settings, variant, number)
        never = _never(settings, variant, number, one, applied)
        every = [*one.words, *one.left_out]
        applied.add((w for w in every if applied.setting(w) not in never), never)
        if one.error is not None:
            _remember(mistakes, one.error, settings)
            if len(mistakes) >= MOST_MISTAKES:
                break
            continue
        own = tuple(word for word in variant if word not in never)
        active[own] = frozenset(k for p in settings.searched for k in p.keys if k not in never)
        if own != variant:
            several.append(own)
            if own not in found:
                found[own] = _composed(settings, own, number)
        else:
            found[own] = one
    for message in applied.nowhere():
        mistakes.setdefault(message, message)
    if mistakes:
        raise UserError(*mistakes.values())
    # Where a value is what a run has without it, it names the variant.
    names = {own: run_name(one.cfg) for own, one in found.items() if one.cfg is not None}
    whole = {names[own]: own for own in found if own not in several}
    for own in dict.fromkeys(several):
        if whole.setdefault(names[own], own) != own:
            del found[own]
    return found, active, applied


def _composed(settings: Settings, variant: Sequence[str], number: int) -> Composed:
    """A trial of a variant."""
    drawn = draw(settings, variant, number)
    return compose_where_it_applies([*settings.fixed, *variant, *drawn])


def _never(
    settings: Settings,
    variant: Sequence[str],
    number: int,
    one: Composed,
    applied: Applied,
) -> dict[str, str]:
    """What does not apply to a variant, whatever is drawn: setting -> the sentence that says so.

    one: its trial of that number; further ones are made where something does not apply to it.
    """
    never = {applied.setting(word): message for word, message in one.left_out.items()}
    if settings.searched:
        for further in range(number + 1, number + 1 + FURTHER):
            if not never:
                break
            other = _composed(settings, variant, further).left_out
            there = {applied.setting(word) for word in other}
            never = {setting: why for setting, why in never.items() if setting in there}
    return never


def _folder(cfg: DictConfig) -> Path:
    return Path(cfg.output_dir) / cfg.study


def _sources(firsts: Sequence[DictConfig]) -> dict[str, str]:
    targets = {cfg.cell._target_: source_hash(cfg.cell._target_) for cfg in firsts}
    return {cell_name(t): source for t, source in targets.items() if source is not None}


def _baseline(
    asked: str | None, variants: Sequence[Sequence[str]], firsts: Sequence[DictConfig]
) -> str:
    settings = [
        {key: value for key, _, value in (word.lstrip("+").partition("=") for word in variant)}
        for variant in variants
    ]
    return choose_baseline(asked, settings, [cell_name(cfg.cell._target_) for cfg in firsts])


def _check_contents(runs: Mapping[tuple[str, ...], str]) -> None:
    """Raises UserError where variants are one run, since their files have the same content.

    runs: variant -> a run of it
    """
    seen: dict[str, tuple[str, ...]] = {}
    for variant, run in runs.items():
        first = seen.setdefault(run, variant)
        if list(map(key_of, first)) != list(map(key_of, variant)):
            continue
        differing = [(a, b) for a, b in zip(first, variant, strict=True) if a != b]
        if differing and all(a.partition("=")[0] in PLACE_KEYS for a, _ in differing):
            a, b = differing[0]
            raise UserError(
                f"{a} and {b} have the same content, so that they would be one run: type one of "
                "them"
            )


def _same_folder(folders: Sequence[Path]) -> None:
    """Raises UserError where ${…} gives trials different folders, as in study=${seed}."""
    if any(folder != folders[0] for folder in folders):
        raise UserError(
            f"study=… and output_dir=… name {folders[0]} for some runs and other folders for "
            "others: type one study=… for all, without ${…}"
        )


def draw(settings: Settings, variant: Sequence[str], number: int) -> list[str]:
    """The words of trial `number` of a variant: a function of these and the study's seed alone."""
    if not settings.searched:
        return []
    whose = " ".join(sorted(variant)) if settings.draws == "independent" else ""
    sampler = "random" if settings.sampler == "tpe" else str(settings.sampler)
    names = [",".join(p.keys) for p in settings.searched]
    values = uniforms(sampler, settings.seed or 0, whose, number, names)
    return [w for p, u in zip(settings.searched, values, strict=True) for w in p.words(u)]


def _trials(
    plan: Plan,
    first: int,
    known: Mapping[tuple[str, ...], Trial],
) -> Iterator[Trial]:
    """Number by number, so that a study that is cut short has as many of each variant.

    known: variant -> its trial number `first`.
    """
    settings = plan.settings
    numbers = settings.only if settings.only is not None else range(settings.trials or 1)
    if plan.adaptive:  # the others are not known yet
        numbers = numbers[:STARTUP]
    mistakes: dict[str, str] = {}
    for number, variant in _counted([(n, a) for n in numbers for a in plan.variants], "trials"):
        try:
            if number == first:
                yield known[variant]
            else:
                yield plan.trial(number, variant, draw(settings, variant, number))
        except UserError as error:
            _remember(mistakes, error, settings)
    if mistakes:
        raise UserError(*mistakes.values())


def _counted(items: Sequence[Item], what: str) -> Iterator[Item]:
    """The items, with a bar on a terminal where they take more than a moment to check."""
    bar = StudyBar(
        items, f"checking {len(items):,} {what}", delay=PATIENCE, leave=False, disable=None
    )
    with bar:
        yield from bar


def _remember(mistakes: dict[str, str], error: UserError, settings: Settings) -> None:
    """Add what is wrong with a trial; of a drawn value once, since each trial has another."""
    searched = {key for p in settings.searched for key in p.keys}
    for message in error.messages:
        key = subject(message)
        mistakes.setdefault(key if key in searched else message, message)


def of_the_run(words: Sequence[str]) -> list[str]:
    """The words less those that speak of the session or of the study."""
    return [w for w in words if not w.startswith(("resume=", "resume.", "plan."))]


def _in_common(settings: Settings, firsts: Sequence[DictConfig]) -> dict[str, Any]:
    """The settings that are the same in every variant and neither compared nor searched."""
    flats = [flat(plain(cfg)) for cfg in firsts]
    for cfg, settings_of_run in zip(firsts, flats, strict=True):
        if (digest := data_hash(cfg)) is not None:
            settings_of_run[CONTENT] = digest
    axes = {key for entry in settings.compared for key in entry.split(",")} | {
        key for p in settings.searched for key in p.keys
    }
    found = {
        key: value
        for key, value in flats[0].items()
        if not is_under(key, [*axes, *NEUTRAL_KEYS])
        and all(key in f and f[key] == value for f in flats[1:])
    }
    return found | _typed(settings, flats, axes)


def _typed(
    settings: Settings, flats: Sequence[Mapping[str, Any]], axes: Collection[str]
) -> dict[str, Any]:
    """What is typed for all runs and set in those to which it applies, as `cell.forget_bias`."""
    kept: dict[str, Any] = {}
    words = {word.lstrip("+") for word in settings.fixed}
    for s in settings.typed:
        if f"{s.key}={s.text}" not in words or s.key in (*axes, *GROUPS, *PLACE_KEYS):
            continue
        values = [f[s.key] for f in flats if f.get(s.key) == s.value]
        if values and not is_under(s.key, NEUTRAL_KEYS):
            kept[s.key] = values[0]
    return kept


def is_under(key: str, axes: Sequence[str]) -> bool:
    """Whether a key is one of `axes`, or in a section or group that is."""
    return any(key == a or key.startswith(f"{a}.") for a in axes)
