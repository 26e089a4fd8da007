"""The task `series`: what is read, predicted and compared with, on tables made here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import random_kit
from odyssey.cli import main
from odyssey.config.compose import compose
from odyssey.errors import UserError
from odyssey.tasks import build
from odyssey.tasks.base import Batch

PARTS = ("train", "valid", "test")


def make(path: Path | None, *words: str, window: int | None = 7) -> Any:
    """The task, loaded."""
    where = [] if path is None else ["task.data=file", f"task.path={path}"]
    cfg = compose(["task=series", *where, *words])
    task = build(cfg.task, data_dir=None, seed=3, window=window)
    task.load()
    return task


def table(rows: int = 41) -> pd.DataFrame:
    values = random_kit.rng().normal(size=(rows, 3)).cumsum(0) * [1, 10, 100] + [5, -7, 0]
    return pd.DataFrame(values, columns=["a", "b", "c"])


def write(frame: pd.DataFrame, folder: Path, ending: str) -> Path:
    file = folder / f"table{ending}"
    if ending == ".npy":
        np.save(file, frame.to_numpy())
    elif ending == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, sep="\t" if ending == ".tsv" else ",", index=False)
    return file


def whole(task: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of a part, lane by lane put end to end."""
    batches = task.batches(split)
    parts = [batches.get(0, i) for i in range(len(batches))]
    inputs, targets = (torch.cat([getattr(b, k) for b in parts]) for k in ("inputs", "targets"))
    return tuple(v.transpose(0, 1).flatten(0, 1).numpy() for v in (inputs, targets))  # type: ignore[return-value]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".npy"])
@pytest.mark.parametrize("horizon", [1, 3])
def test_the_target_is_the_value_some_steps_ahead(
    ending: str, horizon: int, tmp_path: Path
) -> None:
    frame = table()
    task = make(write(frame, tmp_path, ending), f"task.options.horizon={horizon}")
    ends = [round(0.7 * 41), round(0.85 * 41), 41]
    train = frame.to_numpy()[: ends[0]]
    scaled = (frame.to_numpy() - train.mean(0)) / train.std(0)
    for split, start, end in zip(PARTS, [0, *ends], ends, strict=False):
        part = scaled[start:end]
        lanes = task.cfg.batch_size if split == "train" else 1
        kept = (len(part) - horizon) // lanes * lanes
        inputs, targets = whole(task, split)
        np.testing.assert_allclose(inputs, part[:kept], rtol=1e-5, atol=1e-5)
        ahead = part[horizon : horizon + kept]
        np.testing.assert_allclose(targets[:, :3], ahead, rtol=1e-5, atol=1e-5)
    assert task.spec.causal and task.spec.head == "step" and task.streamed
    assert (task.spec.input_size, task.spec.output_size) == (3, 3)


def test_columns_are_chosen_and_scaling_can_be_left_out(tmp_path: Path) -> None:
    frame = table()
    file = write(frame, tmp_path, ".csv")
    words = ["task.options.inputs=[c,a]", "task.options.targets=[b]", "task.options.scale=false"]
    task = make(file, *words, "task.batch_size=1")
    inputs, targets = whole(task, "valid")
    start, end = round(0.7 * 41), round(0.85 * 41)
    rows = frame.iloc[start : end - 1]
    np.testing.assert_allclose(inputs, rows[["c", "a"]], rtol=1e-5)
    np.testing.assert_allclose(targets[:, :1], frame[["b"]].iloc[start + 1 : end], rtol=1e-5)
    assert task.measures[0].unit == "the target's units"


def test_metrics_and_baselines_are_what_they_say(tmp_path: Path) -> None:
    task = make(write(table(97), tmp_path, ".csv"), "task.eval_batch_size=1", window=9)
    inputs, targets = whole(task, "test")
    ahead, train = targets[:, :3], whole(task, "train")[0]
    guesses = random_kit.rng("guess").normal(size=ahead.shape).astype(np.float32)
    sums: dict[str, list[float]] = {}
    batches, at = task.batches("test"), 0
    for i in range(len(batches)):
        batch = batches.get(0, i)
        steps = len(batch.inputs)
        logits = torch.from_numpy(guesses[at : at + steps]).unsqueeze(1)
        for name, (total, count) in task.scores(logits, batch).items():
            sums.setdefault(name, [0.0, 0.0])
            sums[name][0] += float(total)
            sums[name][1] += float(count)
        at += steps
    found = task.metrics({name: total / count for name, (total, count) in sums.items()})
    wanted = {
        "rmse": math.sqrt(np.mean((guesses - ahead) ** 2)),
        "mae": np.mean(np.abs(guesses - ahead)),
        "rmse_last": math.sqrt(np.mean((inputs - ahead) ** 2)),
        "rmse_mean": math.sqrt(np.mean(ahead**2)),  # scaled: the training part's mean is 0
    }
    assert abs(train.mean()) < 0.2
    assert list(found) == [m.name for m in task.measures]
    assert found == pytest.approx(wanted, rel=1e-4)


