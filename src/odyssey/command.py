"""What the scripts' commands share: sentences for mistakes, and exit statuses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from odyssey.errors import UserError
from odyssey.output import mute


class Parser(argparse.ArgumentParser):
    """Raises UserError for a mistake, one sentence, as everywhere in Odyssey."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists the options")


def exit_status(action: Callable[[], None], on_error: int = 2) -> int:
    """Do it: 0; `on_error` after its error's sentences; 130 on Ctrl-C; 0 if its reader has gone."""
    try:
        action()
        return 0
    except UserError as error:
        for message in error.messages:
            print(f"error: {message}", file=sys.stderr)
        return on_error
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        mute()
        return 0
