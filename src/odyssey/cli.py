"""The command `python train.py …`: everything is checked, then one run or many are trained."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from odyssey.cli_utils import (
    about_files,
    columns,
    exit_status,
    print_error,
    see_current_folder,
    show,
)
from odyssey.config import keys, sources
from odyssey.config.compose import compose
from odyssey.config.help import help_text
from odyssey.config.overrides import VERBOSE, of_studies, parse_overrides, to_hydra
from odyssey.errors import UserError
from odyssey.streams import prepare

if TYPE_CHECKING:
    from odyssey.study.plan import Plan

HELP = ("-h", "--help")
MULTIRUN = ("-m", "--multirun")
FULL_ERROR = "HYDRA_FULL_ERROR"  # Hydra's variable: raise an error instead of printing it
SHELLS = ("bash", "zsh", "fish")  # for which Hydra has completions
COMPLETION = ("-sc", "--shell-completion")
# Flags with a question about the configuration, which Hydra answers, and what may follow them.
QUESTIONS: dict[str, tuple[str, ...]] = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    "--package": (),
}
ALONE = ("--resolve", "--hydra-help")  # questions that nothing follows
# Flags that say where configuration files are.
SOURCES = {"--config-dir": "a folder", "--config-name": "a file's name"}
SHORT = {
    "-c": "--cfg",
    "-i": "--info",
    "-p": "--package",
    "-cd": "--config-dir",
    "-cn": "--config-name",
}


@dataclass
class Arguments:
    """A command line, sorted."""

    overrides: list[str] = field(default_factory=list)  # with those that SOURCES' flags stand for
    many: str | None = None  # -m, as typed
    questions: list[str] = field(default_factory=list)  # flags for Hydra, with what follows them
    errors: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, also for a run that diverged; 1 failed; 2 wrong input; 130 Ctrl-C."""
    prepare()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if any(a in HELP for a in arguments):
        show(help_text([a for a in arguments if not a.startswith("-")]))
        return 0
    if "--version" in arguments:
        show(f"rnn-odyssey {version('rnn-odyssey')}")
        return 0
    if any(a in COMPLETION for a in arguments):
        return exit_status(lambda: _complete(arguments))
    try:
        see_current_folder()
        return _answer(_parse_arguments(arguments))
    except UserError as error:
        for message in error.messages:
            print_error(message)
        return 2
    except KeyboardInterrupt:
        return 130


def _answer(asked: Arguments) -> int:
    """Check everything, then answer the questions or train. Raises UserError."""
    with about_files():
        found = _checked(asked)
    if isinstance(found, int):
        return found
    # What fails in training may be a file of the user's own code: that needs its traceback.
    _train(found, asked.overrides)
    return 0


def _checked(asked: Arguments) -> int | DictConfig:
    """The exit status of what was asked for, or the configuration of the one run to be trained."""
    errors = list(asked.errors)
    cfg = plan = None
    try:
        if asked.many is None:
            errors += of_studies(asked.overrides)
            cfg = compose(asked.overrides)
        elif errors or asked.questions:
            plan = _plan(asked.overrides)
        else:
            return _study(asked.overrides)
    except UserError as error:
        errors += error.messages
    if errors:
        raise UserError(*errors)
    if plan is not None:
        _show_study(plan, asked)
    elif asked.questions:
        _ask(asked, cfg)
    elif cfg is not None:
        _be_verbose(asked.overrides)
        return cfg
    return 0


def _ask(asked: Arguments, cfg: DictConfig | None) -> None:
    """Let Hydra answer the questions. Raises UserError for those that it has no answer to."""
    questions = asked.questions
    for flag, what in (("--package", "the section that"), ("--resolve", "how")):
        if flag in questions and "--cfg" not in questions:
            raise UserError(f"{flag} is {what} --cfg shows: type --cfg job too")
    if "--hydra-help" in questions:  # of Hydra alone, whatever else is typed
        _through_hydra(["--hydra-help"])
        return
    if "--package" in questions and "job" in questions and cfg is not None:
        section = questions[questions.index("--package") + 1]
        if section != "_global_" and not _holds(cfg, section):
            raise UserError(
                f"--package {section} is no section of the configuration: type one of "
                f"{', '.join(str(name) for name in cfg)}"
            )
    _through_hydra([*questions, *asked.overrides])


def _holds(cfg: DictConfig, key: str) -> bool:
    try:
        return OmegaConf.select(cfg, key) is not None
    except OmegaConfBaseException:
        return False


def _parse_arguments(arguments: Sequence[str]) -> Arguments:
    found = Arguments()
    left = list(arguments)

    def following(equals: str, value: str) -> str:
        """What belongs to a flag: after its `=`, or the next word."""
        if equals or not left or left[0].startswith("-") or "=" in left[0]:
            return value
        return left.pop(0)

    while left:
        argument = left.pop(0)
        name, equals, value = argument.partition("=")
        name = SHORT.get(name, name)
        if not argument.startswith("-"):
            found.overrides.append(argument)
        elif argument in MULTIRUN:
            found.many = argument
        elif argument in ("-r", "--run"):
            pass  # one run, as without it
        elif name in ALONE:
            found.questions.append(name)
        elif name in QUESTIONS:
            value = following(equals, value) or ("all" if name == "--info" else "")
            may = QUESTIONS[name]
            if may and value not in may:
                found.errors.append(
                    f"{name} {value} is not a question: type {name} {' or '.join(may)}"
                )
            elif not value:
                found.errors.append(f"{name} is without a section: type {name} model, say")
            found.questions += [name, value]
        elif name in SOURCES:
            _source(found, name, following(equals, value))
        else:
            _refuse(found, argument, name, following(equals, value))
    return found


