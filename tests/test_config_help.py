"""`--help` names every group, choice and key, each with its meaning."""

from __future__ import annotations

import dataclasses
import re

import pytest
from omegaconf import DictConfig, OmegaConf

from odyssey.cli import main
from odyssey.config import keys, sources
from odyssey.config.compose import compose
from odyssey.config.fields import as_typed
from odyssey.config.help import help_text
from odyssey.config.schema import DECAYS, OPTIMIZERS
from odyssey.config.task_schema import TASKS
from odyssey.study.plan import prepare
from own_kit import choose

OPEN = (
    *(f"{section}.options" for section in ("cell", "task", "optimizer", "decay")),
    *("trainer.lightning", "callbacks", "metrics", "loggers"),
)  # sections that users fill


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
            found |= _leaves(compose(choose(group, name)))
    return found


@pytest.fixture(scope="module")
def text() -> str:
    """Of all tasks, optimizers and decays, each part once."""
    whole = help_text(width=100)
    for group, names in (("task", TASKS), ("optimizer", OPTIMIZERS), ("decay", DECAYS)):
        for name in names:
            title = f"\n{group}={name} (key=value):\n"
            if title not in whole:
                whole += title
                part = help_text(choose(group, name), width=100).partition(title)[2]
                whole += part.partition("\n\n")[0] + "\n\n"
    return whole


@pytest.mark.slow
def test_every_key_is_there_with_a_meaning(text):
    every = _every_key()
    assert set(keys.key_choices()) == every - set(keys.CHOSEN_BY)
    assert len(every) > 80
    for key in every - set(keys.CHOSEN_BY):
        assert re.search(rf"^  {re.escape(key)}=\S*\s+\w.{{7,}}", text, re.MULTILINE), key


def test_every_group_and_choice_is_there_with_a_meaning(text):
    for group in keys.GROUPS:
        assert re.search(rf"^{group}=… \(\w.{{10,}}\):$", text, re.MULTILINE), group
        for name in sources.choices(group):
            assert re.search(rf"^  {group}={name} +\w.{{9,}}", text, re.MULTILINE), (group, name)


def test_each_optimizer_decay_and_task_shows_its_own_defaults(text):
    for group, schemas in (("task", TASKS), ("optimizer", OPTIMIZERS), ("decay", DECAYS)):
        for name, schema in schemas.items():
            shown = {f.name for f in dataclasses.fields(schema)} - {"kind", "name"}
            if group == "task" and name == "synthetic":
                shown.add("kind")
            if not shown:
                continue
            section = text.split(f"\n{group}={name} (key=value):\n")[1].split("\n\n")[0]
            assert set(re.findall(rf"^  {group}\.(\w+)=", section, re.MULTILINE)) == shown


def test_values_are_those_that_the_command_would_run_with():
    text = help_text(width=100)
    for line in ("task.batch_size=32", "trainer.max_epochs=2", "cell.forget_bias=1", "seed=0"):
        assert re.search(rf"^  {re.escape(line)} ", text, re.MULTILINE), line
    assert "  task.split=[0.9,0.05,0.05] " in text and "  model.embedding_size=null " in text
    words = ["task=mnist", "cell=rnn", "optimizer=sgd", "optimizer.lr=0.3", "nonsense", "seed=x"]
    text = help_text(words[:4], width=100)
    cfg = compose(words[:4])
    for key in ("task.batch_size", "optimizer.momentum", "optimizer.lr", "cell.forget_bias"):
        assert f"  {key}={as_typed(OmegaConf.select(cfg, key))} " in text, key
    assert "task.tokenizer" not in text and "optimizer=adam (key" not in text
    assert "task=mnist (key=value)" in help_text(words, width=100)  # what is wrong is passed over


def test_each_line_fits_the_terminal_and_no_word_is_broken(text):
    assert max(map(len, text.splitlines())) <= 100
    narrow = help_text(width=80)
    assert max(map(len, narrow.splitlines())) <= 80
    assert set(narrow.split()) == set(help_text(width=100).split())


@pytest.mark.slow
def test_its_examples_compose(text):
    commands = re.findall(r"^  python train\.py (.+)$", text, re.MULTILINE)
    assert commands
    for command in commands:
        words = command.split()
        if words[0] == "-m":
            if "sweep=greff" in words:  # 1,800 take long to plan
                words.append("hydra.sweeper.trials=2")
            assert prepare(words[1:]).trials
        else:
            assert OmegaConf.is_config(compose(words))


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_printed_whatever_else_is_there(flag, capsys):
    assert main(["cell=nope", flag]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Train a recurrent cell") and err == ""


def test_options_of_a_part_are_typed_one_by_one() -> None:
    lines = help_text(["task=series"], 80).splitlines()
    assert "  task.options.horizon=1" in lines and "  task.options.split=[0.7,0.15,0.15]" in lines
    assert not any("{" in line for line in lines) and max(map(len, lines)) <= 80
