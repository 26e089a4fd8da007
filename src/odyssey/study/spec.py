"""What the words of `train.py -m …` say: sweeper, launcher, compared, searched, fixed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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

from odyssey.config import keys, sources
from odyssey.config.compose import FILE_ERRORS, file_error
from odyssey.config.fields import as_typed, at_least, between, one_of
from odyssey.config.overrides import Setting, choice_errors, parse_overrides
from odyssey.config.schema import NEUTRAL_KEYS, register
from odyssey.errors import UserError, did_you_mean, options
from odyssey.io import read_text
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


def hydras_part(words: Sequence[str]) -> Any:
    """Hydra's own part of the configuration. Raises UserError for words that it has no use for."""
    register()
    GlobalHydra.instance().clear()
    primary = sources.current().primary
    of_sources = (f"{sources.CONFIG_NAME}=", f"{sources.SEARCH_PATH}=")
    words = [word for word in words if not word.startswith(of_sources)]
    with initialize_config_dir(str(sources.CONF), version_base="1.3"):
        try:
            cfg = hydra_compose(primary, list(words), return_hydra_config=True).hydra
        except REFUSALS:
            # Which of them it was; a choice before the options that it has.
            words = sorted(words, key=lambda w: "/" not in w.partition("=")[0])
            for n in range(1, len(words) + 1):
                try:
                    hydra_compose(primary, list(words[:n]), return_hydra_config=True)
                except REFUSALS as error:
                    raise UserError(_mistake(words[n - 1], words[:n], error)) from None
            raise
        # A '+' adds any key, which ours would not read.
        added = [word for word in words if word.startswith("+") and _is_ours(word, cfg)]
        unknown = [_mistake(word, words) for word in added if not _is_field(word, words)]
    if unknown:
        raise UserError(*unknown)
    return cfg


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


def resolved(cfg: Any, words: Sequence[str]) -> tuple[Any, Any]:
    """The launcher's and the sweeper's settings, with what each ${…} stands for.

    Raises UserError for one that stands for nothing.
    """
    try:
        launcher, sweeper = (
            OmegaConf.to_container(part, resolve=True) for part in (cfg.launcher, cfg.sweeper)
        )
        return launcher, sweeper
    except OmegaConfBaseException as error:
        key = error.full_key or "hydra"
        word = next((w for w in words if w.lstrip("+").startswith(f"{key}=")), key)
        raise UserError(
            f"{word} is without a value, since ${{…}} leads to none: type a value"
        ) from None


def sweep_file(name: str) -> list[str]:
    """What a file of conf/sweep/ sets that no run would have: all but what it is for."""
    path = sources.find("sweep", name)
    try:
        found = yaml.safe_load(read_text(path)[0])
    except (OSError, ValueError, yaml.YAMLError):  # which Hydra says better
        return []
    if not isinstance(found, dict) or not found:
        return [
            f"sweep={name} is empty: write a study into {sources.place(path)}, as in greff.yaml"
        ]
    hydras = found.get("hydra")
    inner = hydras if isinstance(hydras, dict) else {}
    others = [str(k) for k in found if k != "hydra"]
    others += [f"hydra.{k}" for k in inner if k not in ("sweeper", "launcher")]
    way_out = "move that to conf/experiment/ or the command line, and leave hydra.sweeper alone"
    return [
        f"sweep={name} is not usable: {sources.place(path)} sets {key}, which its runs would not "
        f"have; {'leave it out' if key.startswith('hydra.') else way_out}"
        for key in others
    ]


def preset_file(group: str, name: str) -> list[str]:
    """What a file of conf/experiment/ or conf/debug/ sets of Hydra, which no study would read."""
    path = sources.find(group, name)
    try:
        found = yaml.safe_load(read_text(path)[0])
    except (OSError, ValueError, yaml.YAMLError):  # which is said better when runs are composed
        return []
    if not isinstance(found, dict):
        return []
    defaults = found.get("defaults")
    entries = [e for e in defaults if isinstance(e, dict)] if isinstance(defaults, list) else []
    chosen = [str(key).removeprefix("override ").lstrip("/") for e in entries for key in e]
    keys = [key for key in chosen if key.startswith("hydra/")]
    hydras = found.get("hydra")
    keys += [f"hydra.{key}" for key in hydras] if isinstance(hydras, dict) else []
    return [
        f"{group}={name} is not usable with -m: {sources.place(path)} sets {key}, which is a "
        f"study's and not a run's; type it on the command line, as in hydra/launcher=slurm, or "
        "move it to a file of conf/sweep/"
        for key in keys
    ]


