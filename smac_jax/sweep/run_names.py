"""Names of the runs of a job, which are the names of their folders and of their learning curves.

=====================  =====================  ==================  =====================
offline training       control                fine-tuning         learning curve
=====================  =====================  ==================  =====================
``offline``            ``control``            ``to-sac``          ``curve-sac.json``
``offline-at-3000``    ``control-at-3000``    ``to-sac-at-3000``  ``curve-sac-at-3000.json``
=====================  =====================  ==================  =====================

The second line is for a job that transfers from checkpoints of its offline training: ``offline-at-3000`` trains from
the previous checkpoint to the one after 3,000 updates. This module does not import JAX.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Kind = Literal["offline", "control", "online"]


class RunName(NamedTuple):
    """The parts of a run's name.

    Attributes:
      kind: offline training; the control, which continues offline training; or online fine-tuning.
      online: the online algorithm, as part of a path; empty for other runs.
      checkpoint: the number of offline updates at the transfer; None for a transfer at the end of offline training.
    """

    kind: Kind
    online: str = ""
    checkpoint: int | None = None

    def __str__(self) -> str:
        return (f"to-{self.online}" if self.kind == "online" else self.kind) + self._suffix

    @property
    def curve(self) -> str:
        """Returns the file name of the learning curve that ends with this run of fine-tuning."""
        return f"curve-{self.online}{self._suffix}.json"

    @property
    def _suffix(self) -> str:
        return "" if self.checkpoint is None else f"-at-{self.checkpoint}"

    @classmethod
    def parse(cls, name: str) -> RunName | None:
        """Parses a run's name; None for a text that is not the name of a run."""
        found = re.fullmatch(r"(?:(offline|control)|to-(.+?))(?:-at-(\d+))?", name)
        if found is None:
            return None
        offline, online, checkpoint = found.groups()
        return cls(offline or "online", online or "", None if checkpoint is None else int(checkpoint))  # type: ignore

    @classmethod
    def of_curve(cls, file: str) -> RunName | None:
        """Returns the run of fine-tuning that belongs to a learning curve's file; None for any other file."""
        found = re.fullmatch(r"curve-(.+)\.json", file)
        return None if found is None else cls.parse(f"to-{found[1]}")

    @property
    def order(self) -> tuple[float, int, str]:
        """Returns a sort key that puts the runs of a job in the order in which they are trained: checkpoint by
        checkpoint.
        """
        place = ("offline", "control", "online").index(self.kind)
        return (float("inf") if self.checkpoint is None else self.checkpoint), place, self.online
