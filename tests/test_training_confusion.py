"""Metrics of classes that do not flatter: against scikit-learn, and as a run tells of them."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix, f1_score
from sklearn.utils.class_weight import compute_class_weight

import random_kit
from odyssey.study.state import read_study
from odyssey.study.status import text as status_text
from odyssey.tasks.base import Batch
from odyssey.tasks.classification import MOST_CLASSES, Classification
from odyssey.training.confusion import Confusion, class_table
from odyssey.training.module import Meter
from odyssey.training.record import RunRecord, no_better_than_commonest
from odyssey.training.wandb import run_summary
from run_kit import folder, train
from tasks_kit import make


class Some(Classification):
    """K classes without data."""

    load = batches = None  # type: ignore[assignment]


def some(labels: np.ndarray, classes: int, weights: str | None = None) -> Some:
    task = Some(None, data_dir=None, seed=0, window=None)
    task.count_classes(labels, classes, weights)
    return task


def draws(classes: int) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """Training labels, and logits with the right answers of a split; the last class is rare."""
    chance = random_kit.rng(classes)
    odds = chance.dirichlet(np.ones(classes))
    train = np.concatenate([np.arange(classes), chance.choice(classes, 300, p=odds)])
    targets = torch.from_numpy(chance.choice(classes, 157, p=odds))
    logits = torch.from_numpy(chance.normal(size=(157, classes)))
    logits[range(157), targets] += 1
    return train, logits, targets


@pytest.mark.parametrize("classes", [2, 3, 10, 60])
def test_metrics_of_a_split_in_batches_are_those_of_scikit_learn(classes: int) -> None:
    """60 classes: some are neither among the answers nor among the right ones."""
    train, logits, targets = draws(classes)
    task, meter = some(train, classes), Meter()
    for part in torch.arange(157).split(13):
        meter.add(task.all_scores(logits[part], Batch(None, targets[part])))
    found = task.all_metrics(meter.means(math.nan))
    answers, commonest = logits.argmax(1), np.bincount(train).argmax()
    assert list(found) == [m.name for m in task.measures]
    assert found == pytest.approx(
        {
            "accuracy": accuracy_score(targets, answers),
            "accuracy_common": accuracy_score(targets, np.full(157, commonest)),
            "macro_f1": f1_score(targets, answers, average="macro"),
            "nats": float(F.cross_entropy(logits, targets)),
        }
    )


def test_the_scores_of_each_sequence_add_up() -> None:
    train, logits, targets = draws(4)
    task, batch = some(train, 4), Batch(None, targets)
    each, whole = task.each_scores(logits, batch), task.scores(logits, batch)
    assert list(each) == list(whole)
    for name, (values, _) in each.items():
        assert float(values.sum()) == pytest.approx(float(whole[name][0])), name


def test_very_many_classes_have_no_macro_f1() -> None:
    classes = MOST_CLASSES + 1
    train, logits, targets = draws(classes)
    task = some(train, classes)
    scores = task.scores(logits, Batch(None, targets))
    assert set(scores) == {"right", "nats", "common"}
    found = task.metrics({n: float(s) / c for n, (s, c) in scores.items()})
    assert list(found) == [m.name for m in task.measures] == ["accuracy", "accuracy_common", "nats"]


@pytest.mark.parametrize("classes", [2, 7])
def test_balanced_weights_are_those_of_scikit_learn(classes: int) -> None:
    train, logits, targets = draws(classes)
    task, plain = some(train, classes, "balanced"), some(train, classes)
    weights = compute_class_weight("balanced", classes=np.arange(classes), y=train)
    assert task.weights.numpy() == pytest.approx(weights)
    assert weights[train].mean() == pytest.approx(1)
    nats = F.cross_entropy(logits, targets, reduction="none").numpy()
    batch = Batch(None, targets)
    assert float(task.loss(logits, batch)) == pytest.approx((weights[targets] * nats).mean())
    assert float(plain.loss(logits, batch)) == pytest.approx(nats.mean())
    weighted, unweighted = task.scores(logits, batch), plain.scores(logits, batch)
    assert all(float(weighted[n][0]) == float(unweighted[n][0]) for n in unweighted)


@pytest.mark.parametrize("classes", [2, 12])
def test_the_confusion_matrix_and_the_table_of_classes(tmp_path: Path, classes: int) -> None:
    _, logits, targets = draws(classes)
    names = [f'the "{i}", of $x_{i}$ 好' for i in range(classes)]
    confusion = Confusion(names)
    for part in torch.arange(157).split(31):
        confusion.add(logits[part], targets[part])
    answers = logits.argmax(1)
    expected = confusion_matrix(targets, answers, labels=range(classes))
    assert np.array_equal(confusion.matrix, expected)
    confusion.write(tmp_path)
    with (tmp_path / "confusion.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header[1:] == [row[0] for row in rows] == names
    assert np.array_equal(np.array([row[1:] for row in rows], int), expected)
    report = classification_report(
        targets, answers, labels=range(classes), output_dict=True, zero_division=np.nan
    )
    with (tmp_path / "classes.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    for k, row in enumerate(table):
        theirs = report[str(k)]
        assert int(row["count"]) == theirs["support"]
        for ours, name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            value = float(row[ours] or math.nan)
            assert value == pytest.approx(theirs[name], rel=1e-5, nan_ok=True), (k, ours)
    assert (tmp_path / "figures" / "confusion.png").read_bytes()[1:4] == b"PNG"


def test_targets_of_another_form_are_not_counted(tmp_path: Path) -> None:
    """As those of a task of the user's own, that are numbers, or none for some sequences."""
    confusion = Confusion(["a", "b"])
    confusion.add(torch.zeros(3, 2), torch.zeros(3))
    confusion.add(torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.int64))
    confusion.write(tmp_path)
    assert not list(tmp_path.iterdir())
    confusion.add(torch.eye(2).repeat(2, 1), torch.tensor([0, -1, 1, 1]))
    assert confusion.matrix.tolist() == [[1, 0], [1, 1]]


