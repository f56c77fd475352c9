"""The benchmarks run at tiny sizes, and their counts are right."""

from __future__ import annotations

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from programs import run_module

from smac_jax.matrix_products import product_flops

PROGRAMS = {
    "updates": ["--sizes=tiny", "--algorithms=td3_bc", "--seeds=1,2", "--chunk=5"],
    "muon": ["--hidden=8,8", "--members=2", "--seeds=2"],
    "penalty": ["--sizes=tiny", "--chunk=5"],
    "online": ["--size=tiny", "--length=10"],
    "physics": ["--tasks=hopper", "--environments=1,2", "--length=10"],
    "pretrain_to_finetune": [
        "--seeds=1",
        "--config.pretrain.num_updates=5",
        "--config.finetune.num_steps=5",
        "--config.finetune.warm_start=5",
        "--config.smac.score_model.num_updates=5",
    ],
}
SLOW = ("penalty", "pretrain_to_finetune")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in PROGRAMS]
)
def test_a_benchmark_prints_device_versions_ceiling_and_rates(name, tmp_path):
    if name == "physics":
        pytest.importorskip("imageio", reason="Gymnasium's MuJoCo tasks import it (extra `bench`)")
    file = tmp_path / "out.json"
    done = run_module(f"benchmarks.{name}", *PROGRAMS[name], "--seconds=0.01", "--rounds=2", f"--json={file}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ceiling" in done.stdout
    found = json.loads(file.read_text())
    assert {"command", "date", "device", "versions", "ceiling"} <= set(found)
    assert found["ceiling"]["matrix_product_flops"] > 1e8
    for lines in found["tables"].values():
        for line in lines:
            rates = [value for column, value in line.items() if column.endswith("/s") and value is not None]
            assert all(value > 0 for value in rates)
            assert rates or line.get("phase")


def test_matrix_products_in_loops_branches_and_maps_are_counted():
    a, b = jnp.ones((3, 4)), jnp.ones((4, 5))
    one = 2 * 3 * 4 * 5
    assert product_flops(lambda a, b: a @ b, a, b) == one
    assert product_flops(jax.jit(lambda a, b: jnp.tanh(a @ b).sum()), a, b) == one
    assert product_flops(jax.vmap(lambda a, b: a @ b), a[None].repeat(7, 0), b[None].repeat(7, 0)) == 7 * one
    assert product_flops(jax.grad(lambda a, b: (a @ b).sum(), argnums=(0, 1)), a, b) >= 2 * one

    def loop(a, b):
        return jax.lax.scan(lambda c, _: (c + (a @ b).sum(), None), 0.0, None, length=11)[0]

    assert product_flops(loop, a, b) == 11 * one

    def every_second(i, a, b):
        return jax.lax.cond(i % 2 == 0, lambda: (a @ b).sum(), lambda: 0.0)

    assert math.isclose(product_flops(every_second, jnp.int32(0), a, b), one / 2)


@pytest.mark.skipif(
    jax.version.__version_info__ < (0, 12) or jax.default_backend() != "cpu", reason="an experiment of later versions"
)
@pytest.mark.filterwarnings("ignore:Error writing persistent compilation cache")
def test_updates_with_onednns_products_are_the_same():
    import smac_jax
    from benchmarks.learners import ONEDNN, SIZES, learner

    made = learner("sac", SIZES["field"], 1, smac_jax.load_dataset("part:0.01:hopper-medium-replay"))
    batch = made.data.sample(jax.random.key(0), 256)
    inputs = jax.tree.map(lambda x: x[0], made.state), batch, jax.random.key(1)
    plain, fast = (jax.jit(made.phase.update, compiler_options=options)(*inputs) for options in (None, ONEDNN))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6), plain, fast)


def test_an_update_of_sac_has_the_expected_number_of_operations():
    import smac_jax
    from benchmarks.learners import Size, flops_of_one, online_learner

    data = smac_jax.load_dataset("hopper-medium-replay")
    width, batch, members = 64, 32, 2
    made = online_learner("sac", Size((width, width), members, batch, batch), 1, data)
    hidden = 2 * batch * width * width
    # Only the middle layer is counted. That of the critics is used six times (target; forward and two backward; forward
    # and backward for the policy), and that of the actor four times (next action; forward and two backward).
    least = hidden * (6 * members + 4)
    assert least <= flops_of_one(made) <= 1.6 * least