def sequences(kinds: int = 12) -> pd.DataFrame:
    rng, rows = random_kit.rng(), []
    for name in range(kinds):
        for step in range(int(rng.integers(2, 9))):
            rows.append(
                [f"s{name:02}", rng.normal(), step, name / 10, "even odd".split()[name % 2]]
            )
    return pd.DataFrame(rows, columns=["who", "x", "t", "value", "kind"])


def test_a_value_for_each_sequence(tmp_path: Path) -> None:
    frame = sequences()
    words = ["task.options.sequence=who", "task.options.targets=[value]", "task.batch_size=3"]
    task = make(write(frame, tmp_path, ".csv"), *words, "task.options.inputs=[x,t]")
    seen = []
    for split in PARTS:
        batches = task.batches(split)
        for i in range(len(batches)):
            batch = batches.get(0, i)
            assert batch.inputs.shape[2] == 2 and batch.targets.shape == (len(batch.lengths), 1)
            seen += batch.targets[:, 0].tolist()
    groups = [rows["value"].iloc[-1] for _, rows in frame.groupby("who")]
    assert len(seen) == 12 and task.spec.head == "last" and not task.streamed
    assert np.corrcoef(sorted(seen), sorted(groups))[0, 1] == pytest.approx(1, abs=1e-6)
    assert [m.name for m in task.measures] == ["rmse", "mae", "rmse_mean"]


def test_a_class_for_each_sequence(tmp_path: Path) -> None:
    words = ["task.options.sequence=who", "task.options.targets=[kind]"]
    words += ["task.options.classes=true", "task.options.inputs=[x]"]
    task = make(write(sequences(), tmp_path, ".parquet"), *words)
    assert task.spec.output_size == 2
    batch = task.batches("valid").get(0, 0)
    logits = torch.full((len(batch.targets), 2), -3.0)
    logits[:, task.usual[0]] = 3.0
    scores = {n: float(s) / float(c) for n, (s, c) in task.scores(logits, batch).items()}
    found = task.metrics(scores)
    share = float((batch.targets == task.usual[0]).float().mean())
    assert found["accuracy"] == found["accuracy_common"] == pytest.approx(share)


def test_padding_counts_for_nothing(tmp_path: Path) -> None:
    task = make(write(table(), tmp_path, ".csv"))
    targets = torch.randn(4, 2, 6)
    logits, lengths = torch.randn(4, 2, 3), torch.tensor([4, 2])
    one = task.loss(logits, Batch(torch.randn(4, 2, 3), targets, lengths))
    targets[2:, 1], logits[2:, 1] = math.nan, math.nan
    assert torch.equal(one, task.loss(logits, Batch(torch.randn(4, 2, 3), targets, lengths)))


def test_the_default_is_a_recording_that_matplotlib_brings() -> None:
    task = make(None)
    assert task.data["name"] == "eeg" and task.spec.input_size == 4
    assert sum(len(whole(task, split)[0]) for split in PARTS) == pytest.approx(797, abs=4)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("task.data=eg", "task.data=eg is unknown (did you mean 'eeg'?)"),
        ("task.data=file", "task.data=file and task.path=null do not go together"),
        ("task.options.horizon=0", "task.options.horizon=0 is out of range"),
        ("task.options.split=[0.5,0.6,0.1]", "is not three shares of 1"),
        ("task.options.inputs=a", "task.options.inputs=a is not a list of columns: type [a]"),
        ("task.options.sequence=a", "task.options.sequence=a is without task.options.targets"),
        ("task.options.classes=true", "task.options.classes=true is of one target"),
        ("task.options.horizonn=2", "(did you mean 'horizon'?)"),
    ],
)
def test_wrong_options_are_one_sentence(words: str, sentence: str) -> None:
    with pytest.raises(UserError) as raised:
        compose(["task=series", words])
    (message,) = raised.value.messages
    assert sentence in message


