"""The examples for authors in the documentation: each of them trains, and a sweep uses all of them in one file."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import smac_jax
from smac_jax import plugins
from smac_jax.algorithms import make_offline
from smac_jax.algorithms.make import code_behind
from smac_jax.envs import AutoReset, identity_of
from smac_jax.errors import ConfigError
from smac_jax.registry import ENVIRONMENTS, OFFLINE, READERS, SCORES, TASKS, TRACKERS
from smac_jax.runs.folder import RunFolder
from smac_jax.tasks import normalized_score

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("my_*.py"))
NETWORK = {"actor_hidden": (8, 8), "critic_hidden": (8, 8)}
FEW = {"eval_episodes": 1, "episode_length": 5, "progress": False}


def table(env, rows: int, path: Path) -> Path:
    """Writes a file of comma-separated values with transitions of random actions."""
    rng = np.random.default_rng(0)
    world = AutoReset(env, 20)
    step = jax.jit(world.step)
    state, lines = jax.jit(world.reset)(jax.random.key(0)), []
    for action in rng.uniform(-1, 1, (rows, env.action_size)).astype(np.float32):
        after = step(state, action)
        lines.append([*np.asarray(state.obs), *action, float(after.reward), float(after.info["terminal"])])
        state = after
    names = [f"observation_{i}" for i in range(env.observation_size)] + [f"action_{i}" for i in range(env.action_size)]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, lines, "%.8g", ",", header=",".join([*names, "reward", "terminal"]), comments="")
    return path


def test_the_algorithm_trains_and_transfers(example, data, tmp_path):
    example("my_algorithm")
    off = smac_jax.pretrain("selective", data, 2, 20, {"sharpness": 5.0, "network": NETWORK}, progress=False)
    losses = off.metrics["policy_loss"]
    assert losses.shape[1:] == (2,)  # seeds
    assert np.isfinite(losses).all()
    assert np.ptp(losses[-1]) > 0
    start = (off.actor_critic, smac_jax.make_env("hopper"), data, 2, 3)
    on = smac_jax.finetune("sac", *start, {"batch_size": 8}, warm_start=2, **FEW)
    assert np.isfinite(on.returns).all()
    assert OFFLINE["selective"].config().sharpness == 2.0
    with pytest.raises(smac_jax.algorithms.make.ConfigError, match=r"SelectiveConfig\.sharpness = -1"):
        smac_jax.pretrain("selective", data, 2, 20, {"sharpness": -1.0})


def test_a_sharpness_of_zero_gives_equal_weights(example, data):
    module = example("my_algorithm")
    built = module.selective(module.SelectiveConfig(sharpness=0.0, batch_size=8))
    state = jax.jit(built.init)(jax.random.key(0), data)
    batch = data.sample(jax.random.key(1), 8)
    _, metrics = built.phases[0].update(state, batch, jax.random.key(2))
    log_prob = state.actor_critic.policy(batch.observation).log_prob(batch.action)
    np.testing.assert_allclose(metrics["policy_loss"], -log_prob.mean(), rtol=1e-5)


def test_the_score_is_learned_and_matched(example, data):
    module = example("my_score")
    config = {"score": "gaussian", "network": NETWORK, "alpha_hidden": (4,), "batch_size": 16}
    state = module.GaussianScore(None).init(jax.random.key(0), 11, 3)
    score = module.GaussianScore(None)
    observation, action = data.observations[:4], data.actions[:4]
    mean = score.predict(state.params, observation, 3)
    log_density = lambda a: -0.5 * jnp.sum(((a - mean) / 0.3) ** 2)  # noqa: E731
    found = score.evaluate(state, None, observation, action)
    np.testing.assert_allclose(found.score, jax.grad(log_density)(action), rtol=1e-4)
    built = make_offline("smac", config)
    short = built.phases[0]._replace(num_updates=20)
    assert list(code_behind(built)) == ["my_score.py"]
    off = smac_jax.pretrain(built._replace(phases=(short, built.phases[1])), data, 1, 5, progress=False)
    metrics = off.metrics
    assert np.isfinite(metrics["regression_loss"]).any()
    assert np.isfinite(metrics["score_matching_loss"][-1]).all()


def test_the_example_environment_trains_and_has_its_documented_dynamics(example, tmp_path):
    example("my_environment")
    example("my_dataset")
    env = smac_jax.make_env("point-mass", push=0.2)
    assert identity_of(env)["options"] == {"push": 0.2}
    assert list(identity_of(env)["code"]) == ["my_environment.py"]
    state = env.reset(jax.random.key(0))
    after = env.step(state, jnp.array([1.0, -1.0]))
    np.testing.assert_allclose(after.obs[2:], [0.2, -0.2], rtol=1e-6)
    np.testing.assert_allclose(after.obs[:2], state.obs[:2] + 0.2 * after.obs[2:], rtol=1e-6)
    np.testing.assert_allclose(after.reward, -np.linalg.norm(after.obs[:2]), rtol=1e-6)
    env = smac_jax.make_env("point-mass")
    data = smac_jax.load_dataset(f"csv:{table(env, 60, tmp_path / 'point-mass-random.csv')}")
    off = smac_jax.pretrain("td3_bc", data, 1, 4, {"network": NETWORK}, env=env, **FEW)
    on = smac_jax.finetune("td3", off.actor_critic, env, data, 1, 4, {"batch_size": 8}, warm_start=2, **FEW)
    assert np.isfinite(on.returns).all()
    assert normalized_score("point-mass", -7.9) == pytest.approx(100)


def test_the_returns_of_random_actions_are_those_that_the_environment_states(example):
    example("my_environment")
    env = smac_jax.make_env("point-mass")

    def episode(key):
        def step(state, key):
            state = env.step(state, jax.random.uniform(key, (2,), minval=-1.0))
            return state, state.reward

        start, rest = jax.random.split(key)
        return jax.lax.scan(step, env.reset(start), jax.random.split(rest, 50))[1].sum()

    returns = jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(1), 400))
    assert returns.mean() == pytest.approx(-39.8, abs=3)


def test_the_task_is_half_cheetah_backwards(example, tmp_path):
    example("my_task")
    example("my_dataset")
    env, forwards = (smac_jax.make_env(name) for name in ("halfcheetah-backward", "halfcheetah"))
    assert list(identity_of(env)["code"]) == ["my_task.py"]
    state, action = forwards.reset(jax.random.key(0)), jnp.full(6, 0.5)
    for _ in range(3):
        after, other = env.step(state, action), forwards.step(state, action)
        np.testing.assert_array_equal(after.obs, other.obs)
        speed, torque = other.metrics["reward_forward"], other.metrics["reward_control"]
        np.testing.assert_allclose(after.reward, torque - speed, rtol=1e-5)
        state = other
    data = smac_jax.load_dataset(f"csv:{table(env, 60, tmp_path / 'halfcheetah-backward-random.csv')}")
    assert data.task == "halfcheetah-backward"
    off = smac_jax.pretrain("td3_bc", data, 1, 4, {"network": NETWORK}, env=env, **FEW)
    assert np.isfinite(off.returns).all()


def test_the_example_reader_reads_a_written_file(example, data, tmp_path):
    example("my_dataset")
    columns = [np.asarray(x) for x in (data.observations, data.actions, data.rewards[:, None], data.terminals[:, None])]
    names = [f"observation_{i}" for i in range(11)] + [f"action_{i}" for i in range(3)] + ["reward", "terminal"]
    path = tmp_path / "hopper-lab.csv"
    np.savetxt(path, np.concatenate(columns, axis=1), "%.9g", ",", header=",".join(names), comments="")
    read = smac_jax.load_dataset(f"csv:{path}")
    assert (read.task, read.name, read.size) == ("hopper", "hopper-lab", data.size)
    for column in ("observations", "actions", "rewards", "terminals"):
        np.testing.assert_allclose(getattr(read, column), getattr(data, column), rtol=1e-6)
    off = smac_jax.pretrain("bc", read, 1, 3, {"network": NETWORK, "batch_size": 8}, progress=False)
    assert np.isfinite(off.metrics["policy_loss"]).all()


def test_the_tracker_posts_each_evaluation_once(example, data, tmp_path, monkeypatch):
    example("my_tracker")
    with pytest.raises(ConfigError, match=r"'chat' cannot be created: .*my_tracker\.py, line \d+: .*set CHAT_WEBHOOK"):
        RunFolder(tmp_path, trackers=["chat"])
    posted = []

    class Chat(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_): ...

    with http.server.HTTPServer(("127.0.0.1", 0), Chat) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("CHAT_WEBHOOK", f"http://127.0.0.1:{server.server_port}/hook")
        env = smac_jax.make_env("hopper")
        for _ in range(2):  # the run is finished when it is called again
            with RunFolder(tmp_path / "run", trackers=["chat"]) as folder:
                how = {"env": env, "folder": folder, "eval_every": 2, **FEW}
                off = smac_jax.pretrain("td3_bc", data, 2, 4, {"network": NETWORK}, **how)
        server.shutdown()
    name = "/".join((tmp_path / "run").parts[-4:])
    assert posted == [
        f"{name}, step {step}: return {value:.0f}"
        for step, value in zip(off.evaluation_steps, off.mean_returns.mean(axis=0), strict=True)
    ]


def one_file(path: Path) -> Path:
    """Writes all examples to one file."""
    texts = [
        (EXAMPLES / f"{name}.py").read_text().replace("from __future__ import annotations\n", "") for name in NAMES
    ]
    path.write_text("\n\n".join(['"""A laboratory."""', "from __future__ import annotations", *texts]))
    return path


def test_all_examples_can_be_in_one_file(tmp_path):
    plugins.load([str(one_file(tmp_path / "my_lab.py"))])
    named = [r.added() for r in (OFFLINE, SCORES, TASKS, ENVIRONMENTS, READERS, TRACKERS)]
    assert named == [("selective",), ("gaussian",), ("halfcheetah-backward",), ("point-mass",), ("csv",), ("chat",)]
    assert all(
        list(registry.code(name)) == ["my_lab.py"] for registry in (OFFLINE, SCORES) for name in registry.added()
    )


@pytest.mark.slow
def test_a_sweep_with_all_examples_is_stopped_and_resumed(tmp_path, example):
    """The sweep uses algorithm, task, environment and reader by name. A changed file is refused."""
    for name in ("my_environment", "my_task"):
        example(name)
    tables = [
        table(smac_jax.make_env(name), 60, tmp_path / f"{name}-random.csv")
        for name in ("point-mass", "halfcheetah-backward")
    ]
    lab, folder = one_file(tmp_path / "my_lab.py"), tmp_path / "run"
    command = [
        *(sys.executable, "-m", "smac_jax", "sweep", f"--import={lab}", f"--results={folder}"),
        f"--task={','.join(f'csv:{path}' for path in tables)}",
        *("--offline=selective,smac", "--online=sac", "--seeds=1", "--nocontrol", "--save_every=0.5"),
        *("--config.selective.sharpness=5", "--config.smac.score=gaussian", "--config.smac.alpha_hidden=(4,)"),
        *("--config.pretrain.num_updates=2000", "--config.pretrain.eval_every=1000"),
        *("--config.finetune.num_steps=10", "--config.finetune.warm_start=10", "--config.finetune.eval_every=10"),
        *(f"--config.{phase}.eval_episodes=1" for phase in ("pretrain", "finetune")),
        *(f"--config.{n}.network.{part}_hidden=(8,8)" for n in ("selective", "smac") for part in ("actor", "critic")),
        *(f"--config.{name}.batch_size=8" for name in ("selective", "smac", "sac")),
        "--config.smac.network.num_critics=2",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, **pipes)
    while not list(folder.glob("runs/*/*/seeds-0-0/offline/status.json")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Repeat the command to resume." in said

    done = subprocess.run(command, cwd=ROOT, timeout=300, **pipes)
    assert done.returncode == 0, done.stdout[-3000:]
    provenance = json.loads((folder / "provenance.json").read_text())
    (imported,) = provenance["imports"]
    assert imported["file"] == str(lab)
    assert provenance["config"]["selective"]["sharpness"] == 5.0
    jobs = [json.loads(path.read_text()) for path in sorted(folder.glob("runs/*/*/*/job.json"))]
    assert {(job["task"], job["offline"]["algorithm"]) for job in jobs} == {
        (task, algorithm) for task in ("halfcheetah-backward", "point-mass") for algorithm in ("selective", "smac")
    }
    assert all(job["code my_lab.py"] == imported["sha256"] for job in jobs)
    assert len(list(folder.glob("*/curves/*_sac.json"))) == 4
    for run in ("offline", "to-sac"):
        for identity in folder.glob(f"runs/*/*/*/{run}/identity.json"):
            assert json.loads(identity.read_text())["environment"]["code"] == {"my_lab.py": imported["sha256"]}

    lab.write_text(lab.read_text() + "\n# another thought\n")
    again = subprocess.run(command, cwd=ROOT, timeout=300, **pipes)
    assert again.returncode == 2
    assert "holds results of other code: my_lab.py has changed since" in again.stdout
    assert "Traceback" not in again.stdout
