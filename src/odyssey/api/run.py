"""`compose`, `train` and `load`: one run as an object."""

from __future__ import annotations

import math
import re
import shlex
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig

from odyssey.api import show
from odyssey.cli_utils import about_files, see_current_folder, typed_as
from odyssey.config import compose as composing
from odyssey.config import sources
from odyssey.config.saved import read_config
from odyssey.config.validate import config_errors
from odyssey.device import DEVICES, resolve_device
from odyssey.errors import UserError, did_you_mean, options
from odyssey.io import reason
from odyssey.study.formatting import duration, several
from odyssey.study.overrides import word
from odyssey.study.state import RunState, read_run
from odyssey.study.store import search_of
from odyssey.training.record import RunRecord
from odyssey.training.restore import check_folder, check_parts, restore_model
from odyssey.training.run_dir import MetricRow, RunFolder, run_path

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from pytorch_lightning import Callback
    from torch import nn

    from odyssey.api.evaluation import Evaluation
    from odyssey.tasks.base import Task
    from odyssey.training.predicting import Reading

Split = Literal["train", "valid", "test"]
SPLITS = ("train", "valid", "test")
CHECKPOINTS = ("best", "last")
EXPORTS = ("onnx", "torchscript", "safetensors")
OUTPUTS = Path("outputs")  # where `load` looks for "study/run": the default of output_dir
MANY = ("-m", "--multirun")


def compose(
    overrides: str | Sequence[str] = (),
    *,
    config_dir: str | Path | None = None,
    config_name: str | None = None,
) -> DictConfig:
    """The checked configuration that words of the command line make.

    Parameters
    ----------
    overrides : str or sequence of str
        What follows `python train.py`: `"cell=gru task=charlm"` or `["cell=gru", "task=charlm"]`.
        A string is split as a shell splits it.
    config_dir : path, optional
        A folder with configuration files of your own, as `--config-dir`.
    config_name : str, optional
        Another primary configuration file, as `--config-name`.

    Returns
    -------
    DictConfig
        All settings of one run. Nothing is trained, and torch is not loaded.

    Raises
    ------
    UserError
        With one sentence for each mistake.

    Examples
    --------
    >>> import odyssey
    >>> cfg = odyssey.compose("cell=gru task=charlm task.data=hello optimizer.lr=0.01")
    >>> cfg.cell._target_, cfg.optimizer.lr
    ('odyssey.cells.GRU', 0.01)
    """
    see_current_folder()
    return composing.compose(_words(overrides, config_dir, config_name))


def train(
    overrides: str | Sequence[str] | DictConfig = (),
    *,
    callbacks: Sequence[Callback] = (),
    config_dir: str | Path | None = None,
    config_name: str | None = None,
) -> Run:
    """Train one run, go on with it where it was stopped, or find that it is done.

    Parameters
    ----------
    overrides : str, sequence of str or DictConfig
        Words as for :func:`compose`, or what it returned, changed or not.
    callbacks : sequence of pytorch_lightning.Callback
        Further callbacks of this session, which may look but should not change what is computed:
        they are not part of what identifies the run. Those in the section `callbacks` of the
        configuration are.
    config_dir, config_name
        As for :func:`compose`; not possible with a DictConfig.

    Returns
    -------
    Run
        The run as :func:`load` gives it. One that diverged is returned too; see `Run.status`.

    Raises
    ------
    UserError
        For what you can mend: a wrong setting, data that cannot be had, a folder in use.
    KeyboardInterrupt
        After an interruption; the same call goes on from the last checkpoint.

    Examples
    --------
    >>> import odyssey, tempfile
    >>> run = odyssey.train(
    ...     ["cell=gru", "task=charlm", "task.data=hello", "trainer.max_steps=2"]
    ...     + [f"output_dir={tempfile.mkdtemp()}", "logger.mode=disabled"]
    ... )
    changed ...
    >>> run.status, run.record.steps
    ('finished', 2)
    """
    see_current_folder()
    if isinstance(overrides, DictConfig):
        if config_dir is not None or config_name is not None:
            raise UserError(
                "config_dir and config_name are for words: give them to compose, which made this "
                "configuration"
            )
        cfg = composing.finish(overrides.copy())
        if errors := config_errors(cfg):
            raise UserError(*errors)
        words = _words_of(cfg)
    else:
        words = _words(overrides, config_dir, config_name)
        cfg = composing.compose(words)
    from odyssey.training.train import train as train_run

    result = train_run(cfg, words, extra=callbacks, study=search_of(run_path(cfg)))
    return Run(result.folder, trust=True)  # its parts have just been imported


