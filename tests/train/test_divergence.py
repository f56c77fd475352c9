"""A seed that diverges is frozen and named, and does not change a bit of the other seeds' results."""

from __future__ import annotations

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import survivor

import smac_jax
from smac_jax.analysis import tables
from smac_jax.train import plan
from smac_jax.train.chunk import scan_with_means
from smac_jax.train.divergence import NOT_DIVERGED, freeze_diverged, has_diverged
from smac_jax.types import Sometimes


def seed(tree, i):
    return jax.tree.map(lambda x: np.asarray(x)[i], tree)


def equal(a, b) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y, equal_nan=True) for x, y in pairs)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_one_nan_is_a_divergence(broken):
    learner = {"kernel": jnp.ones((3, 4)), "count": jnp.arange(3), "temperature": jnp.asarray(0.1)}
    assert not has_diverged(learner, {}, 1e6)
    assert has_diverged(learner | {"kernel": learner["kernel"].at[1, 2].set(broken)}, {}, 1e6)
    assert has_diverged(learner | {"temperature": jnp.asarray(broken)}, {}, 1e6)


@pytest.mark.parametrize(("q", "gone"), [(-9.0, False), (11.0, True), (-11.0, True), (np.nan, False)])
def test_critics_beyond_the_limit_are_a_divergence(q, gone):
    assert bool(has_diverged({"kernel": jnp.ones(2)}, {"q": jnp.asarray(q)}, 10.0)) == gone


def test_the_step_of_the_first_divergence_is_kept():
    before, after = {"w": jnp.zeros(2)}, {"w": jnp.full(2, jnp.nan)}
    kept, diverged = freeze_diverged(before, after, {"loss": jnp.ones(())}, jnp.int32(NOT_DIVERGED), 500, 1e6)
    assert int(diverged) == 500
    assert equal(kept, before)
    _, later = freeze_diverged(kept, {"w": jnp.ones(2)}, {"loss": jnp.ones(())}, diverged, 1000, 1e6)
    assert int(later) == 500


def test_the_means_of_a_chunk_are_over_steps_with_the_metric_of_seeds_that_are_not_frozen():
    have = jnp.array([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])  # [seed, step]
    steps = {"always": jnp.arange(8.0).reshape(2, 4), "sometimes": Sometimes(have * 5.0, have)}
    _, means = jax.jit(jax.vmap(lambda metrics: scan_with_means(lambda state, x: (state, x), (), metrics)))(steps)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(means))  # jax_debug_nans checks these arrays
    found = plan.measured(jax.tree.map(np.asarray, means), np.array([NOT_DIVERGED, NOT_DIVERGED]))
    whole = plan.weighted_mean([(4, found)])
    np.testing.assert_array_equal(whole["always"], [1.5, 5.5])
    np.testing.assert_array_equal(whole["sometimes"], [5.0, np.nan])
    # chunks are weighted by the number of steps with the metric, not by their length
    fewer = {name: np.stack([x[0] + 3.0, [1.0, 3.0]]) for name, x in found.items()}
    joint = plan.weighted_mean([(4, found), (4, fewer)])
    np.testing.assert_allclose(joint["sometimes"], [(2 * 5.0 + 8.0) / 3, 3.0])
    np.testing.assert_allclose(joint["always"], [(4 * 1.5 + 4.5) / 5, (4 * 5.5 + 3 * 8.5) / 7])
    frozen = plan.measured(jax.tree.map(np.asarray, means), np.array([NOT_DIVERGED, 0]))
    np.testing.assert_array_equal(plan.weighted_mean([(4, found), (4, frozen)])["always"], [1.5, np.nan])


@pytest.fixture(scope="module")
def small_chunks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "CHUNK", 10)
        yield


def test_a_seed_that_diverges_offline_does_not_change_the_others(small_chunks):
    free = survivor.pretrain(seeds=3, eval_every=10)
    q = np.abs(free.metrics["q"])  # [point, seed], with one point for each chunk
    limit = float(np.sort(q.max(axis=0))[-2:].mean())  # the limit is between the two highest seeds
    (gone,) = np.flatnonzero((q > limit).any(axis=0))
    chunk = int(np.argmax(q[:, gone] > limit))
    held = survivor.pretrain(seeds=3, eval_every=10, q_limit=limit)
    assert list(held.diverged) == [10 * chunk if i == gone else NOT_DIVERGED for i in range(3)]
    for i in range(3):
        assert equal(seed(free.state, i), seed(held.state, i)) == (i != gone)
    assert np.isnan(held.metrics["q"][chunk:, gone]).all()
    if chunk:  # the seed is frozen with its state before the chunk in which it diverged
        short = survivor.pretrain(seeds=3, eval_every=10, num_updates=10 * chunk)
        assert equal(seed(short.actor_critic, gone), seed(held.actor_critic, gone))
    # fine-tuning keeps the seed frozen, although its limit is higher
    more = survivor.pretrain(seeds=3, eval_every=10, num_updates=10, resume=held)
    assert list(more.diverged) == list(held.diverged)
    for i in range(3):
        assert equal(seed(held.state, i), seed(more.state, i)) == (i == gone)


def test_a_seed_that_diverges_online_is_frozen_and_named_in_tables(small_chunks):
    env = smac_jax.make_env("hopper", physics="mujoco")
    off = survivor.pretrain(env=env)
    whole = survivor.finetune(off, env=env)
    # the second seed is transferred with a critic that returns NaN
    broken = jax.tree.map(lambda x: x.at[1].set(jnp.nan), off.actor_critic.critic_params)
    off.actor_critic = off.actor_critic.replace(critic_params=broken)
    on = survivor.finetune(off, env=env)
    assert list(on.diverged) == [NOT_DIVERGED, 0]
    assert equal(seed(whole.actor_critic, 0), seed(on.actor_critic, 0))
    assert equal(seed(whole.buffer, 0), seed(on.buffer, 0))
    assert equal(seed(off.actor_critic.actor_params, 1), seed(on.actor_critic.actor_params, 1))
    assert np.isfinite(on.returns).all()

    from smac_jax.sweep.results import transfer_curve

    curve = transfer_curve("hopper", "td3_bc", off, "sac", on, warm_start=30, control=None)
    rows = tables.rows([curve], random_return=0.0)
    assert "td3_bc to sac, seed 3: diverged online at step 0 and was frozen" in tables.markdown(rows, {})
    (row,) = csv.DictReader(tables.comma_separated(rows).splitlines())
    assert row["diverged"] == "1"
