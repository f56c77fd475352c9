"""The share of offline data, as a function of the environment step."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.errors import ConfigError
from smac_jax.train.data_fraction import data_fraction_from


def shares(*arguments, steps):
    fraction = data_fraction_from(*arguments)
    return [float(fraction.at(jnp.asarray(step, jnp.int32))) for step in steps]


def test_the_share_can_be_constant():
    assert data_fraction_from(0.5, None, None, 10, 100).is_constant
    assert data_fraction_from(0.5, 0.5, 20, 10, 100).is_constant
    assert shares(0.25, None, None, 10, 100, steps=[0, 10, 60, 110]) == [0.25] * 4


def test_a_share_changes_linearly_from_the_end_of_the_warm_start():
    assert shares(0.5, 0.0, None, 10, 100, steps=[0, 10, 35, 60, 110]) == [0.5, 0.5, 0.375, 0.25, 0.0]
    assert shares(0.5, 0.0, 50, 10, 100, steps=[0, 10, 35, 60, 110]) == [0.5, 0.5, 0.25, 0.0, 0.0]
    np.testing.assert_allclose(shares(0.0, 0.8, 50, 0, 100, steps=[0, 25, 99]), [0.0, 0.4, 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.5, None, None), r"finetune: data_fraction = 1.5: must be in \[0, 1\]"),
        ((0.5, -0.1, None), r"finetune: final_data_fraction = -0.1: must be in \[0, 1\]"),
        ((0.5, 0.0, 0), "finetune: data_fraction_steps = 0: must be at least 1"),
        ((0.5, None, 50), "data_fraction_steps = 50: says in how many steps data_fraction becomes final_data_fraction"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        data_fraction_from(*arguments, 10, 100)