def in_outputs(given: Any, what: str, example: str) -> Path:
    """The path of a folder that is given whole, or without `outputs`. Raises UserError."""
    if not isinstance(given, (str, PathLike)):
        raise UserError(
            f'{what} is named by its folder, not by {type(given).__name__}: give "{example}", say'
        )
    path = Path(given)
    with about_files():
        if not path.is_dir() and not path.is_absolute() and (OUTPUTS / path).is_dir():
            path = OUTPUTS / path
    return path


def load(
    run: str | Path,
    *,
    checkpoint: Literal["best", "last"] = "best",
    device: str = "auto",
    trust: bool = False,
) -> Run:
    """A run folder as an object.

    Parameters
    ----------
    run : path
        A run folder, `outputs/first/lstm-charlm-0123abcd`, or its study and name alone,
        `first/lstm-charlm-0123abcd`, which is looked for in `outputs`.
    checkpoint : {"best", "last"}
        Which weights `Run.model` has: those of the best validation, or the latest.
    device : {"auto", "cpu", "cuda"}
        Where the model computes; "auto" is a GPU where there is one.
    trust : bool
        Whether a cell, task, metric or initializer that is not Odyssey's may be imported, which
        runs its module: say so for runs of yours, and of others whose code you know. Its source
        must be the one that the run was trained with.

    Returns
    -------
    Run
        Nothing but `run.json` is read before it is asked for.

    Raises
    ------
    UserError
        Where there is no such run, or its `run.json` cannot be read.

    Examples
    --------
    >>> import odyssey, tempfile
    >>> out = tempfile.mkdtemp()
    >>> words = "cell=gru task=charlm task.data=hello trainer.max_steps=2 logger.mode=disabled"
    >>> path = odyssey.train(f"{words} output_dir={out}").path
    changed ...
    >>> run = odyssey.load(path)
    >>> sorted(run.result) == sorted(run.record.metrics)
    True
    >>> run.evaluate("test")["bits_per_char"] == run.result["test/bits_per_char"]
    True
    """
    path = in_outputs(run, "a run", "outputs/first/lstm-charlm-0123abcd")
    for name, value, known in (
        ("checkpoint", checkpoint, CHECKPOINTS),
        ("device", device, DEVICES),
    ):
        if value not in known:
            near = did_you_mean(str(value), known)
            raise UserError(f"{name}={value} is unknown{near}: give one of {options(known)}")
    if not path.is_dir():
        there = sorted(p.parent.name for p in path.parent.glob("*/run.json"))
        near = did_you_mean(path.name, there) or (f"; there is {there[0]}" if there else "")
        raise UserError(f"{path}: there is no such run folder{near}")
    found = Run(path, checkpoint=checkpoint, device=device, trust=trust)
    found.record  # noqa: B018 - an error in it is raised now
    return found


