"""Documents: each is read from a state of zero, whatever the windows, lanes and backend."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
from torch import Tensor

import random_kit
from model_kit import model
from odyssey.data.documents import MARK, last_document, mark_documents
from odyssey.errors import UserError
from odyssey.nn import detach
from odyssey.tasks.windows import IGNORED, DocumentWindows
from tasks_kit import lm

SEPARATORS = {"lines": ["\n", "\n\n", "\n \t\n"], "blank": ["\n\n", "\n \n\n"], "<doc>": ["<doc>"]}


def documents(rng: np.random.Generator, letters: str = "abc d") -> list[str]:
    """Random documents, some of one character."""
    sizes = rng.integers(0, 12, rng.integers(4, 30))
    return ["x" + "".join(rng.choice(list(letters), n)) for n in sizes]


@pytest.mark.parametrize("kind", SEPARATORS)
def test_documents_are_what_is_between_separators(kind: str, rng: np.random.Generator) -> None:
    found = documents(rng, "abc d\n" if kind == "<doc>" else "abc d")
    found = [one.strip("\n") for one in found]
    text = "".join(f"{one}{rng.choice(SEPARATORS[kind])}" for one in found)
    raw = np.frombuffer(("\n\n" + text).encode(), np.uint8)
    marked = mark_documents(raw, kind).tobytes().decode()
    assert marked == MARK + "".join(one + MARK for one in found)
    assert last_document(text + "beg", kind) == "beg"
    with pytest.raises(UserError, match="task.documents=.* no "):
        mark_documents(np.frombuffer(b"one", np.uint8), kind)


def stream(rng: np.random.Generator, symbols: int = 6) -> Tensor:
    """Ids of documents, whose end is 0."""
    sizes = rng.integers(1, 15, rng.integers(3, 20))
    sizes[rng.integers(len(sizes))] = 40
    parts = [np.append(rng.integers(1, symbols, n), 0) for n in sizes]
    return torch.from_numpy(np.concatenate([[0], *parts]).astype(np.uint8))


@pytest.mark.parametrize("window", [1, 3, 16, None])
@pytest.mark.parametrize("lanes", [1, 2, 5, 40])
def test_each_target_is_in_one_window(window, lanes: int, rng: np.random.Generator) -> None:
    ids = stream(rng)
    windows = DocumentWindows(ids, lanes=lanes, window=window, end=0)
    seen = []
    for i in range(len(windows)):
        batch, places = windows.get(7, i), windows.places(i)
        inside = batch.targets != IGNORED
        assert torch.equal(batch.inputs[inside], ids[places[inside]].long())
        assert torch.equal(batch.targets[inside], ids[places[inside] + 1].long())
        assert torch.equal(batch.starts, (batch.inputs == 0) & inside)
        assert batch.reset == (i == 0) and (i > 0 or batch.starts[0].all())
        seen += places[inside].tolist()
    assert sorted(seen) == list(range(len(ids) - 1))
    with pytest.raises(IndexError):
        windows.get(0, len(windows))


@pytest.mark.parametrize(
    ("cell", "backend", "layers"),
    [
        ("rnn", "reference", 2),
        ("lstm", "compiled", 2),
        ("lstm", "library", 1),
        ("gru", "compiled", 1),
        ("lstm_peephole", "reference", 1),
        ("mut1", "compiled", 1),
    ],
)
def test_numbers_are_those_of_each_document_alone(cell, backend, layers, rng) -> None:
    ids = stream(rng)
    ours = model(
        cell,
        seed=random_kit.seed() % 1000,
        input="tokens",
        input_size=6,
        output_size=6,
        num_layers=layers,
        backend=backend,
        embedding_size=4,
    )
    ends = np.flatnonzero(ids.numpy() == 0)
    alone = torch.zeros(len(ids) - 1, 6, dtype=torch.float64)
    for a, b in itertools.pairwise(ends):
        alone[a:b] = ours(ids[a:b].long().unsqueeze(1))[0][:, 0]
    for window, lanes in ((1, 3), (5, 1), (7, 4), (None, 2), (16, 50)):
        windows = DocumentWindows(ids, lanes=lanes, window=window, end=0)
        state = None
        for i in range(len(windows)):
            batch = windows.get(0, i)
            logits, state = ours(batch.inputs, None, state, starts=batch.starts)
            state = detach(state)
            inside = batch.targets != IGNORED
            torch.testing.assert_close(logits[inside], alone[windows.places(i)[inside]])


@pytest.mark.parametrize("backend", ["reference", "compiled", "library"])
def test_gradients_are_those_of_each_document_alone(backend: str, rng) -> None:
    ids, seed = stream(rng), random_kit.seed() % 1000
    options = {"input": "tokens", "input_size": 6, "output_size": 6, "backend": backend}
    ours, other = (model("lstm", seed=seed, **options) for _ in range(2))
    windows = DocumentWindows(ids, lanes=3, window=None, end=0)
    batch = windows.get(0, 0)
    logits, _ = ours(batch.inputs, starts=batch.starts)
    torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum"
    ).backward()
    for a, b in itertools.pairwise(np.flatnonzero(ids.numpy() == 0)):
        logits, _ = other(ids[a:b].long().unsqueeze(1))
        targets = ids[a + 1 : b + 1].long()
        torch.nn.functional.cross_entropy(logits[:, 0], targets, reduction="sum").backward()
    for mine, its in zip(ours.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, its.grad)


@pytest.mark.parametrize("name", ["charlm", "wordlm"])
@pytest.mark.parametrize("kind", SEPARATORS)
def test_a_task_reads_documents_and_cuts_between_them(name, kind, rng, tmp_path) -> None:
    found = documents(rng, "abcé ")
    found = [re.sub(" +", " ", one).strip() for one in found]
    text = SEPARATORS[kind][0].join(found)
    try:
        task = lm(tmp_path, text, name, documents=kind, batch_size=1, min_count=1)
    except UserError as error:  # a long document may be the whole of the rest
        assert "too few documents" in str(error)
        return
    read = []
    for split in ("train", "valid", "test"):
        symbols = [task.vocabulary.symbols[i] for i in task._ids[split].tolist()]
        assert symbols[0] == symbols[-1] == MARK
        assert task.names()[task.vocabulary.start] == "<end>"
        read += " ".join(symbols).strip(f"{MARK} ").split(MARK)
    expected = [" ".join(one if name == "charlm" else one.split()) for one in found]
    counted = [one.strip() for one in read]
    assert len(counted) == len(expected)
    for a, b in zip(counted, expected, strict=True):
        for x, y in zip(re.split(" ", a), re.split(" ", b.strip()), strict=False):
            assert x in (y, "<unk>")
    assert any("documents: " in note for note in task.notes)


def test_a_sample_begins_each_document_anew(tmp_path) -> None:
    """A model that says what it read: after the end of a document its state is None."""
    task = lm(tmp_path, "ab\ncd\nab\ncd\nab\ncd\nab\ncd", documents="lines", batch_size=1)
    ids, calls = task.vocabulary.ids, []

    def step(inputs: Tensor, state):
        calls.append((inputs[:, 0].tolist(), state))
        n = 0 if state is None else state
        drawn = ids[["a", "b", MARK][n % 3]] if inputs.shape[0] == 1 else ids["d"]
        logits = torch.full((1, 1, len(ids)), -9.0)
        logits[..., drawn] = 9
        return logits, n + 1

    written = "".join(task.sample(step, length=7, temperature=0))
    assert written == "ab\nab\na"
    end = ids[MARK]
    assert [c for c in calls if c[1] is None] == [([end], None)] * 3
    calls.clear()
    next(iter(task.sample(step, length=1, temperature=0, prompt="ab\nc")))
    assert calls == [([end, ids["c"]], None)]


def test_too_few_documents_for_the_lanes_are_told(tmp_path) -> None:
    with pytest.raises(UserError, match="task.batch_size=5 or less"):
        lm(tmp_path, "abc\n" * 8, documents="lines", batch_size=6, split=[0.5, 0.25, 0.25])