@pytest.mark.parametrize(
    ("content", "words", "sentence"),
    [
        ("a,b\n1,x\n2,y\n", "task.options.inputs=[b]", "has no real numbers in its column b"),
        ("a,b\n1,\n2,3\n", "task.options.targets=[b]", "has gaps or infinite numbers"),
        ("a\n1\n", "task.options.targets=[z]", "has no column z: its columns are a"),
        ("a\n" + "1\n" * 9, "task.options.horizon=5", "needs 6 rows or more in each part"),
        ("", "seed=0", "is not readable as .csv"),
        ("who,k,v\na,1,3\nb,2,4\n", "seq", "names 2 sequences, too few to split"),
    ],
)
def test_a_table_that_will_not_do(content: str, words: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(content)
    chosen = [words]
    if words == "seq":
        chosen = ["task.options.sequence=who", "task.options.targets=[k]"]
    with pytest.raises(UserError, match="task") as raised:
        make(file, *chosen)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("model.bidirectional=true", "model.bidirectional=true is not allowed with task=series"),
        ("model.embedding_size=3", "model.embedding_size=3 is without effect with task=series"),
    ],
)
def test_a_model_that_does_not_go_with_it(
    word: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["task=series", word, "logger.mode=disabled"]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_runs_from_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study by content: the same table elsewhere is the same run; sampling has a sentence."""
    monkeypatch.chdir(tmp_path)
    frame = table(200)
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path / "other"):
        write(frame, folder, ".csv")
    words = ["task=series", "task.data=file", "trainer.max_steps=6", "model.hidden_size=5"]
    words += ["logger.mode=disabled", "trainer.progress_bar=false", "trainer.max_epochs=null"]
    assert main([*words, "task.path=table.csv"]) == 0
    assert main([*words, "task.path=other/table.csv"]) == 0
    assert len(list(Path("outputs/default").glob("lstm-series-*"))) == 1
    assert main(["-m", *words, "task.path=table.csv", "cell=rnn,gru", "study=s"]) == 0
    assert len(list(Path("outputs/s").glob("[rg]*-series-*"))) == 2


SEQUENCE = ["task.options.sequence=id", "task.options.targets=[label]"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["split=3"], "task.options.split=3 is not three shares of 1"),
        (["split=null"], "task.options.split=null is not three shares of 1"),
        (["split=[a,b,c]"], "task.options.split=[a,b,c] is not three shares of 1"),
        (["inputs=[[a]]"], "task.options.inputs=[[a]] is not a list of columns: type [a,b]"),
        (["inputs={a:1}"], "task.options.inputs={a:1} is not a list of columns: type [a,b]"),
        (["targets=[a,a]"], "task.options.targets=[a,a] names a column twice"),
        (["scale=maybe"], "task.options.scale=maybe is not true or false"),
        (["classes=7", "targets=[b]"], "task.options.classes=7 is not true or false"),
        (["sequence=1.5", "targets=[b]"], "task.options.sequence=1.5 is not a column"),
        (["sequence=a", "targets=[b]", "horizon=2"], "task.options.horizon=2 is without effect"),
    ],
)
def test_options_of_another_type_are_one_sentence(
    words: list[str], sentence: str, tmp_path: Path
) -> None:
    file = write(table(), tmp_path, ".csv")
    with pytest.raises(UserError) as raised:
        make(file, *[f"task.options.{word}" for word in words])
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words", "sentence"),
    [
        ("id,v,label\n1,2,x\n1,3,\n2,4,y\n3,5,x\n", ["classes=true"], "gaps in its column label"),
        ("id,v,label\n,2,1\n1,3,2\n2,4,1\n3,5,2\n", [], "gaps in its column id"),
        ("id,label\n1,3\n2,4\n3,5\n", [], "has no column of numbers to read beside id, label"),
        ("id,v,label\n1,2e300,1\n2,4,1\n3,5,2\n", [], "numbers beyond 1e+30 in its column v"),
    ],
)
def test_no_row_of_a_sequence_is_lost_without_a_word(
    text: str, words: list[str], sentence: str, tmp_path: Path
) -> None:
    file = tmp_path / "table.csv"
    file.write_text(text)
    with pytest.raises(UserError) as raised:
        make(file, *SEQUENCE, *[f"task.options.{word}" for word in words])
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"not numpy", "it does not begin as numpy.save begins a file"),
        (np.float64(3), "its array has the shape (), and not (T, X)"),
        (np.zeros((0, 2)), "its array has the shape (0, 2), and not (T, X)"),
    ],
)
def test_npy_files_without_a_table(content: Any, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "table.npy"
    file.write_bytes(content) if isinstance(content, bytes) else np.save(file, content)
    with pytest.raises(UserError) as raised:
        make(file)
    assert sentence in str(raised.value)


def test_the_fields_of_a_structured_npy_file_are_columns(tmp_path: Path) -> None:
    frame = table()
    np.save(tmp_path / "table.npy", frame.to_records(index=False))
    found = make(tmp_path / "table.npy", "task.options.inputs=[a,c]")
    same = make(write(frame, tmp_path, ".parquet"), "task.options.inputs=[a,c]")
    for split in PARTS:
        for one, other in zip(whole(found, split), whole(same, split), strict=True):
            np.testing.assert_array_equal(one, other)
