"""Policies from all kinds of files act in compiled programs as their formats define."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import smac_jax
from smac_jax.deploy.policy_source import PADDINGS, read_policy_source, split_checkpoint
from smac_jax.errors import CheckpointError, ConfigError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
FILES = sorted([*SHARED.glob("policies/*.npz"), *SHARED.glob("*-policy.npz")])
TOLERANCE = {"rtol": 2e-4, "atol": 2e-5}
OBSERVATIONS = np.random.default_rng(0).normal(size=(16, 200)).astype(np.float32)


def by_the_formula(file: dict[str, np.ndarray], checkpoint: int | None, x: np.ndarray, noise: np.ndarray | None):
    """Computes the formula of the format in float64: normalized input, two layers, mean, noise and head."""
    w = {k: v if checkpoint is None else v[checkpoint] for k, v in file.items() if v.dtype.kind == "f"}
    w = {key: value.astype(np.float64) for key, value in w.items()}
    x = x.astype(np.float64)
    if "obs_mean" in w:
        x = (x - w["obs_mean"]) / w["obs_std"]
        x = np.clip(x, -w.get("obs_clip", np.inf), w.get("obs_clip", np.inf))
    activation = np.tanh if file.get("activation", "relu") == "tanh" else lambda x: np.maximum(x, 0)
    for i in range(2):
        x = activation(x @ w[f"w{i}"] + w[f"b{i}"])
    m = (x @ w["w_mean"] + w["b_mean"]) * w.get("out_scale", 1) + w.get("out_shift", 0)
    if noise is not None:
        log_std = w["log_std"] if "log_std" in w else x @ w["w_log_std"] + w["b_log_std"]
        m = m + np.exp(log_std) * noise
    return np.tanh(m) if file.get("head", "tanh") == "tanh" else np.clip(m, -1, 1)


def small_file(path: Path, layers: int = 2, checkpoints: int | None = None, **changes) -> Path:
    rng, leading = np.random.default_rng(1), () if checkpoints is None else (checkpoints,)
    sizes = [11, *[7] * layers, 3]
    names = [str(i) for i in range(layers)] + ["_mean"]
    arrays = {f"w{n}": rng.normal(size=(*leading, a, b)) for n, a, b in zip(names, sizes, sizes[1:], strict=False)}
    arrays |= {f"b{n}": rng.normal(size=(*leading, b)) for n, b in zip(names, sizes[1:], strict=False)}
    arrays |= {"log_std": np.zeros((*leading, 3)), "activation": np.array("tanh"), "head": np.array("clip")}
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return path


@pytest.mark.skipif(not FILES, reason=f"no policies in {SHARED}")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_policy_of_another_project_acts_as_its_format_defines(path):
    with np.load(path) as stored:
        file = dict(stored)
    checkpoint = 4 if file["w0"].ndim == 3 else None
    policy = read_policy_source(path, checkpoint)
    assert (policy.observation_size, policy.action_size) == (file["w0"].shape[-2], file["w_mean"].shape[-1])
    x = 2 * OBSERVATIONS[:, : policy.observation_size]
    got = jax.jit(jax.vmap(policy.act))(x)
    np.testing.assert_allclose(got, by_the_formula(file, checkpoint, x, None), **TOLERANCE)
    keys = jax.random.split(jax.random.key(0), len(x))
    noise = np.asarray(jax.vmap(lambda key: jax.random.normal(key, (policy.action_size,)))(keys))
    np.testing.assert_allclose(
        jax.vmap(policy.act)(x, keys), by_the_formula(file, checkpoint, x, noise), rtol=2e-3, atol=2e-4
    )


@pytest.mark.skipif(not FILES, reason=f"no policies in {SHARED}")
@pytest.mark.parametrize(("name", "size"), [("zoo-ppo-walker2d", 17), ("zoo-ppo-ant", 27), ("cs285-ant", 27)])
def test_longer_inputs_end_in_zeros_and_a_time_feature_of_one(name, size):
    policy = read_policy_source(SHARED / "policies" / f"{name}.npz")
    x = OBSERVATIONS[0, :size]
    zeros, ones = {18: (0, 1), 111: (84, 0), 112: (84, 1)}[policy.observation_size]
    padded = np.concatenate([x, np.zeros(zeros), np.ones(ones)])
    fitted = policy.fit(size, policy.action_size, "here")
    assert fitted.observation_size == size
    np.testing.assert_allclose(fitted.act(x), policy.act(padded), rtol=1e-6)


def test_paddings_have_the_listed_sizes():
    for (environment, policy), (keep, zeros, ones) in PADDINGS.items():
        assert keep <= environment
        assert keep + zeros + ones == policy


@pytest.mark.parametrize("layers", [1, 3])
def test_a_perceptron_may_have_any_number_of_layers(layers, tmp_path):
    path = small_file(tmp_path / "p.npz", layers)
    x = OBSERVATIONS[0, :11]
    with np.load(path) as w:
        h = x
        for i in range(layers):
            h = np.tanh(h @ w[f"w{i}"] + w[f"b{i}"])
        expected = np.clip(h @ w["w_mean"] + w["b_mean"], -1, 1)
    np.testing.assert_allclose(read_policy_source(path).act(x), expected, **TOLERANCE)


def test_a_policy_of_this_package_acts_as_in_numpy(stacked, tmp_path):
    path = tmp_path / "policy.npz"
    smac_jax.export(stacked, path, seed="all")
    x = OBSERVATIONS[:, :5]
    policy = read_policy_source(path, 2)
    assert policy.name == "policy.npz@2"
    np.testing.assert_allclose(jax.vmap(policy.act)(x), smac_jax.load(path, 2)(x), **TOLERANCE)
    with pytest.raises(ConfigError, match=r"seeds 0, 1, 2. Name one of them, as in policy\.npz@2"):
        read_policy_source(path)
    run = tmp_path / "to-sac"
    (run / "actor_critic").mkdir(parents=True)
    path.rename(run / "actor_critic" / "policy.npz")
    of_run = read_policy_source(run, 2)
    assert (of_run.name, of_run.sha256) == ("to-sac@2", policy.sha256)
    np.testing.assert_array_equal(of_run.act(x[0]), policy.act(x[0]))


@pytest.mark.parametrize("batch", [None, 1, 5])
def test_an_exported_onnx_policy_acts_as_in_numpy_inside_scan(batch, stacked, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "policy.onnx"
    smac_jax.export(stacked, path, seed=1, batch=batch)
    policy = read_policy_source(path)
    assert (policy.observation_size, policy.action_size, policy.stochastic) == (5, 3, False)
    x = jnp.asarray(OBSERVATIONS[:, :5])
    _, got = jax.jit(lambda x: jax.lax.scan(lambda _, rows: (None, jax.vmap(policy.act)(rows)), None, x))(x[None])
    np.testing.assert_allclose(got[0], smac_actions(stacked, x), **TOLERANCE)
    np.testing.assert_allclose(policy.act(x[0]), got[0, 0], **TOLERANCE)


def smac_actions(actor_critic, x):
    from smac_jax.deploy.policy import NumpyPolicy

    return NumpyPolicy.of(actor_critic).select(1)(np.asarray(x))


def test_an_onnx_export_that_takes_noise_is_stochastic(stacked, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "policy.onnx"
    smac_jax.export(stacked, path, seed=1, sample=True)
    policy = read_policy_source(path)
    assert policy.stochastic
    x = jnp.asarray(OBSERVATIONS[:, :5])
    np.testing.assert_allclose(jax.vmap(policy.act)(x), smac_actions(stacked, x), **TOLERANCE)
    assert (
        np.abs(jax.vmap(policy.act)(x, jax.random.split(jax.random.key(0), 16)) - jax.vmap(policy.act)(x)).max() > 0.1
    )


def test_the_action_is_found_among_several_onnx_outputs(tmp_path):
    """Some libraries export a batch of one, outputs by number or name, and the value beside the action."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    declare, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    kernel = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
    for action, order in (("33", ["action", "value"]), ("actions", ["value", "action"])):
        outputs = {"action": declare(action, kind, [1, 3]), "value": declare("value", kind, [1, 11])}
        nodes = [
            onnx.helper.make_node("MatMul", ["input", "kernel"], [action]),
            onnx.helper.make_node("Abs", ["input"], ["value"]),
        ]
        weights = [onnx.numpy_helper.from_array(kernel, "kernel")]
        seen = [declare("input", kind, [1, 11])]
        graph = onnx.helper.make_graph(nodes, "graph", seen, [outputs[name] for name in order], weights)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        path = tmp_path / f"{action}.onnx"
        path.write_bytes(model.SerializeToString())
        x = OBSERVATIONS[:, :11]
        got = jax.vmap(read_policy_source(path).act)(x)
        np.testing.assert_allclose(got, np.clip(x @ kernel, -1, 1), **TOLERANCE)


