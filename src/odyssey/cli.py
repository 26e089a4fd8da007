"""The command `python train.py …`: everything is checked, then one run or many are trained."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from odyssey.cli_utils import open_closed, see_current_folder, show
from odyssey.config import keys
from odyssey.config.compose import compose
from odyssey.config.help import help_text
from odyssey.config.overrides import to_hydra
from odyssey.errors import UserError

if TYPE_CHECKING:
    from odyssey.study.plan import Plan

HELP = ("-h", "--help")
MULTIRUN = ("-m", "--multirun")
FULL_ERROR = "HYDRA_FULL_ERROR"  # Hydra's variable: raise an error instead of printing it
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
        show(help_text())
        return 0
    if "--version" in arguments:
        print(f"rnn-odyssey {version('rnn-odyssey')}")
        return 0
    open_closed()
    see_current_folder()
    try:
        flags, overrides, errors = _parse_arguments(arguments)
        many = [f for f in flags if f in MULTIRUN]
        asks = [f for f in flags if f in QUESTIONS]
        if many and asks:
            errors.append(f"{many[0]} is not possible with {asks[0]}: leave one of them out")
        try:
            if not many:
                cfg = compose(overrides)
            elif errors:
                _plan(overrides)
            else:
                return _study(overrides)
        except UserError as error:
            errors += error.messages
        if errors:
            raise UserError(*errors)
        if asks:
            _through_hydra([*flags, *overrides])
        else:
            _train(cfg, overrides)
        return 0
    except UserError as error:
        _print_errors(error)
        return 2
    except KeyboardInterrupt:
        return 130


def _parse_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """The flags with their values, the overrides, and the errors of the flags."""
    flags: list[str] = []
    overrides: list[str] = []
    errors: list[str] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        name, equals, value = argument.partition("=")
        if not argument.startswith("-"):
            overrides.append(argument)
        elif argument in MULTIRUN:
            flags.append(argument)
        elif name in QUESTIONS:
            may_follow = QUESTIONS[name]
            if may_follow and not equals:
                value = left.pop(0) if left and "=" not in left[0] else ""
            if may_follow and value not in may_follow:
                errors.append(
                    f"{name} {value} is not a question: type {name} {' or '.join(may_follow)}"
                )
            flags += [name, value] if may_follow else [name]
        else:
            key = name.lstrip("-")
            if not equals and left and "=" not in left[0] and not left[0].startswith("-"):
                value = left.pop(0)
            setting = keys.full_setting(key, value)
            type_this = (
                f"type {setting}" if setting else "type key=value, -m for a sweep, or --help"
            )
            errors.append(f"{argument} is not an option: {type_this}")
    return flags, overrides, errors


def _print_errors(error: UserError) -> None:
    for message in error.messages:
        print(f"error: {message}", file=sys.stderr)


def _train(cfg: DictConfig, overrides: Sequence[str]) -> None:
    # Training imports torch: an error in the options need not wait for it.
    from odyssey.study.store import search_of
    from odyssey.training.run_dir import run_path
    from odyssey.training.train import train

    train(cfg, overrides, study=search_of(run_path(cfg)))


def _plan(overrides: Sequence[str]) -> Plan | None:
    """The checked plan of a study; None where it is for another package's sweeper to make it."""
    from odyssey.study.plan import forget, prepare

    forget()
    return prepare(overrides)


def _study(overrides: Sequence[str]) -> int:
    """A study: its plan is checked, then Hydra's sweeper and launcher run it."""
    from odyssey.study.launchers import local

    if not any(o.startswith("hydra/launcher=") for o in overrides):
        local.warm()  # its imports take as long as the checks
    plan = _plan(overrides)
    if plan is not None:
        _check(plan)
    _through_hydra(["-m", *overrides])
    return plan.exit_code if plan is not None else 0


def _check(plan: Plan) -> None:
    """Raise UserError where the folder of the study or W&B do not allow the plan."""
    from odyssey.study.compatibility import check
    from odyssey.study.state import read_study
    from odyssey.study.wandb import check_agent
    from odyssey.training.wandb import check_login

    check_agent(plan)
    check(plan, read_study(plan.folder))
    if plan.logger_mode == "online":
        check_login()


def _through_hydra(arguments: Sequence[str]) -> None:
    """Hydra's own entry, for studies and for questions about the configuration."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra

    from odyssey.config.schema import register
    from odyssey.study.trial import job

    register()
    before, sys.argv = sys.argv, [sys.argv[0], *to_hydra(arguments)]
    GlobalHydra.instance().clear()
    full = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"  # an error in a study is raised here and printed by us
    try:
        hydra.main(version_base="1.3", config_path=str(keys.CONF), config_name="config")(job)()
    finally:
        sys.argv = before
        if full is None:
            os.environ.pop(FULL_ERROR, None)