class Run:
    """One run on the disk: its settings, numbers, model and task.

    Made by :func:`load`, :func:`train` and `Study.load`. `status`, `record`, `metrics` and
    `result` are read anew whenever they are asked for, so a run that is still being trained can be
    watched; configuration, model and task are read once.

    Attributes
    ----------
    path : Path
        The run folder.
    name : str
        Its name, `<cell>-<task>-<hash>`.

    Examples
    --------
    >>> import odyssey, tempfile
    >>> words = "cell=gru task=charlm task.data=hello trainer.max_steps=2 logger.mode=disabled"
    >>> run = odyssey.train(f"{words} output_dir={tempfile.mkdtemp()}")
    changed ...
    >>> run.config.cell._target_
    'odyssey.cells.GRU'
    >>> bool(run.metrics.loc[2, "valid/bits_per_char"] == run.result["valid/bits_per_char"])
    True
    >>> type(run.model).__name__
    'SequenceModel'
    >>> len(run.sample(prompt="hell", length=10, seed=1))
    14
    >>> run.predict("hello").probabilities[0].shape == (5, len(run.task.names()))
    True
    """

    def __init__(
        self,
        path: Path,
        *,
        checkpoint: str = "best",
        device: str = "auto",
        trust: bool = False,
    ) -> None:
        self.path = path
        self.name = path.resolve().name
        self._checkpoint, self._device, self._trust = checkpoint, device, trust
        self._state: RunState | None = None

    # -- what the files say -----------------------------------------------------------------

    @property
    def _now(self) -> RunState:
        self._state = read_run(self.path, before=self._state)
        return self._state

    @property
    def status(self) -> str:
        """`finished`, `diverged`, `failed`, `interrupted` or `running`, as of now."""
        state = self._now.state
        if state in ("missing", "damaged"):
            self.record  # noqa: B018 - raises the sentence
        return state

    @property
    def record(self) -> RunRecord:
        """All that `run.json` says: data, seed, parameters, versions, times, metrics.

        Raises UserError where it is missing or cannot be read.
        """
        now = self._now
        if now.record is not None:
            return now.record
        if now.later:
            raise UserError(
                f"{self.path / 'run.json'} is of a later version of Odyssey: update Odyssey"
            )
        if now.state == "damaged":  # which raises its sentence, if it still is
            mended = RunFolder(self.path).read_record()
            if mended is not None:
                return mended
        inside = sorted(p.parent for p in self.path.glob("*/run.json"))
        hint = f"; it holds runs, such as {inside[0]}" if inside else ""
        raise UserError(f"{self.path} is not a run folder, as it has no run.json{hint}")

    @property
    def result(self) -> dict[str, float]:
        """The metrics of the best checkpoint, `valid/…` and `test/…`; empty before the end.

        A run that diverged has validation metrics alone, or none.
        """
        return dict(self.record.metrics)

    @property
    def metrics(self) -> pd.DataFrame:
        """`metrics.csv`: a row for each update with a line of metrics, a column for each metric.

        The index is `step`, the number of updates done; the first columns are `epoch` and `time`
        (seconds since 1970). Metrics that were not logged at a step are nan.
        """
        import pandas as pd

        long = pd.DataFrame(self._rows(), columns=["step", "epoch", "name", "value", "time"])
        names = list(dict.fromkeys(long["name"]))
        when = long.groupby("step")[["epoch", "time"]].last()
        # Of two values at one step the later counts, as in the report.
        last = long.drop_duplicates(["step", "name"], keep="last")
        wide = last.pivot(index="step", columns="name", values="value")
        found = when.join(wide.reindex(columns=names))
        found.columns.name = None
        return found

    def _rows(self) -> list[MetricRow]:
        """The rows of metrics.csv. Raises UserError where it is there and cannot be read."""
        folder = RunFolder(self.path)
        try:
            rows, damaged = folder.read_metrics()
        except OSError as error:
            raise UserError(f"{folder.metrics_path} cannot be read ({reason(error)})") from None
        if damaged and not rows:
            raise UserError(
                f"{folder.metrics_path} is no table of step, epoch, name, value and time, as runs "
                "write them"
            )
        if damaged:
            warnings.warn(
                f"{folder.metrics_path} has {several(damaged, 'line')} that cannot be read",
                stacklevel=3,
            )
        return rows

    @cached_property
    def config(self) -> DictConfig:
        """All settings, from `config.yaml`. Raises UserError where it cannot be read."""
        return read_config(self.path)

    # -- model and task ---------------------------------------------------------------------

    @cached_property
    def model(self) -> nn.Module:
        """The trained model, in evaluation mode; needs no data.

        Call it as `model(inputs, lengths, state)` with inputs time first, (T, B) tokens or
        (T, B, X) numbers; it returns logits and the state after them.

        A cell of your own is imported, with `trust=True` alone, from the current folder or the
        path of Python.

        Raises UserError where there is no checkpoint yet, and where its cell is not to be found, or
        not that of the training.
        """
        record, best = self.record, self.path / "checkpoints" / f"{self._checkpoint}.ckpt"
        if record.status == "diverged" and not best.exists():
            raise UserError(
                f"{self.path} diverged before its first validation, so it kept no weights: "
                f"{record.error}"
            )
        check_folder(self.path, self._checkpoint)
        self._check_parts()
        return self._restored()

    def _check_parts(self) -> None:
        """See that what the configuration names may be imported. Raises UserError."""
        check_parts(self.path, self.config, self._trust, "trust=True")

    def _restored(self) -> nn.Module:
        place, cfg = resolve_device(self._device), self.config.copy()
        try:
            return restore_model(self.path, cfg, self._bare_task, self._checkpoint, place)
        except UserError:
            if cfg.model.backend == "auto":
                raise
            # This machine may lack the run's backend. All give the same numbers, but to the last
            # bit only the run's own does.
            cfg.model.backend = "auto"
            return restore_model(self.path, cfg, self._bare_task, self._checkpoint, place)

    @cached_property
    def _bare_task(self) -> Task:
        """The task without its data; the vocabulary and the like come with the model."""
        from odyssey.tasks import build

        cfg = self.config
        self._check_parts()
        return build(cfg.task, data_dir=cfg.data_dir, seed=cfg.seed, window=cfg.bptt.length)

    @cached_property
    def task(self) -> Task:
        """The task with its data, which are read, or downloaded, when first asked for.

        Raises UserError where they cannot be had or are not those of the training.
        """
        from odyssey.training.build import load_task

        cfg, data = self.config, self.record.data
        self._check_parts()
        adopted = None
        if cfg.init_from is not None:  # that run may be gone; what it gave is in the checkpoint
            self._restored()
            adopted = self._bare_task.export()
        task = load_task(cfg, adopted)
        if data is not None and data.sha256 and data.sha256 != task.data["sha256"]:
            raise UserError(
                f"{self.path} was trained on {data.name} with sha256 {data.sha256[:12]}…, which is "
                f"now {task.data['sha256'][:12]}…: put the old data back"
            )
        return task

    def evaluate(self, split: Split = "test", *, data: str | Path | None = None) -> Evaluation:
        """The task's metrics of the model on a part of the data, or on other data.

        Parameters
        ----------
        split : {"train", "valid", "test"}
            "train" is the batches of the first epoch, without noise or dropout.
        data : path, optional
            A file or folder as `task.path` has it, all of which is read, with the vocabulary and
            the scaling of the run; `split` is of a folder with parts. A folder of texts has a
            document for each.

        Returns
        -------
        Evaluation
            A dict by metric, without the part's name: `{"bits_per_char": 2.02, …}`, with tables
            beside. For "test" and "valid" of the best checkpoint they are the numbers of `result`.

        Raises
        ------
        UserError
            For data that cannot be read, and for a task that reads no others.
        """
        _check_split(split)
        from odyssey.api.evaluation import made
        from odyssey.training.evaluation import evaluate

        model, other, task = self.model, None, self.task if data is None else self._other_task()
        if data is not None:
            with about_files(), _of_other_data():
                other = task.load_other(Path(data).expanduser(), split)
        metrics, tables = evaluate(model, task, self.config, split, other)
        part = "" if data is not None and not Path(data).is_dir() else split
        return made(metrics, tables, task, run=self.name, part=part, other=other)

    def _other_task(self) -> Task:
        """The task with what the run learned of its data, to read others; the model is restored."""
        from odyssey.tasks import build
        from odyssey.training.build import build_metrics

        cfg = self.config
        task = build(cfg.task, data_dir=cfg.data_dir, seed=cfg.seed, window=cfg.bptt.length)
        task.restore(self._bare_task.export())
        task.add_metrics(build_metrics(cfg.metrics))
        task.device = resolve_device(self._device)
        return task

    def predict(self, inputs: Any = None, *, split: Split | None = None) -> Prediction:
        """What the model says of inputs of your own, or of a part of the data.

        Parameters
        ----------
        inputs : optional
            For `charlm`, `wordlm` and `sentiment` a text or a list of texts; for `mnist` an image
            (28, 28) or images (N, 28, 28) of grey values from 0 to 255, or of the size of your own,
            in colour (H, W, 3); for `music` a piano roll (T, 88) of 0 and 1 or a list of them; for
            `synthetic` sequences (T) of integers, or (T, 2) of numbers and marks, or a list of
            them.
        split : {"train", "valid", "test"}, optional
            In place of `inputs`. The text of a language model is read in lanes side by side, as in
            training; each is a sequence.

        Returns
        -------
        Prediction
            Logits, probabilities and likeliest labels, and of a split the targets.

        Raises
        ------
        UserError
            For inputs of another form, and where the logits of a split take more than 2 GiB.
        """
        if (inputs is None) == (split is None):
            raise UserError('predict takes inputs or split="test", one of the two')
        from odyssey.training import evaluation

        if split is None:
            logits = evaluation.logits_of_inputs(self.model, self._bare_task, self.config, inputs)
            return _prediction(self._bare_task, logits, None)
        _check_split(split)
        logits, targets = evaluation.logits_of_split(self.model, self.task, self.config, split)
        return _prediction(self.task, logits, targets)

    def read(self, text: str) -> Reading:
        """How likely a language model finds each symbol of a text, and what it expects next.

        Parameters
        ----------
        text : str
            It is read from its beginning, whose first symbol is predicted after the end of a line.

        Returns
        -------
        Reading
            `symbols` (N), `bits` (N), their surprise in bits, `known` (N), whether the vocabulary
            has them, and `after` (K), the probability of each of `names` to come next.

        Raises
        ------
        UserError
            For a task that predicts no text, and, without `<unk>`, for symbols never learned.
        """
        from odyssey.training.predicting import read_on

        if not isinstance(text, str):
            raise UserError(f"text is {type(text).__name__}: give a string")
        return read_on(self.model, self._bare_task, self.config, text)

    def forecast(self, path: str | Path, *, steps: int | None = None) -> pd.DataFrame:
        """What a model of a series expects after the last row of a table, in the table's units.

        Parameters
        ----------
        path : path
            A table with the columns that the model reads.
        steps : int, optional
            How many rows, each from the one before, where the model predicts all that it reads one
            step ahead; by default the one row it was trained to predict.

        Returns
        -------
        DataFrame
            `row`, counted from 1 at the table's first, and the predicted columns. Of a run with
            `task.options.sequence` a row for each sequence, with its value or class.

        Raises
        ------
        UserError
            For another task, and for a table that cannot be read.
        """
        import pandas as pd

        from odyssey.training.predicting import forecast

        if steps is not None and (type(steps) is not int or steps < 1):
            raise UserError(f"steps={steps} is out of range: give 1 or more")
        model = self.model
        with about_files(), _of_other_data():
            head, rows = forecast(
                model, self._other_task(), self.config, Path(path).expanduser(), steps
            )
        return pd.DataFrame(rows, columns=head)

    def export(self, to: str, path: str | Path | None = None) -> list[Path]:
        """Write the model as a file for other programs, with a JSON file of how to use it.

        Parameters
        ----------
        to : {"onnx", "torchscript", "safetensors"}
            `onnx` has one step, with the state in and out; `torchscript` the loop over time too;
            `safetensors` the weights alone.
        path : path, optional
            By default `exports/model` with the format's ending, in the run's folder.

        Returns
        -------
        list of Path
            The model and the JSON file.

        Raises
        ------
        UserError
            For a model that the format cannot carry, a package that is missing, and a file that is
            there already.
        """
        if to not in EXPORTS:
            near = did_you_mean(str(to), EXPORTS)
            raise UserError(f"to={to} is unknown{near}: give one of {options(EXPORTS)}")
        self.model  # noqa: B018 - an error in it is raised now
        from odyssey.training.export import FORMATS, export

        cfg, where = self.config.copy(), None if path is None else Path(path).expanduser()
        cfg.model.backend = "reference"  # whose loop an exporter can read
        with about_files():
            if where is None:
                where = self.path / "exports" / f"model{FORMATS[to]}"
                where.parent.mkdir(exist_ok=True)
            task, cpu = self._bare_task, resolve_device("cpu")
            model = restore_model(self.path, cfg, task, self._checkpoint, cpu)
            return export(model, task, self.config, to, where)

    def sample(
        self,
        prompt: str | None = None,
        *,
        length: int | None = None,
        temperature: float | None = None,
        seed: int = 0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: str | None = None,
    ) -> str | Roll:
        """What the model writes, or plays, by itself.

        Parameters
        ----------
        prompt : str, optional
            Text to go on from; for music a chord of MIDI notes, `"60 64 67"`.
        length : int, optional
            Characters, words or frames; by default the run's `task.sample_length`.
        temperature : float, optional
            0 takes the likeliest; by default the run's `task.sample_temperature`.
        seed : int
            The same seed gives the same sample, and the same as `scripts/sample.py`.
        top_k : int, optional
            Draw from the likeliest `top_k` symbols alone.
        top_p : float, optional
            Draw from the fewest symbols that have `top_p` of the probability together.
        stop : str, optional
            Text to end before, such as "\\n"; not counting the prompt.

        Returns
        -------
        str or Roll
            The prompt and what follows it; for music a piano roll.

        Raises
        ------
        UserError
            For a task without samples, a prompt that the model cannot read, or an option that is
            out of range.
        """
        if not 0 <= seed < 2**63:
            raise UserError(f"seed={seed} is out of range: give 0 or more")
        from odyssey.training.module import RecurrentModule

        model, task = self.model, self._bare_task
        step = RecurrentModule(model, task, self.config).sampler()
        narrowed: dict[str, Any] = {
            k: v for k, v in {"top_k": top_k, "top_p": top_p}.items() if v is not None
        }
        pieces = task.sample(
            step,
            length=self._or("sample_length", length),
            temperature=self._or("sample_temperature", temperature),
            seed=seed,
            prompt=prompt,
            device=resolve_device(self._device),
            **narrowed,  # which a task of the user's own may not know
        )
        if stop is not None and (not stop or task.name == "music"):
            raise UserError(f"stop={stop!r} is no text to end before: leave it out")
        if task.name != "music":
            from odyssey.tasks.decoding import until

            return (prompt or "") + "".join(pieces if stop is None else until(pieces, stop))
        import numpy as np

        return Roll(
            np.stack(list(pieces)),
            tempo=self.config.task.tempo,
            resolution=self.config.task.resolution,
        )

    def _or(self, key: str, given: Any) -> Any:
        return self.config.task.get(key, 1) if given is None else given

    # -- how it looks -----------------------------------------------------------------------

    def plot(self) -> Figure:
        """The learning curves: training loss, validation metric and gradient norm by update.

        Returns a figure of matplotlib, which a notebook shows. Raises UserError before the first
        line of metrics.
        """
        from odyssey.training.figures import draw_curves

        self._rows()
        monitor, figure = self.record.monitor, show.new_figure()
        if not draw_curves(RunFolder(self.path), monitor.name if monitor else "", figure):
            raise UserError(f"{self.path} has no metrics yet")
        return figure

    def __repr__(self) -> str:
        return f"<Run {self.name}: {self._now.state}{_told(self._now.record)}>"

    def _repr_html_(self) -> str:
        now = self._now
        record = now.record or RunRecord("running")
        steps = math.nan if record.seconds is None else record.seconds
        rows: dict[str, Any] = {
            "status": now.state + (f": {now.error}" if now.error else ""),
            "cell": record.cell,
            "task": f"{record.task} on {now.data}" if now.data else record.task,
            "parameters": None if record.params is None else f"{record.params:,}",
            "updates": None if record.steps is None else f"{record.steps:,} in {duration(steps)}",
            **record.metrics,
            "folder": self.path,
        }
        return show.pairs({k: v for k, v in rows.items() if v not in ("", None)}, self.name)


