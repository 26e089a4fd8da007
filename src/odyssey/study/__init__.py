"""Studies: many runs, compared and searched, resumed and never lost.

The package can be called: `odyssey.study(folder)` is a study as an object, see
`odyssey.api.study.study`.

>>> import odyssey, tempfile
>>> words = "task=charlm task.data=hello trainer.max_steps=2 logger.mode=disabled study=first"
>>> out = tempfile.mkdtemp()
>>> run = odyssey.train(f"{words} output_dir={out} cell=gru")
changed ...
>>> odyssey.study(f"{out}/first")
<Study first: 1 finished>
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """This package, which can be called: `odyssey.study(folder)` is its public name.

    An attribute of `odyssey` that is a package's name is that package once anything of it has been
    imported, so a function could not have this name.
    """

    def __call__(self, folder: Any) -> Any:
        """A study folder as an object; see `odyssey.api.study.study`."""
        return import_module("odyssey.api.study").study(folder)


sys.modules[__name__].__class__ = _Package
