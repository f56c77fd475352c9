"""The C++ step equals the Python callback bit for bit, and is optional."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import smac_jax
from smac_jax.envs.physics import native
from smac_jax.errors import ConfigError

needs_compiler = pytest.mark.skipif(
    isinstance(native.library(), native.NativeError), reason="MuJoCo's step cannot be compiled here"
)


def roll(env, batch: int, steps: int = 60, scale: float = 1.0):
    keys = jax.random.split(jax.random.key(0), batch)

    def step(state, i):
        key = jax.random.fold_in(jax.random.key(1), i)
        action = jax.random.uniform(key, (batch, env.action_size), minval=-scale, maxval=scale)
        state = jax.vmap(env.step)(state, action)
        return state, (state.obs, state.reward, state.done, state.pipeline_state)

    return jax.jit(lambda s: jax.lax.scan(step, s, jnp.arange(steps))[1])(jax.vmap(env.reset)(keys))


@needs_compiler
@pytest.mark.parametrize("task", ["hopper", "walker2d", "halfcheetah", "ant"])
@pytest.mark.parametrize(("version", "batch"), [("v4", 1), ("v5", 7)])
def test_native_step_and_callback_are_equal_bit_for_bit(task, version, batch):
    fast = smac_jax.make_env(task, physics="mujoco", version=version, native=True)
    plain = smac_jax.make_env(task, physics="mujoco", version=version, native=False)
    assert fast._engine.native
    assert not plain._engine.native
    jax.tree.map(np.testing.assert_array_equal, roll(fast, batch), roll(plain, batch))


@needs_compiler
def test_a_divergence_is_marked_and_no_log_is_written(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    results = []
    for choice in (True, False):
        env = smac_jax.make_env("hopper", physics="mujoco", native=choice)
        qvel = np.zeros((3, 6))
        qvel[1] = 1e9
        state = env.reset_to(np.broadcast_to(env._engine.init_qpos, (3, 6)), qvel)
        actions = jnp.array([0.0, 0.0, jnp.nan])[:, None] * jnp.ones(3)
        results.append(jax.jit(jax.vmap(env.step))(state, actions))
    assert results[0].pipeline_state.diverged[1]
    assert np.isfinite(results[0].obs).all()
    jax.tree.map(np.testing.assert_array_equal, results[0], results[1])
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


@needs_compiler
def test_an_error_inside_mujoco_marks_one_robot_as_diverged():
    import mujoco

    xml = """<mujoco><size memory="{memory}"/><worldbody><geom type="plane" size="1 1 1"/>
      <body pos="0 0 0.05"><freejoint/><geom type="box" size=".1 .1 .1"/></body></worldbody></mujoco>"""
    for memory, lost in (("1M", 0.0), ("2000", 1.0)):
        model = mujoco.MjModel.from_xml_string(xml.format(memory=memory))
        key = native.register(model, frame_skip=1, body=None, forces=False, threads=1)
        state = np.concatenate([model.qpos0, np.zeros(2 * model.nv)]).astype(np.float64)
        step = jax.jit(partial(native.step, key=key, words=2 * len(state), values=2 * model.nq + model.nv + 1))
        raw, numbers = step(state.view(np.uint32))
        assert numbers[-1] == lost
        assert (np.asarray(raw) == state.view(np.uint32)).all() == bool(lost)


@needs_compiler
def test_programs_are_found_in_the_cache_by_another_process(tmp_path):
    program = """
import jax, smac_jax
jax.config.update("jax_compilation_cache_dir", {folder!r})
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
env = smac_jax.make_env("hopper", physics="mujoco")
@jax.jit
def reset_and_step(key):
    return env.step(env.reset(key), jax.numpy.ones(3)).obs.sum()
key = jax.random.key(0)
events = []
jax.monitoring.register_event_listener(lambda event, **kw: events.append(event))
print(float(reset_and_step(key)), "/jax/compilation_cache/cache_hits" in events)
"""
    command = [sys.executable, "-W", "ignore", "-c", program.format(folder=str(tmp_path))]
    outputs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(2)]
    assert outputs[0][0] == outputs[1][0]
    assert [hit for _, hit in outputs] == ["False", "True"]
    # the cache holds the program with the physics, not only small programs
    assert list(tmp_path.glob("jit_reset_and_step*"))


def test_without_a_compiler_the_callback_is_used():
    program = """
import smac_jax
env = smac_jax.make_env("hopper", physics="mujoco")
assert not env._engine.native
try:
    smac_jax.make_env("hopper", physics="mujoco", native=True)
except smac_jax.errors.ConfigError as error:
    print(error)
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    environment = {**os.environ, "CXX": "/no/such/compiler", "XDG_CACHE_HOME": "/no/such/folder"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "there is no C++ compiler" in done.stdout


@pytest.mark.parametrize(
    ("compiler", "words"),
    [
        ("c++ '", "ValueError: No closing quotation"),
        ("true", "ended with 0"),
        ("false", "ended with 1"),
        ("/", "there is no C++ compiler"),
        (f"{sys.executable} -c \"open(__import__('sys').argv[-1], 'w').write('not a library')\"", "OSError"),
        (f"{sys.executable} -c \"__import__('os').write(2, bytes([255, 254])); 1 / 0\"", "ended with 1"),
    ],
)
def test_a_broken_compiler_counts_as_missing(tmp_path, monkeypatch, compiler, words):
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native.library.cache_clear()
    try:
        assert not smac_jax.make_env("hopper", physics="mujoco")._engine.native
        with pytest.raises(ConfigError, match=r"native=True: MuJoCo's step cannot be compiled here") as raised:
            smac_jax.make_env("hopper", physics="mujoco", native=True)
        assert words in str(raised.value)
        assert not list(tmp_path.rglob("*.so"))
    finally:
        native.library.cache_clear()


NO_HOME = """
import os, pwd, warnings
def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = unknown
del os.environ["HOME"]
"""


def test_without_a_home_directory_caches_are_temporary_with_one_warning(tmp_path):
    """Environments, data and programs work for a user without an entry, as in containers."""
    program = (
        NO_HOME
        + """
import smac_jax.cli
from smac_jax.files import cache_folder
for _ in range(2):
    env = smac_jax.make_env("hopper", physics="mujoco")
smac_jax.load_dataset("hopper-medium-replay")
print(cache_folder(), os.stat(cache_folder()).st_mode & 0o777)
try:
    smac_jax.cli.main(["smac-jax", "status", "nowhere"])
except SystemExit as ended:
    print(ended.code)
"""
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path), "CXX": "/no/such/compiler", "HOME": "/"}
    environment.pop("XDG_CACHE_HOME", None)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.stdout.split("\n")[:1] == [f"{tmp_path}/smac_jax-{os.getuid()} {0o700}"], done.stderr
    assert done.stdout.split()[-1] == "2"
    assert done.stderr.count("because there is no home directory") == 1
    assert "Matplotlib" not in done.stderr
    assert "Traceback" not in done.stderr


def test_only_the_c_engine_has_the_option_native():
    with pytest.raises(ConfigError, match="native"):
        smac_jax.make_env("hopper", physics="mjx", native=True)
