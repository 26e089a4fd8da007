"""scripts/benchmark.py: what is timed when, a row, the table, the file and the picture."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from odyssey.benchmark import cells, main, timing

CPU = torch.device("cpu")


def test_a_row_has_medians_and_the_middle_half_of_the_ratios():
    row = timing.summarize("a", "b", [(1, 2), (4, 2), (6, 2), (8, 2), (10, 2)], limit=1.5)
    assert (row.ours, row.other, row.ratio, row.low, row.high) == (6, 2, 3, 2, 4)
    assert (row.pairs, row.limit) == (5, 1.5)


def test_every_second_round_is_in_reverse_and_each_is_run_before_it_is_timed():
    order = []
    works = {name: lambda name=name: order.append(name) for name in "abc"}
    times = timing.rounds(works, device=CPU, count=3, warmup=1)
    assert "".join(order) == "abc" + "aabbcc" + "ccbbaa" + "aabbcc"
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 3, "b": 3, "c": 3}


def test_the_table():
    row = timing.Row("lstm library", 0.00125, "torch.nn.LSTM", 0.0025, 0.5, 0.4, 0.625, 9, 1.25)
    head, line, text = timing.table([row]).splitlines()
    assert head.split() == ["what", "ms", "against", "ms", "ratio", "middle", "half", "limit"]
    assert set(line) == {"-"} and len(line) == len(head)
    columns = f"{'lstm library':<52}     1.25  {'torch.nn.LSTM':<24}     2.50    0.50"
    assert text == f"{columns}  0.40 - 0.62  1.25"


def test_parts_write_a_table_a_file_and_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cells, "SIZES", ((3, 2, 4),))
    monkeypatch.setattr(cells, "INPUTS", (5,))
    out, picture = tmp_path / "new" / "benchmark.json", tmp_path / "speed.svg"
    options = ["variants", "compiled", "--pairs", "1", "--cells", "mgu,gru"]
    options += ["--output", str(out), "--figure", str(picture)]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *options])
    assert main.main() == 0
    content = json.loads(out.read_text())
    assert list(content) == ["device", "threads", "versions", "git", "rows", "facts"]
    rows = [(row["what"], row["against"]) for row in content["rows"]]
    size = "T=3 B=2 X=5 H=4"
    assert rows[:2] == [(f"{k} reference  T=3 B=2 H=4", "torch.nn.LSTM") for k in ("mgu", "gru")]
    assert (f"mgu compiled  {size}", "torch.nn.LSTM") in rows
    assert (f"gru compiled  {size}", "gru reference") in rows
    printed = capsys.readouterr().out
    assert all(what in printed for what, _ in rows)
    assert f"written to {out}\ndrawn in {picture}\n" in printed
    assert "<svg" in picture.read_text()


@pytest.mark.parametrize("options", [["stpe"], ["--cells", "lstn"]])
def test_what_it_does_not_know_is_refused_with_the_names(options, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *options])
    assert main.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"no part or cell is called {options[-1]}: parts are step, library" in line
    assert "lstm_peephole" in line
