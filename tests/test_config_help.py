"""`--help` names every group, choice and key, each with its meaning."""

from __future__ import annotations

import dataclasses
import re

import pytest
from omegaconf import DictConfig, OmegaConf

from odyssey.cli import main
from odyssey.config import keys
from odyssey.config.compose import compose
from odyssey.config.help import help_text
from odyssey.config.schema import DECAYS, OPTIMIZERS
from odyssey.config.task_schema import TASKS
from odyssey.study.plan import prepare

OPEN = ("cell.options", "trainer.lightning", "callbacks")  # sections that users fill


def _leaves(cfg: DictConfig, prefix: str = "") -> set[str]:
    found = set()
    for name, value in cfg.items():
        key = f"{prefix}{name}"
        if isinstance(value, DictConfig) and key not in OPEN:
            found |= _leaves(value, f"{key}.")
        elif key not in keys.GROUPS:
            found.add(key)
    return found


def _every_key() -> set[str]:
    """The keys of composed configurations, over all choices of groups."""
    found: set[str] = set()
    for group, names in (("task", TASKS), ("optimizer", OPTIMIZERS), ("decay", DECAYS)):
        for name in names:
            found |= _leaves(compose([f"{group}={name}"]))
    return found


@pytest.fixture(scope="module")
def text() -> str:
    return help_text()


@pytest.mark.slow
def test_every_key_is_there_with_a_meaning(text):
    every = _every_key()
    assert set(keys.key_choices()) == every - set(keys.CHOSEN_BY)
    assert len(every) > 80
    for key in every - set(keys.CHOSEN_BY):
        assert re.search(rf"^  {re.escape(key)}=\S* +\w.{{7,}}", text, re.MULTILINE), key


def test_every_group_and_choice_is_there_with_a_meaning(text):
    for group in keys.GROUPS:
        assert re.search(rf"^{group}=… \(\w.{{10,}}\):$", text, re.MULTILINE), group
        for name in keys.choices(group):
            assert re.search(rf"^  {group}={name} +\w.{{9,}}", text, re.MULTILINE), (group, name)


def test_each_optimizer_decay_and_task_shows_its_own_defaults(text):
    for group, schemas in (("task", TASKS), ("optimizer", OPTIMIZERS), ("decay", DECAYS)):
        for name, schema in schemas.items():
            shown = {f.name for f in dataclasses.fields(schema)} - {"kind", "name"}
            if group == "task" and name == "synthetic":
                shown.add("kind")
            if not shown:
                continue
            section = text.split(f"\n{group}={name} (key=default):\n")[1].split("\n\n")[0]
            assert set(re.findall(rf"^  {group}\.(\w+)=", section, re.MULTILINE)) == shown


def test_defaults_in_the_help_are_the_schemas(text):
    assert "  optimizer.lr=0.002 " in text and "  seed=0 " in text
    assert "  task.split=[0.9,0.05,0.05] " in text and "  model.embedding_size=null " in text


def test_no_line_is_wider_than_a_terminal(text):
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.slow
def test_its_examples_compose(text):
    commands = re.findall(r"^  python train\.py (.+)$", text, re.MULTILINE)
    assert commands
    for command in commands:
        words = command.split()
        if words[0] == "-m":
            assert prepare(words[1:]).trials
        else:
            assert OmegaConf.is_config(compose(words))


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_printed_whatever_else_is_there(flag, capsys):
    assert main(["cell=nope", flag]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Train a recurrent cell") and err == ""
