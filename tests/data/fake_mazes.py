"""Files of D4RL's AntMaze, made as D4RL's scripts make them."""

import h5py
import numpy as np

GOAL = np.array([0.7, 8.9], np.float32)
ANTMAZE_FILE = "Ant_maze_big-maze_noisy_multistart_True_multigoal_True_sparse_fixed.hdf5"


def antmaze_log(lengths, seed=0, timeouts=True, one_reward=False):
    """Returns a file of AntMaze: walks of at most 0.3 m per step, some to the goal, whose rewards are then replaced.

    Args:
    lengths: the number of rows of each logged episode, whose last row is marked as a time-out.
      seed: the seed of the walks.
      timeouts: whether the marks are at the ends of the episodes. Otherwise they are ten rows later, as in -v0.
      one_reward: whether only the first row at the goal in an episode has a reward, as in umaze-diverse.
    """
    rng = np.random.default_rng(seed)
    rows, goals, last = [], [], np.cumsum(lengths) - 1
    for number, length in enumerate(lengths):
        start = GOAL + (rng.uniform(2, 3, 2) if number % 3 else rng.uniform(-0.1, 0.1, 2))
        aim = GOAL if number % 2 == 0 else GOAL + 6
        place, walk = start, []
        for _ in range(length):
            walk.append(place)
            away = aim - place
            place = place + away * min(1, 0.25 / max(np.linalg.norm(away), 1e-9)) + rng.normal(size=2) * 0.02
        rows += walk
        goals += [GOAL + rng.uniform(0, 1, 2)] * length
    observations = rng.normal(size=(len(rows), 29)).astype(np.float32)
    observations[:, :2] = rows
    # D4RL's relabel_antmaze_rewards.py: the reward of row i depends on the position in row i + 1, even of another
    # episode
    at_goal = np.append(np.linalg.norm(observations[1:, :2] - GOAL, axis=1) <= 0.5, False)
    if one_reward:
        episode = np.cumsum(np.isin(np.arange(len(rows)), last)) - np.isin(np.arange(len(rows)), last)
        first = [np.flatnonzero(at_goal & (episode == e))[:1] for e in range(len(lengths))]
        at_goal = np.isin(np.arange(len(rows)), np.concatenate(first))
    marks = np.zeros(len(rows), bool)
    marks[last if timeouts else np.minimum(last + 10, len(rows) - 1)] = True
    return {
        "observations": observations,
        "actions": rng.uniform(-1, 1, (len(rows), 8)).astype(np.float32),
        "rewards": at_goal.astype(np.float32),
        "terminals": at_goal,
        "timeouts": marks,
        "infos/goal": np.array(goals, np.float32),
    }


def write(path, log):
    """Writes these arrays to an HDF5 file."""
    with h5py.File(path, "w") as file:
        for key, value in log.items():
            file[key] = value
    return path