@dataclass(frozen=True)
class Prediction:
    """What a model says of N sequences.

    Where a sequence has one answer (`sentiment`, `mnist`, adding) the attributes are arrays whose
    first dimension is N; else lists of N arrays, each with a row for each step.

    Attributes
    ----------
    logits : array (N, K), or list of arrays (T, K)
        The outputs of the model: K classes, keys, or 1 number. At a step of a language model they
        are of the symbol after it.
    probabilities : of the same form, or None
        Softmax of the logits; for music, whose 88 keys are independent, their sigmoid. None where
        the output is a number.
    labels : array (N), or list of arrays (T)
        The likeliest of `names`; for music arrays (T, 88) of 0 and 1; the number itself for adding.
    targets : as `labels`, or None
        The right answers of a split.
    names : tuple
        What each of the K outputs stands for: characters, words, classes, digits or MIDI notes.
    """

    logits: Any
    probabilities: Any
    labels: Any
    targets: Any
    names: tuple[Any, ...]

    def __len__(self) -> int:
        """The number of sequences."""
        return len(self.logits)

    def __repr__(self) -> str:
        targets = "" if self.targets is None else ", with targets"
        return f"<Prediction of {len(self)} sequences, {len(self.names)} outputs{targets}>"

    def _repr_html_(self) -> str:
        rows = []
        for i in range(min(len(self), show.MOST_ROWS)):
            found = [_brief(self.labels[i])]
            rows.append(found if self.targets is None else [*found, _brief(self.targets[i])])
        rows += [[]] * (len(self) - len(rows))
        return show.table(["label"] if self.targets is None else ["label", "target"], rows)