def _is_ours(word: str, cfg: Any) -> bool:
    """Whether it is for one of our own sweepers or launchers."""
    part = word.lstrip("+").split(".")[1:2]
    choice = cfg.runtime.choices.get(f"hydra/{part[0]}") if part else None
    return choice in ("grid", "search", *POOLS)


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
    if key.startswith("hydra.callbacks.") and not word.startswith("+"):
        return (
            f"{word} is a callback of Hydra's, of which there is none yet: type +{word}, or "
            f"callbacks.{key.removeprefix('hydra.callbacks.')}={text} for one of the runs'"
        )
    if key == "hydra.callbacks":
        return (
            f"{word} is not a callback of Hydra's: type +hydra.callbacks.NAME._target_= and its "
            "class, or callbacks.NAME._target_= for one of the runs'"
        )
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
POOLS = ("local_pool", "fused")
DRAWS = ("shared", "independent")
ON_FAILURE = ("continue", "stop")
# Launchers that can end a study at its first failed run.
STOPPABLE = (*POOLS, "basic", "ray_cluster", "slurm", "slurm_local")
RANGE = "'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
TRIALS = 20  # of each variant, where a sweep does not say
LIMIT = 100_000  # trials of a study: more is a slip of the finger


@dataclass
class Settings:
    """A study as it was typed: what is compared, what is searched, what every run has.

    `read_settings` parses the words into it; the rows of CHECKS then say what is wrong with it.
    """

    sweeper: str  # grid or search
    launcher: Mapping[str, Any]
    launcher_name: str = ""
    sweep: str | None = None  # the word sweep=NAME, where there is one
    typed: Sequence[Setting] = ()
    compared: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    """Key, or "key,key", to the words of each of its values."""
    searched: list[Parameter] = field(default_factory=list)
    fixed: list[str] = field(default_factory=list)  # words that every run has
    dry_run: Any = False  # print the trials alone: true, or all for every one of them
    on_failure: Any = "continue"  # or stop: what becomes of the study where a run fails
    # Of a search; None for a grid.
    trials: int | None = None
    sampler: str | None = None
    draws: str | None = None
    seed: int | None = None
    only: list[Any] | None = None  # numbers of trials, each once
    batch: int | None = None  # trials of a variant that an adaptive search proposes at a time

    def size(self) -> int:
        """How many trials that is."""
        return math.prod(map(len, self.compared.values())) * (self.trials or 1)


def read_settings(words: Sequence[str]) -> tuple[Settings | None, list[str]]:
    """The settings, and the mistakes found; None where another sweeper is to make the runs."""
    sources.use(words)
    typed, mistakes = parse_overrides(words, sweep=True)
    sweep, more = _chosen_sweep(typed)
    wrong = [*mistakes, *more]
    try:
        found, more = _parse(typed, sweep)
    except UserError as error:
        return None, [*wrong, *error.messages]
    if found is None:
        return None, wrong
    wrong += more
    wrong += [mistake for check in CHECKS for mistake in check(found)]
    # A range that could not be read is no search without a range.
    return found, wrong or _nothing_to_search(found)


def _chosen_sweep(typed: Sequence[Setting]) -> tuple[Setting | None, list[str]]:
    """The word sweep=NAME, or what is wrong with it."""
    chosen = next((s for s in typed if s.key == "sweep"), None)
    if chosen is None or chosen.value is None:
        return None, []
    if isinstance(chosen.value, Sweep):
        return None, [f"{chosen.typed} is several studies: type one of them, in a command each"]
    mistakes = choice_errors(chosen)[:1]
    return (None, mistakes) if mistakes else (chosen, [])


