"""Contacts have the larger margin of their two geoms, in random models and in those of the tasks."""

from __future__ import annotations

import itertools
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smac_jax.envs import LOCOMOTION, TASKS, make_env
from smac_jax.envs.base import model_path
from smac_jax.envs.physics import margins
from smac_jax.envs.physics.compiled import compile_model, scene_rows
from smac_jax.envs.physics.margins import Rule, compile_with_margins, installed_rule
from smac_jax.errors import ConfigError

LEVELS = [0.0, 0.01, 0.02, 0.05]
geom = st.fixed_dictionaries(
    {
        "margin": st.sampled_from(LEVELS),
        "gap": st.sampled_from([0.0, 0.0, 0.005]),
        "condim": st.sampled_from([1, 3, 4, 6]),
        "priority": st.sampled_from([0, 0, 1]),
        "solmix": st.sampled_from([0.5, 1.0, 2.0]),
        "friction": st.sampled_from(["1 0.1 0.2", "0.3 0.4 0.1"]),
        "solref": st.sampled_from(["0.02 1", "0.01 2", "-100 -5"]),
        "solimp": st.sampled_from(["0.9 0.95 0.001 0.5 2", "0.8 0.9 0.01 0.4 3"]),
    }
)


def spec_of(geoms):
    """A pile of spheres that all touch each other. The first one is fixed, the others are free."""
    bodies = []
    for i, attributes in enumerate(geoms):
        text = " ".join(f'{key}="{value}"' for key, value in attributes.items())
        sphere = f'<geom type="sphere" size="0.1" {text}/>'
        bodies.append(sphere if i == 0 else f'<body pos="0 0 {0.01 * i}"><freejoint/>{sphere}</body>')
    return mujoco.MjSpec.from_string(f"<mujoco><worldbody>{''.join(bodies)}</worldbody></mujoco>")


