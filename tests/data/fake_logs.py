"""Small logs whose observations are the number of the episode and the step."""

import numpy as np


def make_log(lengths, ends, next_observations=False, seed=0):
    """Returns a log whose observation is ``[episode, step]``.

    ``ends`` holds ``"terminal"``, ``"timeout"`` or ``"cut"`` for each episode. An episode that was cut has no flag,
    as at the end of a log. The true next observation of ``[e, t]`` is ``[e, t + 1]``.
    """
    rng = np.random.default_rng(seed)
    episode = np.repeat(np.arange(len(lengths)), lengths)
    step = np.concatenate([np.arange(length) for length in lengths])
    last = np.cumsum(lengths) - 1
    log = {
        "observations": np.stack([episode, step], axis=1).astype(np.float32),
        "actions": rng.uniform(-1, 1, (len(step), 3)).astype(np.float32),
        "rewards": rng.normal(size=len(step)).astype(np.float32),
        "terminals": np.zeros(len(step), bool),
        "timeouts": np.zeros(len(step), bool),
    }
    log["terminals"][last] = [end == "terminal" for end in ends]
    log["timeouts"][last] = [end == "timeout" for end in ends]
    if next_observations:
        log["next_observations"] = log["observations"] + np.array([0, 1], np.float32)
    return log
