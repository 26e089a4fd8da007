"""What `python train.py …` does: check everything, then train one run or many."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version

from omegaconf import DictConfig

from odyssey.config import keys
from odyssey.config.compose import compose, hydra_mistakes
from odyssey.config.help import help_text
from odyssey.config.words import read
from odyssey.errors import UserError
from odyssey.paths import see_current_folder

HELP = ("-h", "--help")
MULTIRUN = ("-m", "--multirun")
# Flags with a question about the configuration, which Hydra answers, and what may follow them.
QUESTIONS = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    "--resolve": (),
    "--hydra-help": (),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, also for a run that diverged; 1 failed; 2 wrong input; 130 Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if any(a in HELP for a in arguments):
        _show(help_text())
        return 0
    if "--version" in arguments:
        print(f"rnn-odyssey {version('rnn-odyssey')}")
        return 0
    see_current_folder()
    try:
        flags, overrides, wrong = _sort(arguments)
        sweep = any(f in MULTIRUN for f in flags)
        cfg = None
        try:
            if sweep:
                _check_sweep(overrides)
            else:
                cfg = compose(overrides)
        except UserError as error:
            wrong += error.messages
        if wrong:
            raise UserError(*wrong)
        if cfg is None or any(f not in MULTIRUN for f in flags):
            return _through_hydra([*flags, *overrides])
        _train(cfg, overrides)
        return 0
    except UserError as error:
        _print_mistakes(error)
        return 2
    except KeyboardInterrupt:
        return 130


def _sort(arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """The flags with their words, the overrides, and what is wrong with the flags."""
    flags: list[str] = []
    overrides: list[str] = []
    wrong: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            overrides.append(word)
        elif word in MULTIRUN:
            flags.append(word)
        elif name in QUESTIONS:
            may_follow = QUESTIONS[name]
            if may_follow and not equals:
                value = left.pop(0) if left and "=" not in left[0] else ""
            if may_follow and value not in may_follow:
                wrong.append(
                    f"{name} {value} is not a question: type {name} {' or '.join(may_follow)}"
                )
            flags += [name, value] if may_follow else [name]
        else:
            key = name.lstrip("-")
            if not equals and left and "=" not in left[0] and not left[0].startswith("-"):
                value = left.pop(0)
            setting = keys.instead_of(key, value)
            type_this = (
                f"type {setting}" if setting else "type key=value, -m for a sweep, or --help"
            )
            wrong.append(f"{word} is not an option: {type_this}")
    return flags, overrides, wrong


def _show(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_mistakes(error: UserError) -> None:
    for message in error.messages:
        print(f"error: {message}", file=sys.stderr)


def _train(cfg: DictConfig, overrides: Sequence[str]) -> float:
    # Training imports torch, which a wrong option need not wait for.
    from odyssey.training.train import train

    return train(cfg, overrides).objective


def _check_sweep(overrides: Sequence[str]) -> None:
    """Check every combination before the first one starts; Hydra's own settings are passed over.

    Raises UserError with each mistake once.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import IntervalSweep

    settings, wrong = read(overrides, sweep=True)
    mistakes = dict.fromkeys(wrong + hydra_mistakes([s.word for s in settings if s.hydras]))
    # Another sweeper makes its own combinations, of which each is checked when its turn comes.
    if not any(s.key == "hydra/sweeper" for s in settings):
        for s in list(settings):
            if isinstance(s.value, IntervalSweep):
                mistakes[f"{s.word} is not countable: type the values, as in {s.key}=1,2"] = None
                settings.remove(s)
        words = [s.word for s in settings if not s.hydras]
        parsed = OverridesParser.create().parse_overrides(words)
        for batch in BasicSweeper.split_arguments(parsed, None):
            for job in batch:
                try:
                    compose(job)
                except UserError as error:
                    mistakes |= dict.fromkeys(error.messages)
    if mistakes:
        raise UserError(*mistakes)


def _through_hydra(arguments: Sequence[str]) -> int:
    """Hydra's own entry, for sweeps and for questions about the configuration."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    from odyssey.config.resolve import finish
    from odyssey.config.schema import register
    from odyssey.config.validate import mistakes

    register()
    failed: list[str] = []

    def job(cfg: DictConfig) -> float:
        overrides = list(HydraConfig.get().overrides.task)
        try:
            cfg = finish(cfg)
            found = mistakes(cfg)
            if found:
                raise UserError(*found)
            return _train(cfg, overrides)
        except UserError as error:
            _print_mistakes(error)
        except Exception:
            traceback.print_exc()
        # The other runs of the sweep go on; this one is in its run.json, and counted here.
        failed.append(" ".join(overrides))
        return float("nan")

    # Options of a user's own cell are not in the schema, so Hydra wants to be told to add them.
    words = [re.sub(r"^\+*(?=cell\.options[.=])", "++", a) for a in arguments]
    before, sys.argv = sys.argv, [sys.argv[0], *words]
    GlobalHydra.instance().clear()
    try:
        hydra.main(version_base="1.3", config_path=str(keys.CONF), config_name="config")(job)()
    finally:
        sys.argv = before
    if failed:
        print(f"{len(failed)} of the runs failed:", file=sys.stderr)
        for overrides in failed:
            print(f"  python train.py {overrides}", file=sys.stderr)
    return 1 if failed else 0
