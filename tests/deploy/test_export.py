"""Exported files run without this package, and compute the same as the Flax actor."""

from __future__ import annotations

import itertools
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.export
import numpy as np
import pytest
from programs import run_command

import smac_jax
from smac_jax.deploy.policy import ACTIVATIONS, DISTRIBUTIONS, NumpyPolicy
from smac_jax.errors import CheckpointError, ConfigError, UnknownNameError

ROOT = Path(__file__).parents[2]
GAUSSIANS = [name for name in DISTRIBUTIONS if name != "one_step_flow"]
KINDS = [
    # every activation, and every pair of the others
    {"distribution": policy, "state_dependent_std": dependent, "actor_activation": activation}
    for (policy, dependent), activation in zip(itertools.product(GAUSSIANS, (True, False)), ACTIVATIONS, strict=True)
]
KINDS.append({"distribution": "tanh_gaussian", "state_dependent_std": True, "actor_layer_norm": True})
AFTER = {"actor_layer_norm": True, "layer_norm_position": "after_activation"}
KINDS += [{"distribution": "one_step_flow", "actor_activation": "gelu"}, {"distribution": "one_step_flow", **AFTER}]
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
# a process that has JAX but not this package
FRESH = """
import pathlib, sys
import jax, jax.export, numpy as np
for name in sys.argv[1:]:
    exported = jax.export.deserialize(pathlib.Path(name).read_bytes())
    inputs = np.load(name + ".in.npz")
    np.save(name + ".out.npy", jax.jit(exported.call)(*(inputs[key] for key in sorted(inputs.files, reverse=True))))
assert "smac_jax" not in sys.modules
"""


def needs_onnx() -> None:
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name, reason=f"pip install {name}: writes or runs the exported file")


