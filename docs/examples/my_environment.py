"""An environment that brings its own simulation: a point on a plane that is pushed to the origin.

    smac-jax make-dataset --import=my_environment.py --task=point-mass --kinds=random --size=10000
    smac-jax sweep --import=my_environment.py --task=data/point-mass-random.hdf5

It is one robot, not vectorized, without a time limit and without automatic reset: training adds all of these.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from smac_jax.extend import Env, State, register_environment


# The mean returns of random actions and of a good controller: 0 and 100 of the normalized score.
@register_environment("point-mass", random_return=-39.8, expert_return=-7.9, episode_length=50)
class PointMass(Env):
    """Observes position and velocity, ``[4]``; is pushed by ``[2]``; pays minus the distance to the origin."""

    def __init__(self, push: float = 0.1):
        self.push = push

    def reset(self, rng: jax.Array) -> State:
        """Somewhere in the square, at rest."""
        position = jax.random.uniform(rng, (2,), minval=-1.0, maxval=1.0)
        obs = jnp.concatenate([position, jnp.zeros(2)])
        zero = jnp.zeros(())
        return State(pipeline_state=None, obs=obs, reward=zero, done=zero, metrics={"distance": zero}, info={})

    def step(self, state: State, action: jax.Array) -> State:
        """Pushed by an action in ``[-1, 1]``; beyond the edge the episode is over (no time limit here)."""
        velocity = 0.9 * state.obs[2:] + self.push * action
        position = state.obs[:2] + self.push * velocity
        distance = jnp.linalg.norm(position)
        return state.replace(
            obs=jnp.concatenate([position, velocity]),
            reward=-distance,
            done=(distance > 4.0).astype(jnp.float32),
            metrics={"distance": distance},
        )

    @property
    def observation_size(self) -> int:
        """Position and velocity."""
        return 4

    @property
    def action_size(self) -> int:
        """Two forces."""
        return 2

    @property
    def backend(self) -> str:
        """What the record of a run calls the simulation."""
        return "jax"
