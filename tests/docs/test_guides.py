"""The code of the guides runs, block after block, as in a reader's session."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from smac_jax import load_dataset, registry
from smac_jax.algorithms import make_offline
from smac_jax.presets.bases import ADDITIONS, DIFFERENCES
from smac_jax.runs.history import Evaluations

PAGES = Path(__file__).parents[2] / "docs" / "pages"
EXAMPLES = PAGES.parent / "examples"


def test_the_algorithm_of_the_guide_trains(capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    names = {"__name__": "guide"}
    with registry.temporary():
        first, *others = blocks("add-an-algorithm.md")
        exec(first, names)
        losses = names["off"].metrics["policy_loss"]
        assert losses.shape[1:] == (2,)  # seeds
        assert np.isfinite(losses).all()
        assert np.ptp(losses[-1]) > 0
        assert make_offline("selective").config.sharpness == 2.0
        for block in others:
            exec(block, names)
    sys.modules.pop("my_algorithm", None)
    assert names["off"].algorithm.config.sharpness == 3.0
    assert "ResidualActor" in capsys.readouterr().out


def test_the_continuation_of_the_guide_trains(capsys):
    exec(blocks("continue-online.md")[0], {})
    assert capsys.readouterr().out.splitlines()[-1] == "iql all"


def test_the_page_of_the_bases_has_every_difference():
    page = (PAGES / "bases.md").read_text(encoding="utf-8")
    for name, fields in DIFFERENCES.items():
        assert f"| `{name}` |" in page
        assert all(f"| `{field}` |" in page for field in fields)
    assert all(f"+{name}" in page for name in ADDITIONS)


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL)


def test_the_diagnosis_of_the_guide_is_printed(capsys):
    offline = {"phase": np.array(["offline"]), "cosine_policy": np.array([[0.7, 0.2]])}
    offline |= {"cosine_uniform": offline["cosine_policy"]}
    measured = Evaluations(np.array([4]), (np.zeros((2, 3)),), {"relative_optimism": np.array([[0.1], [0.9]])}, 2)
    off = SimpleNamespace(seeds=(0, 3), metrics=offline, evaluations=measured)
    exec(blocks("is-my-transfer-sound.md")[0], {"off": off, "on": off})
    said = capsys.readouterr().out
    assert "3 not sound" in said
    assert "cosine / residual: 0.20  The critics' gradient does not match the score of the data" in said


def test_the_environment_of_the_guide_steps():
    names = {"__name__": "guide"}
    exec(next(block for block in blocks("environments.md") if "class Reach" in block), names)
    env = names["env"]
    state = jax.jit(env.reset)(jax.random.key(0))
    moved = jax.jit(env.step)(state, jnp.asarray([1.0, -5.0]))
    assert state.obs.shape == (env.observation_size,)
    np.testing.assert_allclose(moved.obs, state.obs + jnp.asarray([0.1, -0.1]), atol=1e-6)
    np.testing.assert_allclose(moved.reward, -np.hypot(*np.asarray(moved.obs)), rtol=1e-6)
    assert moved.done == 0.0


def test_the_data_of_the_guide_are_written_and_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng, ends = np.random.default_rng(0), np.tile([0.0, 0.0, 0.0, 0.0, 1.0], 6)
    observations = rng.normal(size=(31, 11))
    np.savez(
        "log.npz",
        observations=observations[:-1],
        next_observations=observations[1:],
        actions=rng.uniform(-1.0, 1.0, (30, 3)),
        rewards=rng.normal(size=30),
        terminals=np.zeros(30),
        timeouts=ends,
    )
    names = {"__name__": "guide"}
    exec(next(block for block in blocks("data.md") if "from_arrays" in block), names)
    written, read = names["data"], load_dataset("mine.hdf5")
    assert f"{written.size} transitions" in capsys.readouterr().out
    np.testing.assert_array_equal(read.observations, written.observations)
    np.testing.assert_array_equal(read.timeouts, written.timeouts)


def test_the_maze_of_the_guide_has_the_options_given():
    names = {"__name__": "guide"}
    exec(next(block for block in blocks("mazes-and-ogbench.md") if "maze_map" in block), names)
    env = names["env"]
    assert env.episode_length == 300
    assert env.task.ends_at_goal
    state = env.reset(jax.random.key(0))
    assert float(state.obs[0]) < 0 < float(state.obs[2])  # it starts at "r", and its goal is at "g"
