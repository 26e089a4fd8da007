"""Progress bars: tqdm's, of the notebook where one can show it. tqdm is loaded when one is made."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any


def new_bar(**options: Any) -> Any:
    """A bar of tqdm, a widget in a notebook and a line on standard error elsewhere.

    options: as tqdm takes them; with `disable=None` there is no bar without a notebook or terminal
    """
    kind = notebook_bar()
    if kind is None:
        from tqdm import tqdm

        return tqdm(**options)
    options.pop("file", None)  # the widget has its own place
    return kind(**options | {"disable": bool(options.get("disable"))})


def notebook_bar() -> Any:
    """tqdm's bar for notebooks; None where no kernel runs this process, or it has no ipywidgets.

    tqdm.auto would warn in a kernel without ipywidgets.
    """
    module = sys.modules.get("IPython")  # a kernel has loaded it
    shell = module.get_ipython() if module is not None else None
    if shell is None or not hasattr(shell, "kernel") or find_spec("ipywidgets") is None:
        return None
    from tqdm.notebook import tqdm

    return tqdm