def _parse(typed: Sequence[Setting], sweep: Setting | None) -> tuple[Settings | None, list[str]]:
    """The words sorted into settings, and those that could not be read.

    None where another sweeper is to make the runs. Raises UserError where Hydra's own part of the
    configuration cannot be composed.
    """
    hydras = [s for s in typed if s.is_of_hydra]
    mistakes = refused(hydras) + (sweep_file(sweep.value) if sweep else [])
    for s in typed:
        if s.key in keys.PRESETS and isinstance(s.value, str) and s.value in sources.choices(s.key):
            mistakes += preset_file(s.key, s.value)
    if mistakes:
        raise UserError(*mistakes)
    words = [s.typed for s in hydras] + ([sweep.typed] if sweep else [])
    cfg = hydras_part(words)
    sweeper = str(cfg.runtime.choices["hydra/sweeper"])
    if sweeper not in OURS:
        return None, []
    launcher, given = resolved(cfg, words)
    found = Settings(
        "search" if given["space"] else sweeper,  # the space is that of a sweep=…
        launcher,
        str(cfg.runtime.choices["hydra/launcher"]),
        sweep.typed if sweep else None,
        typed,
        fixed=sources.current().words(),
    )
    wrong = _take_options(found, given)
    return found, wrong + _take_words(found)


def _take_options(found: Settings, given: Mapping[str, Any]) -> list[str]:
    """What hydra.sweeper says, from its file; returns what of it could not be read."""
    wrong: list[str] = []
    found.dry_run, found.on_failure = given["dry_run"], given["on_failure"]
    try:
        found.compared = parse_compared(given["compare"])
    except UserError as error:
        wrong += error.messages
    if found.sweeper == "grid":
        return wrong
    try:
        found.searched = parse_space(given["space"])
    except UserError as error:
        wrong += error.messages
    found.trials = TRIALS if given["trials"] is None else given["trials"]
    found.sampler, found.draws = given["sampler"], given["draws"]
    found.seed, found.batch = given["seed"], given["batch"]
    if given["only"] is not None:
        found.only = given["only"] if isinstance(given["only"], list) else [given["only"]]
        if all(type(n) is int for n in found.only):
            found.only = sorted(set(found.only))
    return wrong


def _take_words(found: Settings) -> list[str]:
    """Sort the words of the command line into compared, searched and fixed; they go before YAML.

    A key of the YAML that is given one value is fixed; a compared one is then a variant of its own,
    so that its trials are those that it has beside others. Returns what could not be read.
    """
    wrong: list[str] = []
    own = [s for s in found.typed if not s.is_of_hydra and s.key != "sweep"]
    of_ones_own = any(s.key.startswith("cell.") for s in own)
    for s in own:
        # The cell always is: trials then are the same beside other cells and alone.
        compared = s.key in found.compared or (s.key == "cell" and not of_ones_own)
        try:
            _take_word(found, s, compared)
        except UserError as error:
            wrong += error.messages
    return wrong


def _take_word(found: Settings, s: Setting, compared: bool) -> None:
    """Raises UserError for a word that cannot be taken."""
    key, word = s.key, s.typed.lstrip("+")
    entries = [*found.compared, *(",".join(p.keys) for p in found.searched)]
    pairs = [k for k in entries if "," in k and key in k.split(",")]
    if pairs:
        raise UserError(
            f"{word} is not possible with hydra.sweeper's {pairs[0]}, which sets {key} too: "
            "leave it out, or take another sweep"
        )
    parameter = from_override(key, s.value) if isinstance(s.value, Sweep) else None
    if found.sweeper == "grid" and parameter is not None:
        instead = f"type its values, as in {key}=a,b, or hydra/sweeper=search to draw them"
        raise UserError(f"{word} is not countable: {instead}")
    found.compared.pop(key, None)
    found.searched = [p for p in found.searched if p.keys != (key,)]
    if parameter is not None:
        found.searched.append(parameter)
    elif isinstance(s.value, (Sweep, Glob)):
        values = _values(s)
        found.compared[key] = [(f"{key}={text}",) for text in values]
        if not values:
            names = options(sources.choices(key)) if key in keys.GROUPS else ""
            instead = f"type some of {names}" if names else f"type some, as in {key}=a,b"
            raise UserError(f"{word} has no values: {instead}")
    elif compared:
        found.compared[key] = [(word,)]
    else:
        found.fixed.append(word)


def _values(setting: Setting) -> list[str]:
    """The values as they are typed, each once. Raises UserError for a range without end."""
    if isinstance(setting.value, Glob):
        return setting.value.filter(sources.choices(setting.key))
    listed(setting.key, setting.value, LIMIT)  # a range that has no end is said to have none
    override = OverridesParser.create().parse_overrides([setting.typed])[0]
    return list(dict.fromkeys(override.sweep_string_iterator()))


