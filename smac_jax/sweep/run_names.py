"""What the runs of a job are called: each has a folder of its own in the job's, named by this rule alone.

=====================  =====================  ==================  =====================
offline training       control                fine-tuning         learning curve
=====================  =====================  ==================  =====================
``offline``            ``control``            ``to-sac``          ``curve-sac.json``
``offline-at-3000``    ``control-at-3000``    ``to-sac-at-3000``  ``curve-sac-at-3000.json``
=====================  =====================  ==================  =====================

The second line is of a job that transfers from checkpoints of its offline training: ``offline-at-3000`` trains from the
checkpoint before it to the one after 3,000 updates. Nothing here imports JAX.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Kind = Literal["offline", "control", "online"]


class RunName(NamedTuple):
    """The parts of a run's name.

    Attributes:
      kind: offline training; the control, which goes on offline; or fine-tuning online.
      online: what fine-tunes, as part of a path; empty in other runs.
      checkpoint: offline updates after which the transfer begins; None after all of them.
    """

    kind: Kind
    online: str = ""
    checkpoint: int | None = None

    def __str__(self) -> str:
        return (f"to-{self.online}" if self.kind == "online" else self.kind) + self._suffix

    @property
    def curve(self) -> str:
        """The file of the learning curve that ends with this run of fine-tuning."""
        return f"curve-{self.online}{self._suffix}.json"

    @property
    def _suffix(self) -> str:
        return "" if self.checkpoint is None else f"-at-{self.checkpoint}"

    @classmethod
    def parse(cls, name: str) -> RunName | None:
        """Takes a run's name apart; None for what is no run's name."""
        found = re.fullmatch(r"(?:(offline|control)|to-(.+?))(?:-at-(\d+))?", name)
        if found is None:
            return None
        offline, online, checkpoint = found.groups()
        return cls(offline or "online", online or "", None if checkpoint is None else int(checkpoint))  # type: ignore

    @classmethod
    def of_curve(cls, file: str) -> RunName | None:
        """The run of fine-tuning that a curve's file is of; None for another file."""
        found = re.fullmatch(r"curve-(.+)\.json", file)
        return None if found is None else cls.parse(f"to-{found[1]}")

    @property
    def order(self) -> tuple[float, int, str]:
        """Sorts the runs of a job as they are carried out: checkpoint by checkpoint."""
        place = ("offline", "control", "online").index(self.kind)
        return (float("inf") if self.checkpoint is None else self.checkpoint), place, self.online