@dataclass(frozen=True)
class Roll:
    """Music that a model played.

    Attributes
    ----------
    frames : array (T, 88) of 0 and 1
        A row for each frame, a column for each key from MIDI note 21.
    tempo : float
        In quarter notes a minute.
    resolution : int
        Frames a quarter note.
    """

    frames: NDArray[np.uint8]
    tempo: float = 90.0
    resolution: int = 2

    def write(self, path: str | Path) -> Path:
        """Write it as a MIDI file; the path. Raises OSError where that is not possible."""
        from odyssey.tasks.midi import write_midi

        return write_midi(self.frames, Path(path), tempo=self.tempo, resolution=self.resolution)

    def __repr__(self) -> str:
        return f"<Roll of {len(self.frames)} frames, {int(self.frames.sum())} keys down>"

    def _repr_png_(self) -> bytes:
        from odyssey.tasks.midi import draw_roll

        with tempfile.TemporaryDirectory() as folder:
            return draw_roll(self.frames, Path(folder) / "roll.png").read_bytes()


def _prediction(
    task: Task, logits: list[torch.Tensor], targets: list[torch.Tensor] | None
) -> Prediction:
    import numpy as np
    import torch

    names = tuple(task.names())
    labelled = np.array(names, dtype=None if not isinstance(names[0], str) else object)
    floats = [one.float() if one.dtype == torch.bfloat16 else one for one in logits]
    likely: list[torch.Tensor] | None = None
    right = None if targets is None else [t.numpy() for t in targets]
    if task.answers == "class":
        likely = [torch.softmax(one, -1) for one in floats]
        labels = [labelled[one.argmax(-1).numpy()] for one in floats]
        right = None if right is None else [labelled[t] for t in right]
    elif task.answers == "each":
        likely = [torch.sigmoid(one) for one in floats]
        labels = [(one > 0).to(torch.uint8).numpy() for one in floats]
    else:
        labels = [one.squeeze(-1).numpy() for one in floats]

    def arranged(values: list[Any] | None) -> Any:
        if values is None:
            return None
        arrays = [v.numpy() if isinstance(v, torch.Tensor) else v for v in values]
        return np.stack(arrays) if task.spec.head == "last" else arrays

    return Prediction(arranged(floats), arranged(likely), arranged(labels), arranged(right), names)


