"""What `python train.py …` does: check everything, then train one run or many."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from odyssey.config.compose import CONF, compose
from odyssey.config.help import help_text
from odyssey.errors import UserError

MULTIRUN = ("-m", "--multirun")
# Flags that only Hydra answers, about the configuration or itself.
HYDRAS = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--version", "--resolve", "--package",
          "-p", "--shell-completion", "-sc", "--config-path", "-cp", "--config-name", "-cn",
          "--config-dir", "-cd", "--experimental-rerun")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, also for a run that diverged; 1 failed; 2 wrong input; 130 Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "--help" in arguments or "-h" in arguments:
        print(help_text())
        return 0
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        if any(a.split("=")[0] in HYDRAS for a in arguments):
            return _through_hydra(arguments)
        flags = [a for a in arguments if a.startswith("-")]
        overrides = [a for a in arguments if not a.startswith("-")]
        unknown = [f for f in flags if f not in MULTIRUN]
        if unknown:
            raise UserError(
                f"{unknown[0]} is not an option; there are --help and -m, and keys are written "
                "key=value"
            )
        if flags:
            return _sweep(overrides)
        cfg = compose(overrides)
        _train(cfg, overrides)
        return 0
    except UserError as error:
        for message in error.messages:
            print(f"error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _train(cfg: DictConfig, overrides: Sequence[str]) -> float:
    # Training imports torch, which a wrong option need not wait for.
    from odyssey.training.train import train

    result = train(cfg, overrides)
    monitor = next((k for k in result.metrics if k.startswith("valid/")), "")
    return result.metrics.get(monitor, float("nan"))


def _sweep(overrides: list[str]) -> int:
    """Every combination is checked before the first one starts."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException:
        compose(overrides)  # says which one, in a sentence
        raise
    if not any(o.key_or_group == "hydra/sweeper" for o in parsed):
        mistakes: dict[str, None] = {}
        for batch in BasicSweeper.split_arguments(parsed, None):
            for job in batch:
                try:
                    compose([o for o in job if not o.startswith("hydra")])
                except UserError as error:
                    mistakes |= dict.fromkeys(error.messages)
        if mistakes:
            raise UserError(*mistakes)
    return _through_hydra(["-m", *overrides])


def _through_hydra(arguments: list[str]) -> int:
    """Hydra's own entry, for sweeps and for questions about the configuration."""
    import hydra
    from hydra.core.hydra_config import HydraConfig

    from odyssey.config.schema import register
    from odyssey.config.validate import mistakes

    register()
    failed: list[str] = []

    def job(cfg: DictConfig) -> float:
        from odyssey.config.resolve import finish

        overrides = list(HydraConfig.get().overrides.task)
        try:
            cfg = finish(cfg)
            found = mistakes(cfg)
            if found:
                raise UserError(*found)
            return _train(cfg, overrides)
        except UserError as error:
            print("\n".join(f"error: {m}" for m in error.messages), file=sys.stderr)
        except Exception:
            traceback.print_exc()
        # The other runs of the sweep go on; this one is in its run.json, and counted here.
        failed.append(" ".join(overrides))
        return float("nan")

    before, sys.argv = sys.argv, [sys.argv[0], *arguments]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)()
    finally:
        sys.argv = before
    if failed:
        print(f"{len(failed)} of the runs failed:", file=sys.stderr)
        for overrides in failed:
            print(f"  python train.py {overrides}", file=sys.stderr)
    return 1 if failed else 0
