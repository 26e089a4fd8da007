"""What the words of `train.py -m …` say: sweeper, launcher, compared, searched, fixed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Sweep
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from odyssey.config import keys
from odyssey.config.compose import FILE_ERRORS, file_error
from odyssey.config.fields import as_typed, at_least, between, one_of
from odyssey.config.overrides import Setting, choice_errors, parse_overrides
from odyssey.config.schema import NEUTRAL_KEYS, register
from odyssey.errors import UserError, did_you_mean, options
from odyssey.study.launchers import local
from odyssey.study.overrides import listed
from odyssey.study.sampling import SAMPLERS
from odyssey.study.search_space import Parameter, from_override, parse_compared, parse_space

# Launchers that come with an extra: name -> extra.
EXTRAS = {
    "ray": "ray",
    "ray_aws": "ray",
    "ray_cluster": "ray",
    "slurm": "slurm",
    "slurm_local": "slurm",
    "submitit_slurm": "slurm",
    "submitit_local": "slurm",
}

REFUSALS = (*FILE_ERRORS, ValueError, TypeError)  # Hydra's own for a word that it cannot use
# Where Hydra would put things: a study's runs know by themselves.
PLACES = ("hydra.sweep.", "hydra.run.", "hydra.output_subdir", "hydra.job.chdir")


def hydras_part(words: Sequence[str]) -> tuple[Any, list[str]]:
    """Hydra's own part of the configuration, or what is wrong with the words for it."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(keys.CONF), version_base="1.3"):
        try:
            cfg = hydra_compose("config", list(words), return_hydra_config=True).hydra
        except REFUSALS:
            # Which of them it was; a choice before the options that it has.
            words = sorted(words, key=lambda w: "/" not in w.partition("=")[0])
            for n in range(1, len(words) + 1):
                try:
                    hydra_compose("config", list(words[:n]), return_hydra_config=True)
                except REFUSALS as error:
                    return None, [_mistake(words[n - 1], words[:n], error)]
            raise
        # A '+' adds any key, which ours would not read.
        added = [word for word in words if word.startswith("+") and _is_ours(word, cfg)]
        unknown = [_mistake(word, words) for word in added if not _is_field(word, words)]
        return (None, unknown) if unknown else (cfg, [])


def refused(settings: Sequence[Setting]) -> list[str]:
    """A sentence for each word that would make a study what it cannot be."""
    wrong = []
    for s in settings:
        if s.key in ("hydra.sweeper", "hydra.launcher"):
            wrong.append(
                f"{s.typed} is not allowed for a section: type {s.key.replace('.', '/')}=…"
            )
        elif s.key in ("hydra.sweeper._target_", "hydra.launcher._target_"):
            group = s.key.split(".")[1]
            wrong.append(f"{s.typed} is not allowed: type hydra/{group}= and its name")
        elif s.key.startswith(PLACES):
            wrong.append(
                f"{s.typed} is not allowed, since a study is in output_dir/study: type "
                "output_dir=… or study=…"
            )
        elif s.key == "hydra.mode":
            wrong.append(f"{s.typed} is not possible with -m: leave one of them out")
    return wrong


def resolved(cfg: Any, words: Sequence[str]) -> tuple[Any, Any, list[str]]:
    """The launcher's and the sweeper's settings with each ${…} in its place; what leads nowhere."""
    try:
        launcher, sweeper = (
            OmegaConf.to_container(part, resolve=True) for part in (cfg.launcher, cfg.sweeper)
        )
        return launcher, sweeper, []
    except OmegaConfBaseException as error:
        key = error.full_key or "hydra"
        word = next((w for w in words if w.lstrip("+").startswith(f"{key}=")), key)
        return None, None, [f"{word} is without a value, since ${{…}} leads to none: type a value"]


