"""The configuration that a run's folder holds, read as what the schema says of each key.

Nothing that it names is imported.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from textwrap import shorten

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from odyssey.config.schema import DECAYS, OPTIMIZERS, Config
from odyssey.config.task_schema import TASKS
from odyssey.config.validate import plain_errors
from odyssey.errors import UserError
from odyssey.io import read_text, reason
from odyssey.yaml_text import without_aliases

# What the file of every version has; keys that came later have their defaults.
SECTIONS = ("cell", "task", "model", "bptt", "optimizer", "decay", "clip", "trainer", "seed")
LONGEST = 200  # characters of what is wrong
WAY_OUT = "put back the file that training wrote"


def read_config(run: Path) -> DictConfig:
    """The configuration of a run, from its `config.yaml`.

    Raises UserError where it cannot be read, lacks a section, or has a value that its key cannot
    have.
    """
    file = run / "config.yaml"
    try:
        found = OmegaConf.load(StringIO(without_aliases(read_text(file)[0])))
        if not isinstance(found, DictConfig):
            raise ValueError("not a mapping")
    except FileNotFoundError:
        raise UserError(f"{run} is not a run folder, as it has no config.yaml") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read ({reason(error)}); {WAY_OUT}") from None
    except (ValueError, YAMLError, RecursionError, TypeError, OverflowError) as error:
        raise UserError(
            f"{file} cannot be read as a configuration ({reason(error)}); {WAY_OUT}"
        ) from None
    try:
        cfg = _typed(found)
        missing = sorted(OmegaConf.missing_keys(cfg) - {"resume"})
    except (OmegaConfBaseException, _Lacking, ValueError, TypeError) as error:
        what = shorten(str(error).partition("\n")[0], LONGEST)
        raise UserError(f"{file} is not the configuration of a run ({what}); {WAY_OUT}") from None
    if missing:
        raise UserError(f"{file} is not the configuration of a run (no {missing[0]}); {WAY_OUT}")
    if errors := plain_errors(cfg):
        raise UserError(f"{file} has what no run has; {WAY_OUT}: {shorten(errors[0], LONGEST)}")
    return cfg


class _Lacking(Exception):
    """A section is not there, or not one."""


def _typed(found: DictConfig) -> DictConfig:
    """The configuration with the types of the schema. Raises OmegaConf's errors, or _Lacking."""
    OmegaConf.resolve(found)
    for name in SECTIONS:
        value = found.get(name)
        if value is None or (name != "seed" and not isinstance(value, DictConfig)):
            raise _Lacking(f"no {name}")
    schema = OmegaConf.structured(Config)
    own = found.task.get("_target_") is not None
    for group, kinds, name in (
        ("task", TASKS, "own" if own else found.task.get("name")),
        ("optimizer", OPTIMIZERS, found.optimizer.get("kind")),
        ("decay", DECAYS, found.decay.get("kind")),
    ):
        if name not in kinds:
            raise _Lacking(f"no {group} is called {name}")
        schema[group] = OmegaConf.structured(kinds[name])
    cfg = OmegaConf.merge(schema, found)
    assert isinstance(cfg, DictConfig)
    _check_sections(schema, cfg)
    for section in ("callbacks", "metrics", "loggers"):
        for name, entry in cfg[section].items():
            named = isinstance(entry, DictConfig) and isinstance(entry.get("_target_"), str)
            if entry is not None and not named:
                raise _Lacking(f"{section}.{name} names no class")
    return cfg


def _check_sections(schema: DictConfig, cfg: DictConfig, before: str = "") -> None:
    """Raise _Lacking where something else is in the place of a section, such as null."""
    for name in map(str, schema):
        if OmegaConf.is_missing(schema, name) or OmegaConf.is_missing(cfg, name):
            continue
        if isinstance(schema[name], DictConfig):
            if not isinstance(cfg[name], DictConfig):
                raise _Lacking(f"no {before}{name}")
            _check_sections(schema[name], cfg[name], f"{before}{name}.")
