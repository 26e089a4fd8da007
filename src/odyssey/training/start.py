"""`init_from=RUN`: a run begins with the weights and the vocabulary of another (fine-tuning)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from odyssey.config.fields import as_typed
from odyssey.config.identity import start_hash
from odyssey.config.saved import read_config
from odyssey.errors import UserError
from odyssey.registry import cell_name, entry_of
from odyssey.tasks.base import Task
from odyssey.training import checkpoint
from odyssey.training.record import Start
from odyssey.training.restore import check_folder

# What the symbols of a vocabulary are, by task and the option that says so.
WORDS, CHARACTERS = "words", "characters"


class Beginning:
    """The best checkpoint of the run that `init_from` names.

    Raises UserError where it cannot be read.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.run = Path(cfg.init_from)
        check_folder(self.run)
        self.theirs = read_config(self.run)
        self.saved = checkpoint.load(self.run / "checkpoints" / "best.ckpt")
        self.digest = start_hash(cfg.init_from)

    def learned(self, cfg: DictConfig) -> Mapping[str, Any]:
        """What the run's task learned of its data, for `Task.adopt`.

        Raises UserError where it read other symbols than the task of `cfg` reads.
        """
        ours, theirs = _symbols(cfg.task), _symbols(self.theirs.task)
        if ours != theirs:
            raise UserError(
                f"init_from={self.run} is a run of task={self.theirs.task.name}, which reads "
                f"{theirs or 'numbers'}, and task={cfg.task.name} reads {ours or 'numbers'} here: "
                "choose a task that reads the same"
            )
        return self.saved["task"] or {}

    def put_into(self, model: nn.Module, task: Task) -> Start:
        """Let the model have the weights, and say which it has not.

        Only the layer of the outputs may be another, as where there are other classes; it keeps
        its own initial weights. Raises UserError where others do not fit.
        """
        own, given = model.state_dict(), self.saved["model"]
        answers = (self.theirs.task.name, (self.saved["task"] or {}).get("classes"))
        other = answers != (task.name, (task.export() or {}).get("classes"))
        fits = {
            name: value
            for name, value in given.items()
            if name in own and own[name].shape == value.shape and not (other and _is_head(name))
        }
        misfits = [k for k in own if k not in fits]
        wrong = [k for k in (*misfits, *(k for k in given if k not in own)) if not _is_head(k)]
        if wrong:
            key = wrong[0]
            raise UserError(
                f"init_from={self.run} does not fit this model: {key} is {_shape(own.get(key))}, "
                f"and there {_shape(given.get(key))}"
                + (f", and so with {', '.join(wrong[1:4])}" if len(wrong) > 1 else "")
                + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else "")
                + f"; type the settings of that run: {self._sizes()}"
            )
        with torch.no_grad():
            for name, value in fits.items():
                own[name].copy_(value)
        return Start(self.run.name, self.digest, self.saved["step"], misfits)

    def _sizes(self) -> str:
        """The settings that the shapes of its weights follow from, as typed."""
        m, target = self.theirs.model, self.theirs.cell._target_
        cell = (
            f"cell._target_={target}" if entry_of(target) is None else f"cell={cell_name(target)}"
        )
        size = as_typed(m.embedding_size)
        return (
            f"{cell} model.hidden_size={m.hidden_size} model.num_layers={m.num_layers} "
            f"model.bidirectional={as_typed(m.bidirectional)} model.embedding_size={size}"
        )


def _symbols(task: Any) -> str:
    """What a task reads: characters, words, or else an empty string."""
    if task.name == "charlm":
        return CHARACTERS
    if task.name == "wordlm":
        return f"{WORDS} (task.tokenizer={task.tokenizer})"
    if task.name == "sentiment":
        return CHARACTERS if task.tokens == "characters" else f"{WORDS} (task.tokenizer=words)"
    return ""


def _is_head(name: str) -> bool:
    return name.split(".")[0] == "head"


def _shape(value: Any) -> str:
    return "missing" if value is None else " x ".join(map(str, value.shape))
