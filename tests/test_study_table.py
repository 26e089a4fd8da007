"""A study's tables and rates, from studies of which the right numbers are known."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

import run_kit
from odyssey.study.formatting import differing, duration, number
from odyssey.study.progress import throughput, time_left
from odyssey.study.state import read_study
from odyssey.study.summary import closing_table, failures, sections
from records_kit import NOW, TINY, hold, let_go, plan, real_run, trial_rows, write_plan, write_run


def seeds(folder: Path) -> list[str]:
    """Two cells with three seeds each; gru has the best run, lstm the better median."""
    rows = plan({"cell": ["gru", "lstm"], "seed": [0, 1, 2]})
    write_plan(folder, rows)
    values = [1.0, 3.0, 4.0, 2.0, 2.5, 9.0]
    names = [row["run"] for row in rows]
    for name, value in zip(names, values, strict=True):
        write_run(folder, name, value=value, test=value + 0.1, seconds=10.0)
    return names


def test_seeds_of_an_variant_are_put_together_and_the_median_ranks(tmp_path: Path) -> None:
    names = seeds(tmp_path)
    (section,) = sections(read_study(tmp_path))
    assert (section.task, section.data, section.seeds) == ("charlm", "hello", True)
    assert [a.label for a in section.variants] == ["cell=lstm", "cell=gru"]
    lstm, gru = section.variants
    assert (lstm.median, gru.median) == (2.5, 3.0)
    assert lstm.best and gru.best and (lstm.best.value, gru.best.value) == (2.0, 1.0)
    assert (gru.best.name, gru.best.test, gru.seconds) == (names[0], 1.1, 10.0)


def test_a_diverged_run_is_counted_apart(tmp_path: Path) -> None:
    names = seeds(tmp_path)
    write_run(tmp_path, names[0], "diverged", value=0.5, seconds=1.0)
    gru = sections(read_study(tmp_path))[0].variants[1]
    assert gru.label == "cell=gru" and gru.median == 3.5 and gru.seconds == 10.0
    assert gru.best and gru.best.value == 3.0
    table = closing_table(read_study(tmp_path))
    row = next(line for line in table.splitlines() if "gru" in line)
    assert row.split() == "gru 2/3 3.0000 3.1000 3.5000 10 s 1 diverged".split()


def test_larger_is_better_where_the_monitor_says_so(tmp_path: Path) -> None:
    rows = plan({"cell": ["gru", "lstm"]})
    write_plan(tmp_path, rows)
    monitor = {"name": "accuracy", "mode": "max"}
    for row, value in zip(rows, (0.5, 0.75), strict=True):
        metrics = {"valid/accuracy": value, "test/accuracy": value}
        write_run(tmp_path, row["run"], monitor=monitor, metrics=metrics)
    table = closing_table(read_study(tmp_path))
    assert "charlm on hello: accuracy, larger is better" in table
    assert [line.split()[:2] for line in table.splitlines()[3:5]] == [["*", "lstm"], ["gru", "1/1"]]


def test_variants_of_different_tasks_or_data_are_not_ranked_together(tmp_path: Path) -> None:
    write_run(tmp_path, "gru-charlm-00000001", value=2.0)
    write_run(tmp_path, "gru-charlm-00000002", value=3.0, data={"name": "text8", "sha256": "0"})
    monitor = {"name": "perplexity", "mode": "min"}
    write_run(tmp_path, "gru-wordlm-00000003", monitor=monitor, metrics={"valid/perplexity": 90})
    found = sections(read_study(tmp_path))
    assert [(s.task, s.data, s.monitor, len(s.variants)) for s in found] == [
        ("charlm", "hello", "bits_per_char", 1),
        ("charlm", "text8", "bits_per_char", 1),
        ("wordlm", "hello", "perplexity", 1),
    ]
    assert "*" not in closing_table(read_study(tmp_path))  # alone, a variant is no winner


def test_runs_to_come_stand_with_their_variant(tmp_path: Path) -> None:
    rows = plan({"cell": ["gru", "lstm", "rnn"], "seed": [0, 1]})
    write_plan(tmp_path, rows)
    write_run(tmp_path, rows[0]["run"], value=2.0)
    write_run(tmp_path, rows[2]["run"], "failed", error="boom")
    write_run(tmp_path, "gru-charlm-00000099", value=1.0)  # trained apart from the study
    (section,) = sections(read_study(tmp_path))
    assert [a.label for a in section.variants] == [
        "cell=gru",
        "cell=lstm",
        "cell=rnn",
        "not in the plan",
    ]
    gru, lstm, rnn, _ = (variant.counts for variant in section.variants)
    assert (gru["finished"], gru["left"]) == (1, 1)
    assert (lstm["failed"], lstm["left"], rnn["left"]) == (1, 1, 2)


def test_a_study_of_nothing_done(tmp_path: Path) -> None:
    write_plan(tmp_path, plan({"cell": ["gru", "lstm"]}))
    table = closing_table(read_study(tmp_path))
    assert table.startswith("charlm: nothing validated yet") and "*" not in table
    assert closing_table(read_study(tmp_path / "none")) == ""


def test_long_tables_and_long_keys(tmp_path: Path) -> None:
    rows = plan({"cell._target_": ["my_package.my_module.a_module_below.MyCell"]}, "seed=0")
    write_plan(tmp_path, rows)
    for line in closing_table(read_study(tmp_path)).splitlines():
        assert len(line) <= 80
    rows = plan({"bptt.length": range(30)})
    write_plan(tmp_path, rows)
    assert "and 10 variants more (--all)" in closing_table(read_study(tmp_path), limit=20)
    assert len(closing_table(read_study(tmp_path)).splitlines()) == 33


def test_failures_give_error_log_and_command(tmp_path: Path) -> None:
    rows = plan({"cell": ["gru", "lstm"]}, "task.path=my text.txt")
    write_plan(tmp_path, rows)
    assert failures(read_study(tmp_path)) == ""
    write_run(tmp_path, rows[0]["run"], "failed", error="Traceback\n  boom\nValueError: no\n")
    write_run(tmp_path, rows[1]["run"])
    (tmp_path / rows[1]["run"] / "run.json").write_text("{")
    log = tmp_path / "logs" / f"{rows[0]['run']}.log"
    log.parent.mkdir()
    log.touch()
    assert failures(read_study(tmp_path)).splitlines() == [
        "2 runs failed:",
        f"  {rows[0]['run']}",
        "    ValueError: no",
        f"    log {log}",
        "    python train.py cell=gru task=charlm 'task.path=my text.txt'",
        f"  {rows[1]['run']}",
        "    run.json is not readable; mend it, or begin the run anew with this command",
        "    python train.py cell=lstm task=charlm 'task.path=my text.txt' resume=force",
    ]


def test_without_a_plan_the_command_is_the_run_s_own(tmp_path: Path) -> None:
    write_run(tmp_path, real_run().name, "failed", error="boom")
    told = failures(read_study(tmp_path))
    command = next(line for line in told.splitlines() if "train.py" in line)
    assert shlex.split(command)[:7] == ["python", "train.py", *TINY]
    # It is this very run that the command trains: its folder has the same name.
    words = [w for w in shlex.split(command)[2:] if not w.startswith("output_dir=")]
    assert run_kit.train(tmp_path / "again", *words) == 0
    assert run_kit.folder(tmp_path / "again").name == real_run().name
    for content in ("{", "a: 1", "\0"):
        (tmp_path / real_run().name / "overrides.yaml").write_text(content)
        assert "overrides.yaml is not readable" in failures(read_study(tmp_path))


def test_many_failures_with_one_error_are_one_entry(tmp_path: Path) -> None:
    rows = plan({"seed": range(12)})
    write_plan(tmp_path, rows)
    for number_, row in enumerate(rows):
        error = "ValueError: odd" if number_ == 5 else "MemoryError"
        write_run(tmp_path, row["run"], "failed", error=error)
    told = failures(read_study(tmp_path))
    assert told.startswith("12 runs failed:")
    assert told.count("train.py") == 2 and told.count("MemoryError") == 1
    assert "and 10 more with the same error (--all shows each)" in told
    assert failures(read_study(tmp_path), every=True).count("train.py") == 12
    write_plan(tmp_path, rows[:10])
    for row in rows[10:]:
        write_run(tmp_path, row["run"])
    assert failures(read_study(tmp_path)).count("train.py") == 10


def test_throughput_is_that_of_the_last_period_of_work(tmp_path: Path) -> None:
    for number_, at in enumerate((0, 5000, 5060, 5120)):  # seconds; the first is another day's
        write_run(tmp_path, f"gru-charlm-{number_:08x}", at=NOW + at, seconds=60.0)
    pace = throughput(read_study(tmp_path), NOW + 9999)
    assert pace and (pace.runs, pace.seconds, pace.hourly) == (3, 180.0, 60.0)
    holder = hold(write_run(tmp_path, "gru-charlm-00000009", "running", at=NOW + 5120))
    pace = throughput(read_study(tmp_path), NOW + 5300)
    assert pace and (pace.runs, pace.seconds) == (3, 360.0)
    let_go(holder)
    assert throughput(read_study(tmp_path / "none"), NOW) is None


def test_time_left(tmp_path: Path) -> None:
    rows = plan({"cell": ["gru", "lstm"], "bptt.length": [25, 100]})
    write_plan(tmp_path, rows)
    short, long, lstm, other = (row["run"] for row in rows)
    assert time_left(read_study(tmp_path), NOW) is None  # nothing runs
    path = write_run(tmp_path, lstm, "running", seconds=0.0)
    holder = hold(path)
    assert time_left(read_study(tmp_path), NOW) is None  # and nothing is finished
    write_run(tmp_path, short, seconds=30.0)
    # Three are left, of which one has run for 10 s; all are taken to last as long as the finished.
    assert time_left(read_study(tmp_path), NOW + 10) == 80.0
    write_run(tmp_path, long, seconds=90.0)
    assert time_left(read_study(tmp_path), NOW + 10) == 60.0 + 50.0
    assert time_left(read_study(tmp_path), NOW + 10, at_a_time=2) == 55.0
    let_go(holder)
    assert time_left(read_study(tmp_path), NOW) is None
    write_run(tmp_path, lstm)
    write_run(tmp_path, other)
    assert time_left(read_study(tmp_path), NOW) == 0.0


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.07484, "2.0748"), (float("nan"), "-"), (float("inf"), "inf"), (0.0, "0.0000"),
     (1e-5, "1e-05"), (1234.56, "1234.6"), (12345678.0, "1.23e+07"), (-1.5, "-1.5000")],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.97, "10 s"), (99, "99 s"), (120, "2.0 min"), (7200, "2.0 h"),
     (1e6, "11.6 d"), (float("nan"), "-")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_differs_between_runs() -> None:
    rows = plan({"cell": ["gru", "lstm"]}, "study=x")
    rows[0]["overrides"] += " optimizer.lr=0.001234567 'task.path=a b.txt'"
    rows[1]["overrides"] += " optimizer.lr=1.5 'task.path=a b.txt'"
    assert list(differing(trial_rows(rows)).values()) == ["gru lr=0.001235", "lstm lr=1.5"]
    assert list(differing(trial_rows(rows[:1])).values()) == ["gru"]
    rows = plan({"seed": [0]})
    rows[0]["variant"] = ""
    assert list(differing(trial_rows(rows)).values()) == [rows[0]["run"]]
    assert differing([]) == {}
    rows = plan({"a.x": [1, 2], "b.x": [1, 2]})
    assert list(differing(trial_rows(rows)).values())[0] == "a.x=1 b.x=1"