# What may be wrong with settings that could be read: a function each, which says so in sentences.


def _launcher(found: Settings) -> list[str]:
    return local.check_settings(found.launcher) if found.launcher_name in POOLS else []


def _several_without_effect(found: Settings) -> list[str]:
    """A key that changes no result, as trainer.device, with several values."""
    return [
        f"{s.typed} changes no result, so that its values would be one run: type one of them"
        for s in found.typed
        if isinstance(s.value, Sweep)
        and any(s.key == u or s.key.startswith(f"{u}.") for u in NEUTRAL_KEYS)
    ]


OF_DRAWS = ("trials", "sampler", "draws", "seed", "only", "batch")


def _draws_of_a_grid(found: Settings) -> list[str]:
    if found.sweeper == "search":
        return []
    return [
        f"{s.typed} is without effect, since nothing is drawn: type hydra/sweeper=search and a "
        f"range, as in {RANGE}"
        for s in found.typed
        if s.is_of_hydra and s.key.removeprefix("hydra.sweeper.") in OF_DRAWS
    ]


# Option of a search -> what says whether its value is one that it can have.
VALUES: dict[str, Callable[[str, Any], list[str]]] = {
    "trials": lambda name, value: between(name, value, 1, LIMIT),
    "seed": lambda name, value: at_least(name, value, 0),
    "sampler": lambda name, value: one_of(name, value, SAMPLERS),
    "draws": lambda name, value: one_of(name, value, DRAWS),
    "batch": lambda name, value: between(name, value, 1, LIMIT),
}


def _values_of_options(found: Settings) -> list[str]:
    return [
        mistake
        for option, check in VALUES.items()
        if (value := getattr(found, option)) is not None
        for mistake in check(f"hydra.sweeper.{option}", value)
    ]


def _only(found: Settings) -> list[str]:
    name, numbers = "hydra.sweeper.only", found.only
    if numbers is None:
        return []
    other = [n for n in numbers if type(n) is not int]
    if other or not numbers:
        what = as_typed(other[0]) if other else "[]"
        return [f"{name}={what} is no trial: type a number, as in {name}=17, or several, [3,17]"]
    if found.sampler == "tpe":
        return [
            f"{name} is not possible with hydra.sweeper.sampler=tpe, whose trials follow from "
            "those before: leave it out"
        ]
    return [m for n in numbers for m in between(name, n, 0, LIMIT)][:1]


def _batch(found: Settings) -> list[str]:
    if found.batch is None or found.sampler not in ("random", "sobol"):
        return []
    return [
        f"hydra.sweeper.batch={found.batch} is without effect, since hydra.sweeper.sampler="
        f"{found.sampler} draws all trials at once: leave it out"
    ]


def _optuna(found: Settings) -> list[str]:
    if found.sampler != "tpe" or find_spec("optuna") is not None:
        return []
    return [
        "hydra.sweeper.sampler=tpe needs Optuna, which is not here: type pip install -e '.[optuna]'"
    ]


def _of_both(found: Settings) -> list[str]:
    """Options that a grid has too."""
    wrong = []
    if type(found.dry_run) is not bool and found.dry_run != "all":
        wrong.append(
            f"hydra.sweeper.dry_run={as_typed(found.dry_run)} is unknown: type true for the first "
            "trials, or all"
        )
    wrong += one_of("hydra.sweeper.on_failure", found.on_failure, ON_FAILURE)
    if found.on_failure == "stop" and found.launcher_name not in STOPPABLE:
        wrong.append(
            f"hydra.sweeper.on_failure=stop is not possible with hydra/launcher="
            f"{found.launcher_name}: type one of hydra/launcher={options(STOPPABLE)}"
        )
    return wrong


def _size(found: Settings) -> list[str]:
    size = found.size()
    if size <= LIMIT:
        return []
    return [f"{size:,} runs are too many for a study: type fewer values or trials"]


CHECKS = (
    _launcher,
    _several_without_effect,
    _draws_of_a_grid,
    _values_of_options,
    _only,
    _batch,
    _optuna,
    _of_both,
    _size,
)


def _nothing_to_search(found: Settings) -> list[str]:
    if found.sweeper == "grid" or found.searched:
        return []
    who = found.sweep or "hydra/sweeper=search"
    return [f"{who} has nothing to search: type a key with its range, as in {RANGE}"]