def run_onnx(path: Path, **inputs: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (action,) = session.run(["action"], {name: x.astype(np.float32) for name, x in inputs.items()})
    return action


def run_jax(path: Path, *inputs: np.ndarray) -> np.ndarray:
    return np.asarray(jax.export.deserialize(path.read_bytes()).call(*(x.astype(np.float32) for x in inputs)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_onnx_equals_the_flax_actor(kind, make_actor_critic, flax_policies, observations, tmp_path):
    needs_onnx()
    actor_critic, rows = make_actor_critic(**kind), observations.reshape(-1, 5)
    flax, path = flax_policies(actor_critic, rows), tmp_path / "policy.onnx"
    smac_jax.export(actor_critic, path, seed=1)
    for some in (rows, rows[:1], rows[:0]):  # the size of the batch is not fixed
        np.testing.assert_allclose(run_onnx(path, observation=some), flax.mode()[1, : len(some)], **TOLERANCE)
    smac_jax.export(actor_critic, path, seed="all", sample=True)
    noise = np.random.default_rng(0).normal(size=(6, 3))
    got = run_onnx(path, observation=rows, noise=noise)
    np.testing.assert_allclose(got, flax.sampled(noise), **TOLERANCE)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_stablehlo_equals_the_flax_actor(kind, make_actor_critic, flax_policies, observations, tmp_path):
    actor_critic, rows = make_actor_critic(**kind), observations.reshape(-1, 5)
    flax, path = flax_policies(actor_critic, rows), tmp_path / "policy.stablehlo"
    smac_jax.export(actor_critic, path, seed=1)
    for some in (rows, rows[:1]):
        np.testing.assert_allclose(run_jax(path, some), flax.mode()[1, : len(some)], **TOLERANCE)
    smac_jax.export(actor_critic, path, seed="all", sample=True)
    noise = np.random.default_rng(0).normal(size=(6, 3))
    np.testing.assert_allclose(run_jax(path, rows, noise), flax.sampled(noise), **TOLERANCE)


def test_stablehlo_runs_in_a_process_without_this_package(stacked, flax_policies, observations, tmp_path):
    rows, noise = observations.reshape(-1, 5), np.random.default_rng(0).normal(size=(6, 3))
    paths = {sample: tmp_path / f"sample-{sample}.stablehlo" for sample in (False, True)}
    for sample, path in paths.items():
        smac_jax.export(stacked, path, seed=2, sample=sample)
        inputs = {"observation": rows} | ({"noise": noise} if sample else {})
        np.savez(f"{path}.in.npz", **{name: x.astype(np.float32) for name, x in inputs.items()})
    subprocess.run([sys.executable, "-c", FRESH, *map(str, paths.values())], cwd=tmp_path, check=True, timeout=120)
    flax = flax_policies(stacked, rows)
    wants = {False: flax.mode(), True: flax.sampled(noise)}
    for sample, path in paths.items():
        np.testing.assert_allclose(np.load(f"{path}.out.npy"), wants[sample][2], **TOLERANCE)


@pytest.mark.parametrize("to", ["npz", "onnx", "stablehlo"])
def test_the_same_policy_makes_the_same_file_and_no_path_is_in_it(to, stacked, tmp_path):
    if to == "onnx":
        needs_onnx()
    contents = []
    for name in ("one", "other"):
        path = tmp_path / name
        smac_jax.export(stacked, path, to)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert b".py" not in contents[0].replace(b".npy", b"")


def test_stablehlo_is_for_all_platforms_and_rounds_on_none(stacked, tmp_path):
    smac_jax.export(stacked, tmp_path / "policy.stablehlo")
    exported = jax.export.deserialize((tmp_path / "policy.stablehlo").read_bytes())
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert [str(aval.shape) for aval in exported.in_avals] == ["(batch, 5)"]
    products = [line for line in exported.mlir_module().splitlines() if "stablehlo.dot_general" in line]
    assert len(products) == 3 * 3  # layers, platforms
    assert all("HIGHEST" in line for line in products)


@pytest.mark.parametrize("to", ["onnx", "stablehlo"])
def test_a_batch_can_be_fixed(to, stacked, flax_policies, observations, tmp_path):
    if to == "onnx":
        needs_onnx()
    rows = observations.reshape(-1, 5)
    path = tmp_path / "policy.bin"
    smac_jax.export(stacked, path, to, batch=4)
    call = run_jax if to == "stablehlo" else lambda path, x: run_onnx(path, observation=x)
    np.testing.assert_allclose(call(path, rows[:4]), flax_policies(stacked, rows[:4]).mode()[0], **TOLERANCE)
    with pytest.raises(Exception, match=r"(?i)dimension|shape mismatch"):
        call(path, rows[:3])


def test_onnx_states_what_it_is(stacked, tmp_path):
    needs_onnx()
    import onnx

    smac_jax.export(stacked, tmp_path / "policy.onnx")
    model = onnx.load(tmp_path / "policy.onnx")
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    assert (
        model.ir_version == 8
    )  # The version of the operators is of the same year. Runtimes of that year refuse later ones.
    assert model.producer_version == smac_jax.__version__
    assert "[-1, 1]" in model.doc_string
    assert {node.op_type for node in model.graph.node} == {"Sub", "Div", "MatMul", "Add", "Relu", "Tanh"}
    assert "hidden_0_kernel" in {tensor.name for tensor in model.graph.initializer}
    assert not any(
        tensor.name.startswith("log_std") for tensor in model.graph.initializer
    )  # a mode does not need the standard deviation


def test_the_mode_of_a_flow_in_onnx_has_no_noise(make_actor_critic, tmp_path):
    needs_onnx()
    import onnx

    smac_jax.export(make_actor_critic(distribution="one_step_flow"), tmp_path / "policy.onnx")
    model = onnx.load(tmp_path / "policy.onnx")
    assert [value.name for value in model.graph.input] == ["observation"]
    assert "noise_kernel" not in {tensor.name for tensor in model.graph.initializer}


@pytest.mark.parametrize("source", ["actor-critic", "policy", "file"])
def test_exporting_npz_selects_one_seed(source, stacked, flax_policies, observations, tmp_path):
    given = stacked
    if source != "actor-critic":
        given = NumpyPolicy.of(stacked)
    if source == "file":
        smac_jax.export(given, tmp_path / "all.npz", seed="all")
        given = tmp_path / "all.npz"
    written = smac_jax.export(given, tmp_path / "one.npz", seed=2)
    read = smac_jax.load(tmp_path / "one.npz")
    assert written.seeds == read.seeds == 2
    np.testing.assert_allclose(read(observations), flax_policies(stacked, observations).mode()[2], **TOLERANCE)


@pytest.mark.parametrize(
    ("out", "options", "error", "words"),
    [
        ("policy.pt", {}, UnknownNameError, "Unknown export format 'pt'. Known: npz, onnx, stablehlo"),
        ("policy", {}, UnknownNameError, "Unknown export format ''"),
        ("policy.onnx", {"batch": 0}, ConfigError, "batch = 0: must be at least 1"),
        ("policy.npz", {"batch": 3}, ConfigError, "not for to = 'npz'"),
        ("policy.npz", {"sample": True}, ConfigError, "not for to = 'npz'"),
        ("policy.npz", {"seed": 7}, ConfigError, "seed = 7: must be one of 0, 1, 2, or 'all'"),
        ("absent/policy.npz", {}, CheckpointError, "cannot be written \\(No such file or directory\\)"),
    ],
)
def test_policies_that_cannot_be_exported_are_refused_without_a_file(out, options, error, words, stacked, tmp_path):
    with pytest.raises(error, match=words):
        smac_jax.export(stacked, tmp_path / out, **options)
    assert list(tmp_path.iterdir()) == []


def test_an_invalid_source_of_a_policy_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"source is a dict: give a path, a policy, or a result's \.actor_critic"):
        smac_jax.export({}, tmp_path / "policy.npz")  # type: ignore[arg-type]


def test_without_onnx_the_error_says_what_to_install(stacked, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"pip install 'smac_jax\[onnx\]'"):
        smac_jax.export(stacked, tmp_path / "policy.onnx")
    assert list(tmp_path.iterdir()) == []


program = partial(run_command, "export")


def test_the_command_exports_one_seed_and_prints_its_shapes(stacked, flax_policies, observations, tmp_path):
    smac_jax.export(NumpyPolicy.of(stacked, [4, 5, 6]), tmp_path / "all.npz", seed="all")
    done = program(tmp_path / "all.npz", f"--out={tmp_path / 'five.bin'}", "--to=npz", "--seed=5")
    assert done.returncode == 0, done.stderr
    size = (tmp_path / "five.bin").stat().st_size
    assert done.stdout.splitlines() == [
        f"{tmp_path / 'five.bin'}: seed 5, {size:,} bytes",
        "observation [batch, 5] -> action [batch, 3]",
    ]
    policy = smac_jax.load(tmp_path / "five.bin")
    np.testing.assert_allclose(policy(observations), flax_policies(stacked, observations).mode()[1], **TOLERANCE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "--out=policy.npz"], "error: nowhere does not exist"),
        (["--out=policy.npz"], "Give one RUN"),
        (["a", "b", "--out=policy.npz"], "unexpected arguments: b"),
        (["a", "--out=policy.npz", "--seed=x"], "error: --seed=x: must be the number of a seed, or all"),
    ],
)
def test_a_mistake_causes_one_line_without_a_traceback(arguments, words):
    done = program(*arguments)
    assert done.returncode != 0
    assert words in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