def test_an_onnx_file_with_another_signature_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    sizes = {"a": ["batch", 4], "h": ["batch", 4]}
    declared = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in sizes.items()]
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 4])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["a", "h"], ["y"])], "g", declared, [out])
    path = tmp_path / "two.onnx"
    path.write_bytes(
        onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
        ).SerializeToString()
    )
    with pytest.raises(CheckpointError, match=r"expected one input .* its inputs: a tensor\(float\).*h tensor"):
        read_policy_source(path)
    path.write_bytes(b"not onnx")
    with pytest.raises(CheckpointError, match=r"two\.onnx is not an ONNX file"):
        read_policy_source(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"b1": None, "w_mean": None}, r"it has no w_mean, b1; it has w0"),
        ({"activation": np.array("swish")}, r"activation is 'swish'; known are relu, tanh"),
        ({"head": np.array("softmax")}, r"head is 'softmax'; known are tanh, none, clip"),
        ({"w1": np.zeros((5, 7))}, r"w1 has shape \(5, 7\), but the other arrays need \(7, 7\)"),
        ({"b0": np.full(7, np.nan)}, r"b0 holds 7 numbers that are not finite"),
        ({"obs_mean": np.zeros(11), "obs_std": np.zeros(11)}, r"obs_std must be above 0"),
        ({"obs_mean": np.zeros(11)}, r"it has no obs_std"),
        ({"b0": np.array([None] * 7)}, r"is damaged, or no policy file \(Object arrays cannot be loaded"),
    ],
)
def test_invalid_policy_files_cause_a_one_line_message(changes, message, tmp_path):
    path = small_file(tmp_path / "p.npz", **changes)
    with pytest.raises(CheckpointError, match=message) as error:
        read_policy_source(path)
    assert "\n" not in str(error.value)


