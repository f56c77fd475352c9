"""The differences between ours and WSRL's base, field by field, and the presets that consist of these fields."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_algorithms import ACTIONS, OBSERVATIONS, dataset, small

import smac_jax
from smac_jax.algorithms import make_offline, make_online, sac
from smac_jax.algorithms.actor_critic import NetworkConfig, new_actor_critic
from smac_jax.algorithms.temperature import temperature_of
from smac_jax.errors import ConfigError
from smac_jax.networks import Critic, aggregate, init_ensemble, tie_heads
from smac_jax.networks.mlp import orthogonal
from smac_jax.optim import make_optimizer
from smac_jax.presets import bases, ours, wsrl_base


def flat(config, prefix=""):
    found = {}
    for name, value in config.items():
        found |= flat(value, f"{prefix}{name}.") if hasattr(value, "items") else {prefix + name: value}
    return found


# --- networks ---------------------------------------------------------------------------------------------------------
def built(**network):
    config = NetworkConfig(**{"actor_hidden": (16, 8), "critic_hidden": (16, 8), "num_critics": 3, **network})
    new = jax.jit(lambda key: new_actor_critic(config, key, jnp.zeros(OBSERVATIONS), jnp.ones(OBSERVATIONS), ACTIONS))
    return new(jax.random.key(0))


def test_kernels_are_orthogonal_and_the_last_hidden_layer_is_scaled():
    ac = built(initializer="orthogonal", last_hidden_scale=0.01)
    for layers in (
        ac.actor_params["params"]["trunk"],
        jax.tree.map(lambda x: x[1], ac.critic_params["params"]["MLP_0"]),
    ):
        for name, gain in (("Dense_0", 2.0**0.5), ("Dense_1", 0.01)):
            kernel = np.asarray(layers[name]["kernel"])
            small = min(kernel.shape)
            gram = kernel.T @ kernel if kernel.shape[1] == small else kernel @ kernel.T
            np.testing.assert_allclose(gram, gain**2 * np.eye(small), atol=1e-5)
    head = np.asarray(ac.actor_params["params"]["log_std"]["kernel"])
    np.testing.assert_allclose(head.T @ head, 2 * np.eye(ACTIONS), atol=1e-5)


def test_the_smallest_sigma_allows_the_target_entropy():
    """The target of -10 per dimension is below the entropy of sigma = e^-5, and above that of sigma = 1e-5."""
    for floor, reached in ((-5.0, False), (np.log(1e-5), True)):
        ac = built(min_log_std=float(floor))
        params = jax.tree.map(jnp.zeros_like, ac.actor_params)
        params["params"]["log_std"]["bias"] -= 50.0
        policy = ac.actor.apply(params, jnp.zeros(OBSERVATIONS))
        np.testing.assert_allclose(policy.log_std, floor, rtol=1e-6)
        _, log_prob = policy.sample_and_log_prob(jax.random.key(0))
        entropy = np.mean(
            0.5 + 0.5 * np.log(2 * np.pi) + policy.log_std
        )  # of a narrow Gaussian at 0, where tanh is the identity
        assert (entropy < -10.0) == reached
        np.testing.assert_allclose(-log_prob / ACTIONS, entropy, atol=2.0)


def test_layer_norm_in_the_actor_normalizes_every_hidden_layer():
    ac = built(actor_layer_norm=True)
    layers = ac.actor_params["params"]["trunk"]
    assert {f"LayerNorm_{i}" for i in range(2)} <= set(layers)
    scaled = jax.tree.map(lambda x: x, ac.actor_params)
    scaled["params"]["trunk"]["Dense_0"]["kernel"] = 1000.0 * scaled["params"]["trunk"]["Dense_0"]["kernel"]
    x = jax.random.normal(jax.random.key(1), (5, OBSERVATIONS))
    np.testing.assert_allclose(
        ac.actor.apply(scaled, x).mean, ac.actor.apply(ac.actor_params, x).mean, rtol=1e-3, atol=1e-3
    )


def test_a_shared_head_stays_equal_for_all_members():
    critic = Critic((6,), shared_head=True)
    params = init_ensemble(critic, jax.random.key(0), 4, 3, 2)
    gradient = jax.tree.map(lambda x: jax.random.normal(jax.random.key(x.size), x.shape), params)
    head = tie_heads(critic, gradient)["params"]["MLP_0"]["Dense_1"]["kernel"]
    np.testing.assert_allclose(head[2], gradient["params"]["MLP_0"]["Dense_1"]["kernel"].sum(0), rtol=1e-6)
    optimizer = make_optimizer("muon", 1e-2)
    updates, _ = optimizer.update(tie_heads(critic, gradient), optimizer.init(params), params)
    layers = optax.apply_updates(params, updates)["params"]["MLP_0"]
    assert np.ptp(layers["Dense_1"]["kernel"], axis=0).max() == 0
    assert np.ptp(layers["Dense_0"]["kernel"], axis=0).max() > 0.1
    assert tie_heads(Critic((6,)), gradient) is gradient


def test_an_independent_pair_may_contain_one_member_twice():
    values = jnp.arange(3.0)[:, None]
    found = {float(aggregate(values, "random2_independent", jax.random.key(i))[0]) for i in range(60)}
    assert found == {0.0, 1.0, 2.0}  # the result is 2 only if both samples are the last member
    assert {float(aggregate(values, "random2", jax.random.key(i))[0]) for i in range(60)} == {0.0, 1.0}


# --- the transfer ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def data():
    return dataset()


@pytest.fixture(scope="module")
def trained(data):
    algorithm = make_offline("smac", {**small("smac"), "temperature_learning_rate": 1e-3})
    state = jax.jit(algorithm.init)(jax.random.key(0), data)
    update = jax.jit(algorithm.phases[-1].update)
    for i in range(3):
        state, _ = update(state, data.sample(jax.random.key(i), 16), jax.random.key(i))
    return algorithm, state


def test_temperature_and_optimizers_are_carried_over(trained):
    algorithm, state = trained
    carried, ac = algorithm.training_state(state), algorithm.actor_critic(state)
    config = sac.SACConfig(temperature_start="carried", optimizer_start="carried")
    start = sac.init(config, jax.random.key(1), ac, carried)
    assert float(carried.temperature) != pytest.approx(0.1, abs=1e-5)
    np.testing.assert_allclose(temperature_of(config, start.temperature_parameter), carried.temperature, rtol=1e-6)
    for name in ("critic_optimizer", "actor_optimizer", "temperature_optimizer"):
        jax.tree.map(np.testing.assert_array_equal, getattr(start, name), getattr(state.sac, name))
    softplus = sac.SACConfig(temperature_start="carried", temperature_parameterization="softplus")
    other = sac.init(softplus, jax.random.key(1), ac, carried)
    np.testing.assert_allclose(temperature_of(softplus, other.temperature_parameter), carried.temperature, rtol=1e-5)
    fresh = sac.init(sac.SACConfig(), jax.random.key(1), ac, carried)
    assert int(fresh.critic_optimizer[0].count) == 0


@pytest.fixture(scope="module")
def begun(data):
    """The name of an offline algorithm to itself and its first state."""

    @cache
    def begin(name):
        algorithm = make_offline(name, small(name))
        return algorithm, jax.jit(algorithm.init)(jax.random.key(0), data)

    return begin


@pytest.mark.parametrize("online", ["sac", "td3", "td3_bc", "awr"])
@pytest.mark.parametrize("offline", ["smac", "td3_bc", "iql", "cql", "bc"])
def test_every_pair_of_algorithms_can_carry_over_the_optimizers(offline, online, begun):
    algorithm, state = begun(offline)
    carried = algorithm.training_state(state)
    moved = jax.tree.map(lambda x: x + 1, carried)
    start = make_online(online, {"optimizer_start": "carried"}).init(
        jax.random.key(0), algorithm.actor_critic(state), moved
    )
    jax.tree.map(np.testing.assert_array_equal, start.critic_optimizer, moved.critic_optimizer)
    jax.tree.map(np.testing.assert_array_equal, start.actor_optimizer, moved.actor_optimizer)


def test_a_missing_training_state_is_refused_by_name(trained):
    algorithm, state = trained
    ac, carried = algorithm.actor_critic(state), algorithm.training_state(state)
    init = lambda carried, **fields: sac.init(sac.SACConfig(**fields), jax.random.key(0), ac, carried)  # noqa: E731
    with pytest.raises(
        ConfigError, match=r"optimizer_start = 'carried': there is no state of the critic's.*training_state"
    ):
        init(None, optimizer_start="carried")
    with pytest.raises(ConfigError, match="no temperature was trained offline"):
        init(carried.replace(temperature=None), temperature_start="carried")
    with pytest.raises(ConfigError, match="another one online than offline"):
        init(carried, optimizer_start="carried", optimizer="muon")


# --- presets ----------------------------------------------------------------------------------------------------------
def test_all_differences_together_turn_one_base_into_the_other():
    everything = "".join(f"+{name}" for name in bases.DIFFERENCES)
    assert flat(ours.get_config(everything).to_dict()) == flat(wsrl_base.get_config().to_dict())
    nothing = "".join(f"-{name}" for name in bases.DIFFERENCES)
    assert flat(wsrl_base.get_config(nothing).to_dict()) == flat(ours.get_config().to_dict())
    at_paper_size = flat(wsrl_base.get_config("paper").to_dict())
    assert at_paper_size["sac.batch_size"] == 1024
    assert at_paper_size["sac.temperature_learning_rate"] == 1e-4
    assert at_paper_size["smac.network.critic_hidden"] == (512,) * 3


@pytest.mark.parametrize("name", list(bases.DIFFERENCES))
def test_a_difference_changes_its_fields_and_no_others(name):
    for module, sign in ((ours, "+"), (wsrl_base, "-")):
        before, after = flat(module.get_config().to_dict()), flat(module.get_config(sign + name).to_dict())
        changed = {field for field in before if before[field] != after[field]}
        assert changed
        assert changed <= set(bases.DIFFERENCES[name])
        make_offline("smac", module.get_config(sign + name).smac)
        make_online("sac", module.get_config(sign + name).sac)


def test_every_field_that_differs_has_a_source():
    a, b = flat(ours.get_config().to_dict()), flat(wsrl_base.get_config().to_dict())
    assert {field for field in a if a[field] != b[field]} <= set(bases.SOURCES)
    assert all(len(source) == 2 and all(source) for source in bases.SOURCES.values())


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ("+nothing", r"no variant \+nothing"),
        ("-random2", "no variant -random2"),
        ("random2", "must begin with"),
        ("paper+", r"no variant \+"),
    ],
)
def test_unknown_variants_of_the_bases_are_refused(variant, words):
    with pytest.raises(ConfigError, match=words):
        ours.get_config(variant)


def test_orthogonal_kernels_are_drawn_uniformly():
    """The determinant is 1 as often as -1, and every entry has mean 0 and variance 1/n."""
    kernels = np.asarray(jax.vmap(lambda key: orthogonal(1.0)(key, (3, 3)))(jax.random.split(jax.random.key(0), 4000)))
    assert abs(np.linalg.det(kernels).mean()) < 0.06
    np.testing.assert_allclose(kernels.mean(0), 0.0, atol=0.04)
    np.testing.assert_allclose(kernels.var(0), 1 / 3, atol=0.03)


@pytest.mark.parametrize("module", [ours, wsrl_base])
def test_a_base_pretrains_transfers_and_fine_tunes(module, data):
    """Several seeds are pre-trained and fine-tuned. The transfer carries over the training state."""
    config = module.get_config()
    tiny = {"network": {**config.smac.network.to_dict(), "actor_hidden": (16, 16), "critic_hidden": (16, 16)}}
    score = {**config.smac.score_model.to_dict(), "num_updates": 4, "hidden": 16, "num_blocks": 1}
    env = smac_jax.make_env("hopper", "mujoco")
    hopper = smac_jax.load_dataset("hopper-medium-replay").part(0.01)
    smac_config = {**config.smac.to_dict(), **tiny, "score_model": score, "alpha_hidden": (8,)}
    off = smac_jax.pretrain("smac", hopper, seeds=2, num_updates=4, config=smac_config, progress=False)
    on = smac_jax.finetune(
        "sac", off.actor_critic, env, hopper, seeds=2, num_steps=3, config={**config.sac.to_dict(), "batch_size": 16},
        warm_start=5, eval_episodes=1, episode_length=20, progress=False, training_state=off.training_state,
    )  # fmt: skip
    assert (on.diverged == -1).all()
    assert np.isfinite(on.metrics["temperature"][-1]).all()
