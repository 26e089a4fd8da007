"""What the words of `train.py -m …` say: sweeper, launcher, compared, searched, fixed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Sweep

from odyssey.config import keys
from odyssey.config.fields import as_typed, at_least, between, one_of
from odyssey.config.overrides import Setting, choice_errors, parse_overrides
from odyssey.config.schema import NEUTRAL_KEYS
from odyssey.errors import UserError, options
from odyssey.study import pool
from odyssey.study.draws import SAMPLERS
from odyssey.study.hydras import hydras_part, refused, resolved, sweep_file
from odyssey.study.overrides import listed
from odyssey.study.space import Parameter, from_override, parse_compared, parse_space

OURS = ("grid", "search")
DRAWS = ("shared", "independent")
OF_DRAWS = ("trials", "sampler", "draws", "seed", "only", "batch")
RANGE = "'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
TRIALS = 20  # of each arm, where a sweep does not say
LIMIT = 100_000  # trials of a study: more is a slip of the finger


@dataclass
class Settings:
    """A study as it was typed, with everything about it checked but its configurations."""

    sweeper: str
    launcher: Mapping[str, Any]
    compared: dict[str, list[tuple[str, ...]]]  # key or "key,key" -> the words of each value
    searched: list[Parameter] = field(default_factory=list)
    fixed: list[str] = field(default_factory=list)  # words that every run has
    trials: int | None = None
    sampler: str | None = None
    draws: str | None = None
    seed: int | None = None
    only: list[int] | None = None
    batch: int | None = None  # trials of an arm that an adaptive search proposes at a time

    def size(self) -> int:
        """How many trials that is."""
        return math.prod(map(len, self.compared.values())) * (self.trials or 1)


def read_settings(words: Sequence[str]) -> tuple[Settings | None, list[str]]:
    """The settings, and the mistakes found; None where another sweeper is to make the runs."""
    settings, wrong = parse_overrides(words, sweep=True)
    wrong = list(wrong)
    hydras = [s for s in settings if s.is_of_hydra]
    chosen = next((s for s in settings if s.key == "sweep"), None)
    if chosen is not None and isinstance(chosen.value, Sweep):
        wrong.append(f"{chosen.typed} is several studies: type one of them, in a command each")
        chosen = None
    elif chosen is not None and (mistake := _bad_sweep(chosen)):
        wrong.append(mistake)
        chosen = None
    elif chosen is not None and chosen.value is None:
        chosen = None
    mistakes = refused(hydras) + (sweep_file(chosen.value) if chosen else [])
    if mistakes:
        return None, wrong + mistakes
    words_of_hydra = [s.typed for s in hydras] + ([chosen.typed] if chosen else [])
    cfg, mistakes = hydras_part(words_of_hydra)
    if cfg is None:
        return None, wrong + mistakes
    sweeper = str(cfg.runtime.choices["hydra/sweeper"])
    own = [s for s in settings if not s.is_of_hydra and s.key != "sweep"]
    if sweeper not in OURS:
        return None, wrong
    launcher, raw, mistakes = resolved(cfg, words_of_hydra)
    if mistakes:
        return None, wrong + mistakes
    if cfg.runtime.choices["hydra/launcher"] == "local_pool":
        wrong += pool.mistakes(launcher)
    for s in own:
        if isinstance(s.value, Sweep) and _is_neutral(s.key):
            wrong.append(
                f"{s.typed} changes no result, so that its values would be one run: type one of "
                "them"
            )
    if raw["space"]:  # of a sweep=…
        sweeper = "search"
    found = Settings(sweeper, launcher, {})
    try:
        found.compared = parse_compared(raw["compare"])
    except UserError as error:
        wrong += error.messages
    if sweeper == "search":
        wrong += _search(found, raw)
    else:
        wrong += [
            f"{s.typed} is without effect, since nothing is drawn: type hydra/sweeper=search and "
            f"a range, as in {RANGE}"
            for s in hydras
            if s.key.removeprefix("hydra.sweeper.") in OF_DRAWS
        ]
    wrong += _take(found, own)
    if sweeper == "search" and not found.searched and not wrong:
        who = chosen.typed if chosen else "hydra/sweeper=search"
        wrong.append(f"{who} has nothing to search: type a key with its range, as in {RANGE}")
    return found, wrong


def _bad_sweep(chosen: Setting) -> str | None:
    mistakes = choice_errors(chosen)
    return mistakes[0] if mistakes else None


def _is_neutral(key: str) -> bool:
    return any(key == u or key.startswith(f"{u}.") for u in NEUTRAL_KEYS)


def _search(found: Settings, raw: Mapping[str, Any]) -> list[str]:
    """The part of a search: space, number of trials, seed, which trials."""
    wrong: list[str] = []
    try:
        found.searched = parse_space(raw["space"])
    except UserError as error:
        wrong += error.messages
    found.trials, found.seed = raw["trials"], raw["seed"]
    if found.trials is None:
        found.trials = TRIALS
    found.sampler, found.draws, found.batch = raw["sampler"], raw["draws"], raw["batch"]
    name = "hydra.sweeper."
    wrong += between(f"{name}trials", found.trials, 1, LIMIT)
    wrong += at_least(f"{name}seed", found.seed, 0)
    wrong += one_of(f"{name}sampler", found.sampler, SAMPLERS)
    wrong += one_of(f"{name}draws", found.draws, DRAWS)
    wrong += _only(found, raw["only"])
    if found.sampler == "tpe" and found.only is not None:
        wrong.append(
            f"{name}only is not possible with {name}sampler=tpe, whose trials follow from those "
            "before: leave it out"
        )
    if found.batch is not None:
        wrong += between(f"{name}batch", found.batch, 1, LIMIT)
        if found.sampler in ("random", "sobol"):
            wrong.append(
                f"{name}batch={found.batch} is without effect, since {name}sampler="
                f"{found.sampler} draws all trials at once: leave it out"
            )
    if found.sampler == "tpe" and find_spec("optuna") is None:
        wrong.append(
            f"{name}sampler=tpe needs Optuna, which is not here: type pip install -e '.[optuna]'"
        )
    return wrong


def _only(found: Settings, given: Any) -> list[str]:
    """Which trials: a number, or a list of numbers."""
    name = "hydra.sweeper.only"
    if given is None:
        return []
    numbers = given if isinstance(given, list) else [given]
    other = [n for n in numbers if type(n) is not int]
    if other or not numbers:
        what = as_typed(other[0]) if other else "[]"
        return [f"{name}={what} is no trial: type a number, as in {name}=17, or several, [3,17]"]
    found.only = sorted(set(numbers))
    return [m for n in numbers for m in between(name, n, 0, LIMIT)][:1]


def _take(found: Settings, own: Sequence[Setting]) -> list[str]:
    """Sort the words of the command line into compared, searched and fixed; they go before YAML.

    A key of the YAML that is given one value is fixed; a compared one is then an arm of its own,
    so that its trials are those that it has beside others.
    """
    wrong: list[str] = []
    of_ones_own = any(s.key.startswith("cell.") for s in own)
    for s in own:
        key, word = s.key, s.typed.lstrip("+")
        pairs = [k for k in _entries(found) if "," in k and key in k.split(",")]
        if pairs:
            wrong.append(
                f"{word} is not possible with hydra.sweeper's {pairs[0]}, which sets {key} too: "
                "leave it out, or take another sweep"
            )
            continue
        # The cell always is: trials then are the same beside other cells and alone.
        was_compared = key in found.compared or (key == "cell" and not of_ones_own)
        parameter = None
        try:
            parameter = from_override(key, s.value) if isinstance(s.value, Sweep) else None
        except UserError as error:
            wrong += error.messages
            continue
        if found.sweeper == "grid" and parameter is not None:
            instead = f"type its values, as in {key}=a,b, or hydra/sweeper=search to draw them"
            wrong.append(f"{word} is not countable: {instead}")
            continue
        found.compared.pop(key, None)
        found.searched = [p for p in found.searched if p.keys != (key,)]
        if parameter is not None:
            found.searched.append(parameter)
        elif isinstance(s.value, (Sweep, Glob)):
            try:
                values = _values(s)
            except UserError as error:
                wrong += error.messages
                continue
            if not values:
                names = options(keys.choices(key)) if key in keys.GROUPS else ""
                instead = f"type some of {names}" if names else f"type some, as in {key}=a,b"
                wrong.append(f"{word} has no values: {instead}")
            found.compared[key] = [(f"{key}={text}",) for text in values]
        elif was_compared:
            found.compared[key] = [(word,)]
        else:
            found.fixed.append(word)
    if found.size() > LIMIT:
        wrong.append(f"{found.size():,} runs are too many for a study: type fewer values or trials")
    return wrong


def _entries(found: Settings) -> list[str]:
    return [*found.compared, *(",".join(p.keys) for p in found.searched)]


def _values(setting: Setting) -> list[str]:
    """The values as they are typed, each once. Raises UserError for a range without end."""
    if isinstance(setting.value, Glob):
        return setting.value.filter(keys.choices(setting.key))
    listed(setting.key, setting.value, LIMIT)  # a range that has no end is said to have none
    override = OverridesParser.create().parse_overrides([setting.typed])[0]
    return list(dict.fromkeys(override.sweep_string_iterator()))
