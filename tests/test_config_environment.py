"""W&B's environment variables are the defaults of the keys of `logger`."""

from __future__ import annotations

import pytest

from odyssey.config.compose import changed, compose
from odyssey.config.identity import run_name
from odyssey.errors import UserError

DEFAULTS = {
    "mode": "offline",
    "project": "odyssey",
    "entity": None,
    "tags": [],
    "notes": None,
    "dir": None,
}


def test_without_variables_it_is_offline() -> None:
    assert compose([]).logger == DEFAULTS


def test_variables_fill_what_is_not_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run_name(compose([]))
    given = {
        "MODE": "disabled",
        "PROJECT": "theirs",
        "ENTITY": "team",
        "TAGS": " first,second ,",
        "NOTES": "a note",
        "DIR": "there",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    cfg = compose([])
    assert cfg.logger == {
        "mode": "disabled",
        "project": "theirs",
        "entity": "team",
        "tags": ["first", "second"],
        "notes": "a note",
        "dir": "there",
    }
    assert run_name(cfg) == plain  # where a run is logged to is no part of what it is
    assert changed(cfg) == {}
    words = ["logger.mode=offline", "logger.project=mine", "logger.entity=me", "logger.dir=here"]
    typed = compose([*words, "logger.tags=[]", "logger.notes=x"]).logger
    assert list(typed.values()) == ["offline", "mine", "me", [], "x", "here"]


@pytest.mark.parametrize(
    ("value", "mode"),
    [("online", "online"), ("dryrun", "offline"), ("run", "online"), ("Offline", "offline")],
)
def test_modes_of_wandb(value: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", value)
    assert compose([]).logger.mode == mode


def test_an_unknown_mode_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "of")
    with pytest.raises(UserError, match=r"WANDB_MODE=of is .* set it to disabled, offline, online"):
        compose([])
    assert compose(["logger.mode=online"]).logger.mode == "online"
