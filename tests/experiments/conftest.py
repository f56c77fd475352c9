"""Programs define flags of the same names, and each has a process of its own; these tests import several in one."""

from __future__ import annotations

from typing import Any

from absl import flags

_define = flags.FlagValues.__setitem__


def _define_again(self: flags.FlagValues, name: str, flag: Any) -> None:
    """The program that was imported last has the flag."""
    if name in self:
        delattr(self, name)
    _define(self, name, flag)


flags.FlagValues.__setitem__ = _define_again  # type: ignore[method-assign]