def contacts(model):
    """Returns the parameters of each contact by its two geoms."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    fields = ("includemargin", "friction", "solref", "solimp", "dim")
    return {tuple(sorted(c.geom)): {f: np.array(getattr(c, f)) for f in fields} for c in data.contact}


@given(st.lists(geom, min_size=2, max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_contact_has_the_larger_margin_and_equal_other_parameters(geoms):
    larger = contacts(compile_with_margins(spec_of(geoms)))
    summed = contacts(compile_with_margins(spec_of(geoms), "sum"))
    assert set(larger) == set(summed) == set(itertools.combinations(range(len(geoms)), 2))
    for (i, j), contact in larger.items():
        expected = max(geoms[i]["margin"], geoms[j]["margin"]) - max(geoms[i]["gap"], geoms[j]["gap"])
        assert contact["includemargin"] == pytest.approx(expected, abs=1e-12)
        for field in ("friction", "solref", "solimp", "dim"):
            np.testing.assert_allclose(contact[field], summed[i, j][field], rtol=1e-12, err_msg=field)


@given(st.sampled_from(LEVELS), st.sampled_from(LEVELS), st.floats(-0.02, 0.08))
@settings(max_examples=60, deadline=None)
def test_the_force_of_a_contact_begins_at_the_larger_margin(first, second, distance):
    """Two spheres without gravity repel each other if they are closer than the larger margin."""
    if abs(distance - max(first, second)) < 1e-6:
        return
    model = compile_with_margins(
        mujoco.MjSpec.from_string(
            f"""<mujoco><option gravity="0 0 0"/><worldbody><geom type="sphere" size="0.1" margin="{first}"/>
            <body pos="0 0 {0.2 + distance}"><freejoint/><geom type="sphere" size="0.1" margin="{second}"/></body>
            </worldbody></mujoco>"""
        )
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    assert (data.qacc[2] > 0) == (distance < max(first, second))


def test_declared_pairs_keep_their_margin():
    spec = spec_of([{"margin": 0.01, "name": "a"}, {"margin": 0.05, "name": "b"}, {"margin": 0.0, "name": "c"}])
    spec.add_pair(geomname1="c", geomname2="a", margin=0.03, gap=0.01)
    found = contacts(compile_with_margins(spec))
    assert found[0, 2]["includemargin"] == pytest.approx(
        0.03 - 0.01
    )  # a gap narrows the margin, as its author intended
    assert found[0, 1]["includemargin"] == pytest.approx(0.05)


def test_excluded_contacts_stay_excluded():
    """Parent and child, an excluded pair, and bits that do not match, all with margins that require explicit pairs."""
    spec = mujoco.MjSpec.from_string(
        """<mujoco><worldbody>
          <geom size="0.1"/>
          <body name="a"><freejoint/><geom size="0.1" margin="0.01"/>
            <body name="b"><joint type="hinge"/><geom size="0.1" margin="0.03"/></body></body>
          <body name="c"><freejoint/><geom size="0.1" margin="0.02" contype="2" conaffinity="2"/></body>
          <body name="d"><freejoint/><geom size="0.1" margin="0.04"/></body>
        </worldbody><contact><exclude body1="b" body2="d"/></contact></mujoco>"""
    )
    assert set(contacts(compile_with_margins(spec))) == {(0, 1), (0, 2), (0, 4), (1, 4)}


@pytest.mark.parametrize("name", [*LOCOMOTION, "pen", "door", "hammer", "relocate", "kitchen-partial"])
def test_every_contact_of_a_task_has_the_larger_margin(name):
    """The contacts in random states, against the margins in the file of the model."""
    if name not in LOCOMOTION:
        pytest.importorskip("gymnasium_robotics")
    task = TASKS[name].make().model("v4" if name in LOCOMOTION else "d4rl")
    authored, model = compile_model(task, "sum"), compile_model(task)
    declared = {frozenset(pair) for pair in zip(authored.pair_geom1, authored.pair_geom2, strict=True)}
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    seen = 0
    for _ in range(400):
        mujoco.mj_resetData(model, data)
        if task.init_qpos:
            data.qpos[:] = task.init_qpos
        data.qpos += rng.normal(size=model.nq) * (0.1 if name.startswith("kitchen") else 0.3)
        if name in LOCOMOTION:
            data.qpos[{"ant": 2, "halfcheetah": 1}.get(name, 1)] = rng.uniform(-0.2, 0.8)
        mujoco.mj_forward(model, data)
        for contact in data.contact:
            if frozenset(contact.geom) not in declared:
                assert contact.includemargin == pytest.approx(authored.geom_margin[contact.geom].max(), abs=1e-12)
                seen += 1
    assert seen > 20


@pytest.mark.parametrize("name", ["hopper", "ant", "kitchen"])
def test_mujoco_3_4_steps_are_reproduced(name):
    """States, commands and next states come from MuJoCo 3.4.0, the last release with larger margins.

    With summed margins the shares of reproduced rows are .45, .43 and .04.
    """
    if name not in LOCOMOTION:
        pytest.importorskip("gymnasium_robotics")
    model = compile_model(
        TASKS[{"kitchen": "kitchen-partial"}.get(name, name)].make().model("v4" if name in LOCOMOTION else "d4rl")
    )
    data = mujoco.MjData(model)
    with np.load(Path(__file__).with_name("stepped_by_mujoco_3_4_0.npz")) as file:
        rows = file[name]
    sizes = np.cumsum([model.nq, model.nv, model.nv, model.nu, model.nq])
    for row in rows:
        data.qpos[:], data.qvel[:], data.qacc_warmstart[:], data.ctrl[:], qpos, qvel = np.split(row, sizes)
        mujoco.mj_step(model, data)
        np.testing.assert_allclose(data.qpos, qpos, atol=1e-4)
        np.testing.assert_allclose(data.qvel, qvel, atol=1e-4)


@pytest.mark.parametrize(("name", "share"), [("pen", 1.0), ("door", 0.97), ("hammer", 0.95), ("relocate", 0.92)])
def test_the_hands_steps_of_mujoco_2_1_are_reproduced(name, share):
    """One environment step from states of the strongest DOPE policies, in D4RL's own models with MuJoCo 2.1.0.

    Positions agree within 1e-6. In the other rows a finger touches a box, a collision that MuJoCo 2.1 computed in
    another way. With the margins and collisions of MuJoCo 3.17 the shares are .06, .14, .02 and .00.
    """
    pytest.importorskip("gymnasium_robotics")
    task = TASKS[name].make().model("d4rl")
    model = compile_model(task)
    data, places = mujoco.MjData(model), scene_rows(model, task)
    with np.load(Path(__file__).with_name("stepped_by_mujoco_2_1_0.npz")) as file:
        rows = file[name]
    widths = [getattr(model, field).shape[1] for field, _ in places]
    sizes = np.cumsum([model.nq, model.nv, model.nv, model.nu, *widths])
    low, high = model.actuator_ctrlrange.T
    reproduced = []
    for row in rows:
        data.qpos[:], data.qvel[:], data.qacc_warmstart[:], action, *scene, after = np.split(row, sizes)
        for (field, body), values in zip(places, scene, strict=True):
            getattr(model, field)[body] = values
        data.ctrl[:] = 0.5 * (low + high) + 0.5 * (high - low) * action
        mujoco.mj_step(model, data, nstep=task.frame_skip)
        reproduced.append(np.abs(data.qpos - after).max() < 1e-6)
    assert np.mean(reproduced) >= share


@pytest.mark.parametrize(
    "name", [name for name, entry in TASKS.items() if not (name.endswith("-binary") or entry.options)]
)
def test_summed_margins_leave_the_model_as_mujoco_compiles_it(name):
    if name not in LOCOMOTION:
        pytest.importorskip("gymnasium_robotics")
    task = TASKS[name].make().model("v4" if name in LOCOMOTION else "v1")
    spec = mujoco.MjSpec.from_file(str(model_path(task.xml, task.package)))
    plain, summed = spec.compile(), compile_model(task, "sum")
    np.testing.assert_array_equal(summed.geom_margin, plain.geom_margin)
    np.testing.assert_array_equal(summed.body_margin, plain.body_margin)
    assert summed.npair == plain.npair


def test_an_unknown_rule_of_mujoco_is_refused(monkeypatch):
    installed_rule.cache_clear()
    monkeypatch.setattr(margins, "_PROBE", margins._PROBE.replace('margin="0.3"', 'margin="0.2"'))
    with pytest.raises(ConfigError, match=r"act at 0\.3; known.*mujoco==3"):
        installed_rule()
    installed_rule.cache_clear()


def test_an_older_mujoco_needs_no_change_and_cannot_sum(monkeypatch):
    monkeypatch.setattr(margins, "installed_rule", lambda: Rule("max", False))
    spec = spec_of([{"margin": 0.01}, {"margin": 0.05}])
    assert compile_with_margins(spec).geom_margin.tolist() == [0.01, 0.05]
    with pytest.raises(ConfigError, match=r"3\.5 or later"):
        compile_with_margins(spec, "sum")


@pytest.mark.parametrize("physics", ["mujoco", "mjx"])
def test_unknown_rules_are_refused(physics):
    with pytest.raises(ConfigError, match="margins must be one of max, sum; got 'mean'"):
        make_env("hopper", physics, margins="mean")