def _brief(label: Any) -> str:
    """A label, or the labels of a sequence, in a cell of a table."""
    if not getattr(label, "ndim", 0):
        return show.text(label.item() if hasattr(label, "item") else label)
    said = " ".join(map(str, label[:20])) if label.ndim == 1 else f"{label.shape}"
    return said + (" …" if label.ndim == 1 and len(label) > 20 else "")


def _told(record: RunRecord | None) -> str:
    """The best validation and test value, as in `, bits_per_char 2.03 (test 2.02)`."""
    if record is None or record.monitor is None or math.isnan(record.value()):
        return ""
    test = record.value("test")
    tested = "" if math.isnan(test) else f" (test {test:.4g})"
    return f", {record.monitor.name} {record.value():.4g}{tested}"


@contextmanager
def _of_other_data() -> Iterator[None]:
    """Let messages on other data name the argument `data`, and no options of a training."""
    try:
        yield
    except UserError as error:
        told = [m.replace("task.path=", "data=") for m in error.messages]
        raise UserError(
            *(
                re.sub(r"[:;] type task\.encoding=.*", "; convert it to UTF-8 first", m)
                for m in told
            )
        ) from error


def _check_split(split: str) -> None:
    if split not in SPLITS:
        near = did_you_mean(str(split), SPLITS)
        raise UserError(f"split={split} is unknown{near}: give one of {options(SPLITS)}")