def test_a_checkpoint_must_be_named_and_must_exist(tmp_path):
    path = small_file(tmp_path / "p.npz", checkpoints=3)
    assert read_policy_source(path, 2).name == "p.npz@2"
    with pytest.raises(ConfigError, match=r"holds checkpoints 0, 1, 2. Name one of them, as in p\.npz@2"):
        read_policy_source(path)
    with pytest.raises(ConfigError, match=r"has no checkpoint 3: it holds checkpoints 0, 1, 2"):
        read_policy_source(path, 3)
    with pytest.raises(ConfigError, match=r"has no checkpoint 1: it holds only checkpoint 0"):
        read_policy_source(small_file(tmp_path / "q.npz"), 1)
    assert split_checkpoint(f"{path}@2") == (str(path), 2)
    assert split_checkpoint(str(path)) == (str(path), None)
    (tmp_path / "p@7").touch()
    assert split_checkpoint(str(tmp_path / "p@7")) == (str(tmp_path / "p@7"), None)


def test_missing_files_and_files_without_a_policy_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.npz: the file does not exist"):
        read_policy_source(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(CheckpointError, match=r"neither an \.npz file nor an \.onnx file"):
        read_policy_source(tmp_path / "text.npz")


def test_the_error_about_different_sizes_names_both(tmp_path):
    policy = read_policy_source(small_file(tmp_path / "p.npz"))
    assert policy.fit(11, 3, "hopper") is policy
    with pytest.raises(ConfigError, match=r"p\.npz maps 11 observations to 3 actions, but ant has 27 and 8.*padded"):
        policy.fit(27, 8, "ant")