def test_a_class_that_is_nowhere_has_no_figures() -> None:
    rows = class_table(np.array([[3, 0, 0], [1, 0, 0], [0, 0, 0]]), ["a", "b", "c"])
    assert rows[1:] == [
        ["a", "3", "0.75", "4", "0.75", "1", "0.857143"],
        ["b", "1", "0.25", "0", "", "0", "0"],
        ["c", "0", "0", "0", "", "", ""],
    ]


@pytest.mark.parametrize(
    ("own", "common", "expected"), [(0.95, 0.95, True), (0.5, 0.9, True), (0.96, 0.95, False)]
)
def test_whether_a_run_is_better_than_the_commonest_class(
    own: float, common: float, expected: bool
) -> None:
    metrics = {"test/accuracy": own, "test/accuracy_common": common}
    assert no_better_than_commonest(metrics) is expected
    record = RunRecord("finished", metrics=metrics)
    assert run_summary(record)["no_better_than_commonest_class"] is expected
    for less in ({"test/accuracy": own}, metrics | {"test/accuracy_common": math.nan}, {}):
        assert no_better_than_commonest(less) is None
        assert "no_better_than_commonest_class" not in run_summary(
            RunRecord("finished", metrics=less)
        )


def spam(path: Path) -> Path:
    """19 texts of 20 are ham."""
    words = ("good", "warm", "lovely", "bright")
    chance = random_kit.rng()
    rows = [(f"a {chance.choice(words)} film no. {i}", "ham") for i in range(190)]
    rows += [(f"win a {chance.choice(words)} prize no. {i}", "spam") for i in range(10)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def test_a_run_that_learned_nothing_does_not_look_like_success(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An update of no size: what the random weights answer, or always ham."""
    out = tmp_path / "out"
    path = spam(tmp_path / "spam.csv")
    settings = [
        "cell=gru",
        "task=sentiment",
        "task.data=csv",
        f"task.path={path}",
        "model.hidden_size=3",
        "trainer.max_epochs=1",
        "optimizer.lr=1e-9",
        "model.backend=reference",
    ]
    assert train(out, *settings) == 0
    said = capfd.readouterr().out
    assert "2 classes: ham 95.0%, spam 5.0%" in said and "words a text: median" in said
    assert "no better than always answering the commonest class, which gives 0.9500" in said
    assert "test recall of each class, the lowest first: " in said
    run = folder(out)
    metrics = json.loads((run / "run.json").read_text())["metrics"]
    assert metrics["test/accuracy"] <= metrics["test/accuracy_common"] == 0.95
    assert metrics["test/macro_f1"] < 0.6
    for name in ("confusion.csv", "classes.csv", "figures/confusion.png"):
        assert (run / name).exists()
    study = status_text(read_study(run.parent), now=0.0)
    assert "1 finished run of 1 is no better in the test than always answering" in " ".join(
        study.split()
    )
    assert train(out, *settings) == 0  # done already: the same words
    again = capfd.readouterr().out
    assert "finished already" in again and "no better than always answering" in again


def test_balanced_weights_reach_a_run(tmp_path: Path) -> None:
    task = make(
        "sentiment", data="csv", path=str(spam(tmp_path / "a.csv")), class_weights="balanced"
    )
    labels = task._labels["train"]
    expected = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    assert task.weights.numpy() == pytest.approx(expected) and expected[1] > 9