def _words_of(cfg: DictConfig) -> list[str]:
    """The words that make a configuration from the files of conf/ alone."""
    sources.use(())
    found = composing.changed(cfg)
    return [f"{k}={{}}" if v == {} else word(k, v) for k, v in found.items()]


def _words(
    overrides: str | Sequence[str], config_dir: str | Path | None, config_name: str | None
) -> list[str]:
    """Words as on the command line. Raises UserError for those that make a study."""
    if isinstance(overrides, Mapping) or not isinstance(overrides, (str, Sequence)):
        raise UserError(
            f"overrides are {type(overrides).__name__}: give words, as in "
            '["cell=gru", "task=charlm"] or "cell=gru task=charlm"'
        )
    words = shlex.split(overrides) if isinstance(overrides, str) else list(overrides)
    for one in words:
        if not isinstance(one, str):
            raise UserError(f'{one!r} is no word: give strings, as in "cell=gru"')
        if one in MANY:
            line = shlex.join(words)
            raise UserError(f"{one} makes a study: type {typed_as('train')} {line} in a shell")
        if one.startswith("-"):
            raise UserError(f'{one} is an option of the command: give words, as in "cell=gru"')
    if config_dir is not None:
        words.append(sources.search_path_word(str(config_dir)))
    if config_name is not None:
        words.append(f"{sources.CONFIG_NAME}={config_name}")
    return words
