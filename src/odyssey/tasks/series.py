"""Real-valued series from a table: forecasting, or a value or class for each sequence.

Built on what is open to everyone: a subclass of ArrayTask, and one YAML file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey.config.own import typed
from odyssey.errors import UserError, did_you_mean, options
from odyssey.registry import plain
from odyssey.tasks.arrays import MEASURES, SPLITS, ArrayTask, Examples, Target
from odyssey.tasks.base import Batch, Other, Split
from odyssey.tasks.metric import Metric

if TYPE_CHECKING:
    import pandas as pd

SOURCES = ("eeg", "file")
EEG_SHA256 = "28656316df0004acfba7a5d98ab35f7314933a918636ec80f09604ad128b4417"
LARGEST = 1e30  # whose square float32 cannot hold, but whose variance float64 can
LATER = ("columns", "wanted", "labels", "target_centre", "target_width")  # in newer checkpoints
ENDINGS = (".csv", ".tsv", ".parquet", ".npy")


def _are_shares(value: Any) -> bool:
    """Whether these are three positive numbers whose sum is 1."""
    if not isinstance(value, Sequence) or len(value) != 3:
        return False
    if not all(type(share) in (int, float) and share > 0 for share in value):
        return False
    return abs(sum(value) - 1) <= 1e-6


def _are_columns(names: Sequence[Any]) -> bool:
    """Whether these are one or more names of columns, or their numbers."""
    return bool(names) and all(type(name) in (str, int) for name in names)


def _from_npy(path: Path) -> pd.DataFrame:
    """The array of a .npy file, (T), (T, X) or (T, …), as a table. Raises ValueError."""
    import pandas as pd

    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError("it does not begin as numpy.save begins a file")
    array = np.load(path, allow_pickle=False)
    if array.ndim == 0 or not array.size:
        raise ValueError(f"its array has the shape {array.shape}, and not (T, X)")
    if array.dtype.names is not None:
        return pd.DataFrame(array)
    return pd.DataFrame(array.reshape(len(array), -1))


class Series(ArrayTask):
    """A table with a row for each time step and a column for each quantity.

    Without `sequence`, the table is one long series: at each step the targets `horizon` steps ahead
    are predicted from the inputs so far, in windows of `bptt.length` steps with the state carried.
    The first 70% of the rows are for training, 15% each for validation and test, in their order.

    With `sequence`, a column that names the sequence of each row, each sequence has one target, the
    value (or with `classes` the class) in its last row; the sequences are split in the same shares,
    in an order drawn from `seeds.split`, fixed where that is not set.

    Inputs, and targets that are values, are scaled to mean 0 and standard deviation 1 over the
    training part; errors are in these standard deviations. Metrics: `rmse`, `mae`, and the rmse of
    two forecasts that know nothing, `rmse_mean` (the mean of the training part) and, of a
    forecast, `rmse_last` (the last value stays). Of classes: `accuracy`, `nats`, and
    `accuracy_common` of always naming the commonest class of the training part.

    `task.data=eeg` is a recording of 4 channels, 800 steps, that comes with Matplotlib;
    `task.data=file` reads `task.path`: .csv or .tsv with a head, .parquet, or .npy (T, X), whose
    columns are called 0, 1, ….
    """

    columns: list[Any]
    wanted: list[Any]
    labels: list[Any]  # of classes
    target_centre: list[float]
    target_width: list[float]

    def configure(
        self,
        *,
        inputs: Sequence[str | int] | None = None,
        targets: Sequence[str | int] | None = None,
        horizon: int = 1,
        sequence: str | int | None = None,
        classes: bool = False,
        split: Sequence[float] = (0.7, 0.15, 0.15),
        scale: bool = True,
    ) -> None:
        """
        inputs: columns that are read; None: all of numbers but `sequence` and, with it, `targets`
        targets: columns that are predicted; None: the inputs
        horizon: how many steps ahead, 1 or more
        sequence: the column that says to which sequence a row belongs
        classes: whether the target, one column, is a class and not a value
        split: shares of the training, validation and test part
        scale: whether to scale
        """
        self.inputs, self.targets_, self.horizon = inputs, targets, horizon
        self.sequence, self.classes_, self.split, self.scale = sequence, classes, split, scale
        self.file = self.cfg.path
        self.labels, self.target_centre, self.target_width = [], [], []
        self.streamed = sequence is None  # type: ignore[misc]
        self.causal = sequence is None

    @property
    def kind(self) -> Target:
        """Values or classes."""
        return "class" if self.classes_ else "value"

    @property
    def of_steps(self) -> bool:
        """Each step of one long series has a target."""
        return self.sequence is None

    @classmethod
    def check(cls, cfg: Any) -> Iterator[str]:
        """What is wrong with the options."""
        given, name = plain(cfg.options), "task.options."
        if cfg.data not in SOURCES:
            near = did_you_mean(cfg.data, SOURCES)
            yield f"task.data={cfg.data} is unknown{near}: type one of {options(SOURCES)}"
        elif (cfg.data == "file") != (cfg.path is not None):
            yield (
                f"task.data={cfg.data} and task.path={'null' if cfg.path is None else cfg.path} do "
                "not go together: type task.data=file task.path=FILE for a table of your own"
            )
        if cfg.path is not None and Path(cfg.path).suffix not in ENDINGS:
            ends = options(ENDINGS)
            yield f"task.path={cfg.path} is not a table: type a file that ends in {ends}"
        horizon = given.get("horizon", 1)
        if type(horizon) is not int or horizon < 1:
            yield f"{name}horizon={horizon} is out of range: type a whole number of 1 or more"
        elif horizon > 1 and given.get("sequence") is not None:
            yield (
                f"{name}horizon={horizon} is without effect with {name}sequence, where each "
                f"sequence has one target: leave one of them out"
            )
        shares: Any = given.get("split", (0.7, 0.15, 0.15))
        if not _are_shares(shares):
            yield f"{name}split={typed(shares)} is not three shares of 1: type [0.7,0.15,0.15], say"
        for key in ("inputs", "targets"):
            value = given.get(key)
            if value is None:
                continue
            if isinstance(value, (str, int, float, Mapping)) or not _are_columns(list(value)):
                of = value if isinstance(value, (str, int)) and value != "" else "a,b"
                yield f"{name}{key}={typed(value)} is not a list of columns: type [{of}]"
            elif len(set(value)) < len(value):
                yield f"{name}{key}={typed(value)} names a column twice: type each once"
        for key in ("scale", "classes"):
            if not isinstance(given.get(key, False), bool):
                yield (
                    f"{name}{key}={typed(given[key])} is not true or false: type "
                    f"{name}{key}=true or {name}{key}=false"
                )
        if not _are_columns([given.get("sequence", "")]) and given["sequence"] is not None:
            shown = typed(given["sequence"])
            yield f"{name}sequence={shown} is not a column: type its name, as in {name}sequence=id"
        if given.get("sequence") is not None and not given.get("targets"):
            yield (
                f"{name}sequence={given['sequence']} is without {name}targets: type the column "
                f"that is predicted for each sequence, as in {name}targets=[label]"
            )
        if given.get("classes") and len(list(given.get("targets") or ())) != 1:
            yield f"{name}classes=true is of one target: type it, as in {name}targets=[label]"

    @classmethod
    def draws_split(cls, cfg: Any) -> bool:
        """Sequences are split at random, one long series is cut in its order."""
        return plain(cfg.options).get("sequence") is not None

    # -- reading ----------------------------------------------------------------------------

    def parts(self) -> Mapping[Split, Examples]:
        """The parts, scaled; the baselines are computed on the way."""
        table = self._table()
        self.columns = self._input_columns(table)
        wanted = self.wanted = list(self.targets_) if self.targets_ is not None else self.columns
        self._see_columns(table, [*self.columns, *wanted])
        if self.sequence is None:
            return self._forecasts(table, wanted)
        return self._sequences(table, wanted)

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        if self.file is None:
            values, digest = _eeg()
            self.data = {"name": "eeg", "sha256": digest}
            return pd.DataFrame(values, columns=[f"channel{n}" for n in range(values.shape[1])])
        path = Path(self.file).expanduser()
        try:
            if path.suffix == ".npy":
                return _from_npy(path)
            if path.suffix == ".parquet":
                return pd.read_parquet(path)
            return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
        except Exception as error:  # of whichever library reads it
            what = " ".join(str(error).split())
            raise UserError(f"task.path={path} is not readable as {path.suffix}: {what}") from error

    def _input_columns(self, table: pd.DataFrame) -> list[Any]:
        if self.inputs is not None:
            return list(self.inputs)
        apart = {self.sequence, *(self.targets_ or () if self.sequence is not None else ())}
        numbers = table.select_dtypes("number").columns
        return [name for name in numbers if name not in apart]

    def _see_columns(self, table: pd.DataFrame, wanted: Sequence[Any]) -> None:
        """Raise UserError for a column that is not there, or holds no numbers."""
        names = [*wanted, *([self.sequence] if self.sequence is not None else [])]
        there = ", ".join(map(str, table.columns))
        for name in names:
            if name not in table.columns:
                raise UserError(
                    f"task.path={self.file} has no column {name}: its columns are {there}"
                )
        labels = set(self.targets_ or ()) if self.classes_ else set()
        for name in {*wanted} - labels:
            column = table[name]
            if column.dtype.kind not in "iufb":
                raise UserError(
                    f"task.path={self.file} has no real numbers in its column {name}: name "
                    "others with task.options.inputs and task.options.targets"
                )
            if not np.isfinite(column.to_numpy(float)).all():
                raise UserError(
                    f"task.path={self.file} has gaps or infinite numbers in its column {name}: "
                    "fill them in first, or leave the column out"
                )
            if np.abs(column.to_numpy(float)).max(initial=0) > LARGEST:
                raise UserError(
                    f"task.path={self.file} has numbers beyond {LARGEST:g} in its column "
                    f"{name}: give them in a larger unit, or leave the column out"
                )
        if not wanted:
            raise UserError(
                f"task.path={self.file} has no column of numbers: its columns are {there}"
            )
        if not self.columns:
            raise UserError(
                f"task.path={self.file} has no column of numbers to read beside "
                f"{options(map(str, {*wanted, self.sequence}))}: name some with task.options.inputs"
            )
        for name in {self.sequence} | labels:
            if name is not None and table[name].isna().any():
                raise UserError(
                    f"task.path={self.file} has gaps in its column {name}: fill them in first"
                )

    # -- one long series --------------------------------------------------------------------

    def _forecasts(self, table: pd.DataFrame, wanted: Sequence[Any]) -> dict[Split, Examples]:
        values = table[self.columns].to_numpy(float)
        future = table[list(wanted)].to_numpy(float)
        ends = np.cumsum(np.array(self.split) * len(table)).round().astype(int)
        bounds = dict(zip(SPLITS, zip([0, *ends[:2]], ends, strict=True), strict=True))
        least = self.horizon + 1
        for split, (start, end) in bounds.items():
            if end - start < least:
                raise UserError(
                    f"task.options.horizon={self.horizon} needs {least} rows or more in each part, "
                    f"and the {split} part has {end - start}: type a smaller one, or bring more"
                )
        train = slice(*bounds["train"])
        mean, deviation = _moments(values[train], self.scale)
        self.centre, self.width = mean.tolist(), deviation.tolist()
        centre, width = self._keep_target_scale(future[train])
        values, future = (values - mean) / deviation, (future - centre) / width
        self.usual = future[train].mean(0).tolist()
        return {
            split: self._ahead(values[start:end], future[start:end])
            for split, (start, end) in bounds.items()
        }

    def _ahead(self, values: NDArray[Any], future: NDArray[Any]) -> Examples:
        """Inputs, and beside what is to be predicted what the forecast that knows nothing says."""
        last, ahead = future[: -self.horizon], future[self.horizon :]
        return Examples([values[: -self.horizon]], [np.hstack([ahead, last])])

    def _keep_target_scale(self, train: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and standard deviation of the targets of the training part, which are kept."""
        centre, width = _moments(train, self.scale)
        self.target_centre, self.target_width = centre.tolist(), width.tolist()
        return centre, width

    # -- a target for each sequence ---------------------------------------------------------

    def _sequences(self, table: pd.DataFrame, wanted: Sequence[Any]) -> dict[Split, Examples]:
        groups = [rows for _, rows in table.groupby(self.sequence, sort=True)]
        if len(groups) < 3:
            raise UserError(
                f"task.options.sequence={self.sequence} names {len(groups)} sequences, too few to "
                "split: at least 3 are needed"
            )
        order = np.random.default_rng(self.split_seed).permutation(len(groups))
        ends = np.cumsum(np.array(self.split) * len(groups)).round().astype(int)
        ends = np.clip(ends, [1, 2, 3], [len(groups) - 2, len(groups) - 1, len(groups)])
        members = dict(zip(SPLITS, np.split(order, ends[:2]), strict=True))
        train = np.concatenate([groups[i][self.columns].to_numpy(float) for i in members["train"]])
        mean, deviation = _moments(train, self.scale)
        self.centre, self.width = mean.tolist(), deviation.tolist()
        last = {i: groups[i].iloc[-1] for i in range(len(groups))}
        targets: dict[int, Any]
        if self.classes_:
            names = sorted({last[i][wanted[0]] for i in members["train"]}, key=str)
            self.classes = len(names)
            self.labels = [name.item() if hasattr(name, "item") else name for name in names]
            number = {name: n for n, name in enumerate(names)}
            targets = {i: self._class_of(last[i][wanted[0]], number) for i in last}
            self.usual = [int(np.bincount([targets[i] for i in members["train"]]).argmax())]
        else:
            values = {i: last[i][list(wanted)].to_numpy(float) for i in last}
            own = np.array([values[i] for i in members["train"]])
            centre, width = self._keep_target_scale(own)
            targets = {i: (value - centre) / width for i, value in values.items()}
            self.usual = ((own - centre) / width).mean(0).tolist()
        return {
            split: Examples(
                [(groups[i][self.columns].to_numpy(float) - mean) / deviation for i in chosen],
                [targets[i] for i in chosen],
            )
            for split, chosen in members.items()
        }

    # -- other data -------------------------------------------------------------------------

    def load_other(self, path: Path, split: Split = "test") -> Other:
        """Another table with the same columns, in the scale of the run's training part."""
        table = self.other_table(path, answers=True)
        if self.sequence is None:
            if len(table) <= self.horizon:
                raise UserError(
                    f"data={path} has {len(table)} rows, too few for a forecast {self.horizon} "
                    f"ahead: give {self.horizon + 1} or more"
                )
            future = table[self.wanted].to_numpy(float)
            future = (future - np.array(self.target_centre)) / np.array(self.target_width)
            found = self._ahead(self._scaled(table), future)
        else:
            groups = [rows for _, rows in table.groupby(self.sequence, sort=True)]
            found = Examples(
                [self._scaled(rows) for rows in groups],
                [self._answer(rows.iloc[-1]) for rows in groups],
            )
        return self.other_examples(found, path)

    def other_table(self, path: Path, *, answers: bool) -> pd.DataFrame:
        """A table to be read by a restored model. answers: whether it has the targets too.

        Raises UserError.
        """
        if not self.columns:
            raise UserError(
                "the run is of an earlier version, which kept no scale of its targets: train it "
                "again"
            )
        if path.suffix not in ENDINGS:
            raise UserError(
                f"data={path} is not a table: give a file that ends in {options(ENDINGS)}"
            )
        self.file = str(path)
        table = self._table()
        self._see_columns(table, [*self.columns, *(self.wanted if answers else ())])
        return table

    def _scaled(self, table: pd.DataFrame) -> NDArray[Any]:
        return (table[self.columns].to_numpy(float) - np.array(self.centre)) / np.array(self.width)

    def _answer(self, row: Any) -> Any:
        """The target of a sequence, from its last row."""
        if self.classes_:
            return self._class_of(row[self.wanted[0]], {c: i for i, c in enumerate(self.labels)})
        value = row[self.wanted].to_numpy(float)
        return (value - np.array(self.target_centre)) / np.array(self.target_width)

    def names(self) -> Sequence[Any]:
        """The classes, or the columns that are predicted."""
        return (self.labels if self.classes_ else self.wanted) or super().names()

    def _class_of(self, value: Any, number: Mapping[Any, int]) -> int:
        if value not in number:
            raise UserError(
                f"task.path={self.file} has the class {value} in no sequence of the training "
                "part: bring more sequences of it, or leave it out"
            )
        return number[value]

    # -- baselines beside the metrics -------------------------------------------------------

    def load(self) -> None:
        """Read the table; the measures then have the baselines too."""
        super().load()
        self._set_measures()

    def export(self) -> dict[str, Any]:
        names = ("usual", "centre", "width", *LATER)
        return super().export() | {name: getattr(self, name) for name in names}

    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore(saved)
        self.usual, self.centre, self.width = saved["usual"], saved["centre"], saved["width"]
        for name in LATER:
            setattr(self, name, saved.get(name, []))
        self._set_measures()

    def _set_measures(self) -> None:
        own = MEASURES[self.kind]
        if self.kind == "class":
            common = "accuracy of the commonest class"
            more = [Metric("accuracy_common", "max", common, "accuracy")]
        else:
            unit = "standard deviations" if self.scale else "the target's units"
            own = tuple(Metric(m.name, m.mode, m.label, unit) for m in own)
            more = [Metric("rmse_mean", "min", "RMSE of the mean", unit)]
            if self.of_steps:
                more.append(Metric("rmse_last", "min", "RMSE of the last value", unit))
        self.measures = (*own, *more)  # type: ignore[misc]

    def _outputs(self) -> int:
        return self.classes or 0 if self.kind == "class" else len(self.usual)

    def right(self, batch: Batch) -> Tensor:
        """The values to be predicted, without those of the forecast beside them."""
        several = self.kind == "value" and self.of_steps
        return batch.targets[..., : len(self.usual)] if several else batch.targets

    def read(self, inputs: Any) -> Batch:
        """A batch of series of the user's own, (T, X) in the units of the table, or several."""
        batch = super().read(inputs)
        scaled = (batch.inputs - torch.tensor(self.centre)) / torch.tensor(self.width)
        return batch._replace(inputs=scaled.to(batch.inputs.dtype))

    def _sums(self, logits: Tensor, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Those of the task, and those of forecasts that know nothing."""
        last = None
        if self.kind == "value" and self.of_steps:
            right, last = batch.targets.split(len(self.usual), -1)
            batch = batch._replace(targets=right)
        found = super()._sums(logits, batch)
        count = next(iter(found.values()))[1]
        targets = batch.targets
        if self.kind == "class":
            return found | {"common": ((targets == self.usual[0]).sum(), count)}
        usual = torch.tensor(self.usual, dtype=targets.dtype, device=targets.device)
        found["mean"] = ((targets - usual).square().sum(), count)
        if last is not None:
            found["last"] = ((targets - last).square().sum(), count)
        return found

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        found = super().metrics(means)
        if self.kind == "class":
            return found | {"accuracy_common": means["common"]}
        found["rmse_mean"] = math.sqrt(means["mean"])
        if "last" in means:
            found["rmse_last"] = math.sqrt(means["last"])
        return found


def _eeg() -> tuple[NDArray[np.float64], str]:
    """The recording that comes with Matplotlib: (800, 4), and its SHA-256. Raises UserError."""
    import matplotlib

    file = Path(matplotlib.get_data_path()) / "sample_data" / "eeg.dat"
    content = file.read_bytes() if file.is_file() else b""
    digest = hashlib.sha256(content).hexdigest()
    if digest != EEG_SHA256:
        raise UserError(
            f"task.data=eeg is not in Matplotlib {matplotlib.__version__} as it was: type "
            "task.data=file task.path=FILE"
        )
    return np.frombuffer(content, float).reshape(800, 4), digest


def _moments(values: NDArray[Any], scale: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and standard deviation of each column; 0 and 1 where nothing is scaled or varies."""
    if not scale:
        return np.zeros(values.shape[1]), np.ones(values.shape[1])
    deviation = values.std(0)
    return values.mean(0), np.where(deviation > 0, deviation, 1.0)