def sweep_file(name: str) -> list[str]:
    """What a file of conf/sweep/ sets that no run would have: all but what it is for."""
    path = keys.CONF / "sweep" / f"{name}.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):  # which Hydra says better
        return []
    if not isinstance(found, dict) or not found:
        return [
            f"sweep={name} is empty: write a study into conf/sweep/{name}.yaml, as in greff.yaml"
        ]
    hydras = found.get("hydra")
    inner = hydras if isinstance(hydras, dict) else {}
    others = [str(k) for k in found if k != "hydra"]
    others += [f"hydra.{k}" for k in inner if k not in ("sweeper", "launcher")]
    return [
        f"sweep={name} is not usable: conf/sweep/{name}.yaml sets {key}, which its runs would not "
        "have; move that to conf/experiment/ or the command line, and leave hydra.sweeper alone"
        for key in others
    ]


def _is_ours(word: str, cfg: Any) -> bool:
    """Whether it is for one of our own sweepers or launchers."""
    part = word.lstrip("+").split(".")[1:2]
    choice = cfg.runtime.choices.get(f"hydra/{part[0]}") if part else None
    return choice in ("grid", "search", "local_pool")


def _is_field(word: str, words: Sequence[str]) -> bool:
    key = word.lstrip("+").partition("=")[0]
    names = _siblings(key, words)
    return key in names or key.startswith(tuple(f"{n}." for n in names))


def _mistake(word: str, words: Sequence[str], error: BaseException | None = None) -> str:
    """The sentence for a word that Hydra, or the sweep's file, refuses."""
    key, _, text = word.lstrip("+").partition("=")
    if key == "sweep" and error is not None:
        return file_error("sweep", text, error)
    if key in ("hydra/sweeper", "hydra/launcher"):
        extra = EXTRAS.get(text)
        if extra is not None and key == "hydra/launcher":
            return f"{word} needs a package that is not here: type pip install -e '.[{extra}]'"
        names = _names(key)
        return f"{word} is not there{did_you_mean(text, names)}: type one of {options(names)}"
    if key.startswith(("hydra.sweeper.space", "hydra.sweeper.compare")):
        return (
            f"{word} is for a file conf/sweep/NAME.yaml: on the command line type a key with its "
            "values, as in cell=gru,lstm or 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
        )
    for section in ("hydra.sweeper.", "hydra.launcher."):
        if key.startswith(section):
            if not _is_field(word, words):
                names = _siblings(key, words)
                near = did_you_mean(key, names)
                return f"{word} is not an option{near}: type one of {options(names)}"
            return f"{word} is not of its type: type a value such as {_example(key)}"
    return f"{word} is not a setting that Hydra has: leave it out"


def _names(group: str) -> list[str]:
    loader = GlobalHydra.instance().config_loader()
    return [n for n in loader.get_group_options(group) if not n.startswith("_")]


def _siblings(key: str, before: Sequence[str]) -> list[str]:
    """The options beside a key; of the search's sweeper, since that has the most."""
    launchers = [w for w in before if w.startswith("hydra/launcher=")]
    cfg = hydra_compose("config", ["hydra/sweeper=search", *launchers], return_hydra_config=True)
    section = key.rpartition(".")[0]
    while not OmegaConf.is_config(node := OmegaConf.select(cfg, section)):
        section = section.rpartition(".")[0]
    return [f"{section}.{k}" for k in node if k != "_target_"]


def _example(key: str) -> str:
    cfg = hydra_compose("config", ["hydra/sweeper=search"], return_hydra_config=True)
    value = OmegaConf.select(cfg, key)
    return f"{key}={value}" if value is not None and not OmegaConf.is_config(value) else f"{key}=1"


OURS = ("grid", "search")
DRAWS = ("shared", "independent")
OF_DRAWS = ("trials", "sampler", "draws", "seed", "only", "batch")
RANGE = "'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
TRIALS = 20  # of each variant, where a sweep does not say
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
    batch: int | None = None  # trials of a variant that an adaptive search proposes at a time

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
        wrong += local.check_settings(launcher)
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
            f"{s.typed} is without effect, since nothing is drawn: type hydra/sweeper=search and a "
            f"range, as in {RANGE}"
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

    A key of the YAML that is given one value is fixed; a compared one is then a variant of its own,
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
