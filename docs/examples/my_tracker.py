"""A tracker: posts the return of each evaluation to a chat, such as Slack, Mattermost or Discord.

    CHAT_WEBHOOK=https://hooks.slack.com/services/... smac-jax sweep --import=my_tracker.py --tracker=chat,trackio

These services provide a URL (a webhook) that accepts ``{"text": "..."}`` (for Discord, append ``/slack`` to it).
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping

from smac_jax.extend import TrackedRun, register_tracker


@register_tracker("chat")
class Chat:
    """The functions are those of :class:`smac_jax.extend.Tracker`."""

    def __init__(self) -> None:
        self.webhook = os.environ.get("CHAT_WEBHOOK", "")
        if not self.webhook:
            raise ValueError("set CHAT_WEBHOOK to the webhook of the chat")

    def open(self, run: TrackedRun) -> int:
        """Keeps the run. Posts stay in the chat, so a resumed run posts only the points that are new."""
        self.run = run
        return run.logged

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Posts the return if the point is an evaluation."""
        if "evaluation/return" not in metrics:
            return
        text = f"{self.run.name}, step {step:,}: return {metrics['evaluation/return']:.0f}"
        body = json.dumps({"text": text}).encode()
        request = urllib.request.Request(self.webhook, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()

    def close(self) -> None:
        """Does nothing: every post is sent at once."""