def _source(found: Arguments, name: str, value: str) -> None:
    """Take a flag that says where configuration files are, as the override that it stands for."""
    if not value:
        found.errors.append(f"{name} is without {SOURCES[name]}: type {name} and that")
    elif name == "--config-name":
        found.overrides.append(f"{sources.CONFIG_NAME}={value}")
    else:
        try:
            found.overrides.append(sources.search_path_word(value))
        except UserError as error:
            found.errors += error.messages


def _refuse(found: Arguments, argument: str, name: str, value: str) -> None:
    if name in ("--config-path", "-cp"):
        found.errors.append(
            f"{argument} is not possible, since the files that come with Odyssey are needed: type "
            "--config-dir FOLDER to add yours"
        )
        return
    setting = keys.full_setting(name.lstrip("-"), value)
    instead = f"type {setting}" if setting else "type key=value, -m for a sweep, or --help"
    found.errors.append(f"{argument} is not an option: {instead}")


def _be_verbose(overrides: Sequence[str]) -> None:
    """Obey hydra.verbose: true, or names of loggers, as Hydra does."""
    (wanted,) = [s.value for s in parse_overrides(overrides)[0] if s.key == VERBOSE] or [False]
    names = wanted if isinstance(wanted, list) else [wanted]
    if not all(isinstance(name, (str, bool)) for name in names):
        raise UserError(
            f"{VERBOSE}={wanted} is not true, false or loggers' names: type {VERBOSE}=true"
        )
    for name in [None if name is True else name for name in names if name is not False]:
        logging.basicConfig(format="[%(asctime)s][%(name)s][%(levelname)s] %(message)s")
        logging.getLogger(name).setLevel(logging.DEBUG)


def _complete(arguments: Sequence[str]) -> None:
    """Hydra's completion for a shell; what is asked for is among the words, as install=bash."""
    actions = ("install=", "uninstall=", "query=")
    if not any(word.startswith(actions) for word in arguments):
        raise UserError("-sc is without an action: type -sc install=bash, zsh or fish say")
    for word in arguments:
        shell = word.partition("=")[2] if word.startswith(actions) else SHELLS[0]
        if shell not in SHELLS:
            raise UserError(f"-sc {word} names no shell: type one of {', '.join(SHELLS)}")
    _through_hydra(arguments)


def _show_study(plan: Plan, asked: Arguments) -> None:
    """The configuration of the first trial, and below it what the others have in its place."""
    if asked.questions[:2] != ["--cfg", "job"]:
        raise UserError(
            f"{' '.join(asked.questions)} is not possible with {asked.many}: type --cfg job, or "
            f"leave {asked.many} out"
        )
    first = (plan.trials or plan.startup)[0]
    runs = len({trial.run for trial in plan.trials}) or "an adaptive search's"
    show(f"# {runs} runs in {plan.folder}; this is the first of them, {first.run}")
    _through_hydra([*asked.questions, *first.words])
    for key, values in plan.record().compare.items():
        show(f"# compared  {key}={','.join(map(str, values))}")
    for name, space in plan.record().space.items():
        show(f"# searched  {name}: {space}")


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
    from odyssey.study.plan import hand_over

    if not any(o.startswith(("hydra/launcher=", "hydra.sweeper.dry_run=")) for o in overrides):
        local.warm()  # its imports take as long as the checks
    try:
        plan = _plan(overrides)
        if plan is not None:
            _check(plan)
    except BaseException:
        local.abandon()
        raise
    if plan is not None:
        if plan.settings.dry_run:
            _show_trials(plan)
            return 0
    if plan is None:
        _through_hydra(["-m", *overrides])
        return 0
    hand_over(plan)
    # Hydra composes what is fixed, and refuses what does not apply to its default choices.
    _through_hydra(["-m", *(o for o in overrides if o.lstrip("+") not in plan.partly)])
    return plan.exit_code


def _show_trials(plan: Plan) -> None:
    """The trials of a study that is not to start: all of them, or on a terminal the first."""
    from odyssey.study.dry_run import SHOWN, dry_run
    from odyssey.study.state import read_study

    terminal = sys.stdout.isatty()
    limit = SHOWN if terminal and plan.settings.dry_run != "all" else None
    show(dry_run(plan, read_study(plan.folder), columns(80), limit))


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


def _not_made(error: Exception) -> str:
    """The sentence for an object of Hydra's that cannot be made, as a callback of its own."""
    lines = str(error).splitlines()
    key = next((w.removeprefix("full_key: ") for w in lines if w.startswith("full_key: ")), "hydra")
    why = lines[0].partition(", set env var")[0]
    return f"{key}._target_ is not usable ({why}): type the name of a class that can be imported"


def _through_hydra(arguments: Sequence[str]) -> None:
    """Hydra's own entry, for studies and for questions about the configuration."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import InstantiationException

    from odyssey.config.schema import register
    from odyssey.study.trial import job

    register()
    primary = f"{sources.CONFIG_NAME}="
    words = [word for word in to_hydra(arguments) if not word.startswith(primary)]
    before, sys.argv = sys.argv, [sys.argv[0], *words]
    GlobalHydra.instance().clear()
    full = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"  # an error in a study is raised here and printed by us
    try:
        hydra.main(
            version_base="1.3",
            config_path=str(sources.CONF),
            config_name=sources.current().primary,
        )(job)()
    except InstantiationException as error:
        raise UserError(_not_made(error)) from error
    finally:
        sys.argv = before
        if full is None:
            os.environ.pop(FULL_ERROR, None)
