"""What is read from compilers' texts, what the model makes of it, and rules that hold on every machine."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from programs import run_module

import smac_jax
from benchmarks.devices import __main__ as command
from benchmarks.devices import budgets, model, programs, targets, thunks
from benchmarks.devices.facts import Compiled, Facts, callback, collective, kernels_of, products, training_step
from benchmarks.devices.hlo import Module, shapes
from benchmarks.devices.model import Constants, Kernel
from benchmarks.devices.targets import GPUS, TPUS, Target
from smac_jax.errors import ConfigError
from smac_jax.matrix_products import inner_jaxprs, product_flops_of

# --- descriptions of devices


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("h100", {"core_count": 132, "memory_bandwidth": 3.352e12, "device_memory_size": 84_942_979_072}),
        ("h200", {"core_count": 132, "memory_bandwidth": 4.8e12, "device_memory_size": 151_397_597_184}),
        ("a100", {"core_count": 108, "fpus_per_core": 64, "memory_bandwidth": 2.039e12, "clock_rate_ghz": 1.41}),
        ("a100", {"l2_cache_size": 41_943_040, "shared_memory_per_core": 167_936, "major": 8, "minor": 0}),
        ("a100", {"shared_memory_per_block_optin": 166_912, "device_memory_size": 85_100_068_864}),
        ("l4", {"core_count": 58, "l2_cache_size": 48 * 2**20, "memory_bandwidth": 3e11, "major": 8, "minor": 9}),
        ("l4", {"shared_memory_per_block_optin": 99 * 2**10, "threads_per_core_limit": 1536}),
    ],
)
def test_descriptions_have_the_published_numbers(name, published):
    fields = re.findall(r"(\w+): ([\d.]+)(?=\s)", GPUS[name].text().partition("platform_name")[0])
    found = {field: float(value) for field, value in fields}
    assert {field: found[field] for field in published} == published
    assert GPUS[name].text().count("{") == GPUS[name].text().count("}")


def test_only_hopper_has_the_features_of_its_architecture():
    assert [name for name, gpu in GPUS.items() if "ACCELERATED_FEATURES" in gpu.text()] == ["h100", "h200"]


@pytest.mark.parametrize("name", ["b300", "h100:2x2", "v5e:four", "tpu", "h100:x", ""])
def test_a_target_that_does_not_exist_is_refused_with_the_known_ones(name):
    with pytest.raises(ConfigError, match=rf"--target={name}: there is no such device.*h100.*v5e.*here"):
        targets.find_target(name)


@pytest.mark.parametrize("name", ["h100", "v5e:2x2"])
def test_a_compiler_that_is_missing_is_named_with_its_installation(name, monkeypatch):
    monkeypatch.setattr(targets, "WHEELS", {"gpu": ("no-such-wheel",), "tpu": ("no-such-wheel",)})
    with pytest.raises(ConfigError, match=r"the compiler for a (GPU|TPU) is not installed.*'\.\[devices\]'"):
        targets.find_target(name)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("NVIDIA H100 80GB HBM3", "h100"), ("NVIDIA A100-SXM4-80GB", "a100"), ("NVIDIA L4", "l4"), ("TPU v5 lite", "v5e")],
)
def test_a_device_that_is_present_is_found_by_the_name_its_driver_gives(kind, name):
    assert targets.chip_of(kind) is {**GPUS, **TPUS}[name]


def test_a_device_that_nobody_described_has_no_prediction():
    unknown = Target("here", "gpu", targets.chip_of("NVIDIA L40S"), ())
    assert unknown.chip is None
    assert model.predict([Kernel(1.0, 1.0)], unknown, Constants()) is None
    assert "nothing is predicted" in model.assumptions(unknown, Constants())


# --- HLO

HLO = """\
HloModule small

%gathered (param_0: f32[1000,8], param_1: s32[16]) -> f32[16,8] {
  %param_0 = f32[1000,8]{1,0} parameter(0)
  %param_1 = s32[16]{0} parameter(1)
  ROOT %gather.1 = f32[16,8]{1,0} gather(%param_0, %param_1), offset_dims={1}
}

%product (p0: f32[16,8], p1: f32[8,4]) -> f32[16,4] {
  %p0 = f32[16,8]{1,0} parameter(0)
  %p1 = f32[8,4]{1,0} parameter(1)
  ROOT %dot.1 = f32[16,4]{1,0} dot(%p0, %p1), lhs_contracting_dims={1}, rhs_contracting_dims={0}, operand_precision={highest,highest}
}

%placed (q0: f32[50,4], q1: f32[1,4], q2: s32[]) -> f32[50,4] {
  %q0 = f32[50,4]{1,0} parameter(0)
  %q1 = f32[1,4]{1,0} parameter(1)
  %q2 = s32[] parameter(2)
  %zero = s32[] constant(0)
  ROOT %dus.1 = f32[50,4]{1,0} dynamic-update-slice(%q0, %q1, %q2, %zero)
}

%solver_body (s: (f32[], s32[])) -> (f32[], s32[]) {
  %s = (f32[], s32[]) parameter(0)
  %s0 = f32[] get-tuple-element(%s), index=0
  %s1 = s32[] get-tuple-element(%s), index=1
  %half = f32[] multiply(%s0, %s0)
  ROOT %next_s = (f32[], s32[]) tuple(%half, %s1)
}

%solver_condition (sc: (f32[], s32[])) -> pred[] {
  %sc = (f32[], s32[]) parameter(0)
  %sc0 = f32[] get-tuple-element(%sc), index=0
  ROOT %is_large = pred[] compare(%sc0, %sc0), direction=GT
}

%step_body (t: (f32[1000,8], s32[16], f32[8,4], f32[50,4], (f32[], s32[]))) -> (f32[1000,8], s32[16], f32[8,4], f32[50,4], (f32[], s32[])) {
  %t = (f32[1000,8]{1,0}, s32[16]{0}, f32[8,4]{1,0}, f32[50,4]{1,0}, (f32[], s32[])) parameter(0)
  %rows = f32[1000,8]{1,0} get-tuple-element(%t), index=0
  %which = s32[16]{0} get-tuple-element(%t), index=1
  %kernel = f32[8,4]{1,0} get-tuple-element(%t), index=2
  %table = f32[50,4]{1,0} get-tuple-element(%t), index=3
  %solver = (f32[], s32[]) get-tuple-element(%t), index=4
  %batch = f32[16,8]{1,0} fusion(%rows, %which), kind=kLoop, calls=%gathered
  %out = f32[16,4]{1,0} fusion(%batch, %kernel), kind=kOutput, calls=%product, backend_config={"estimated_cycles":"3000"}
  %one = f32[1,4]{1,0} slice(%out), slice={[0:1], [0:4]}
  %at = s32[] constant(3)
  %stored = f32[50,4]{1,0} fusion(%table, %one, %at), kind=kLoop, calls=%placed
  %solved = (f32[], s32[]) while(%solver), condition=%solver_condition, body=%solver_body
  ROOT %next = (f32[1000,8]{1,0}, s32[16]{0}, f32[8,4]{1,0}, f32[50,4]{1,0}, (f32[], s32[])) tuple(%rows, %which, %kernel, %stored, %solved)
}

%step_condition (c: (f32[1000,8], s32[16], f32[8,4], f32[50,4], (f32[], s32[]))) -> pred[] {
  %c = (f32[1000,8]{1,0}, s32[16]{0}, f32[8,4]{1,0}, f32[50,4]{1,0}, (f32[], s32[])) parameter(0)
  ROOT %true = pred[] constant(true)
}

ENTRY %main (a: (f32[1000,8], s32[16], f32[8,4], f32[50,4], (f32[], s32[]))) -> (f32[1000,8], s32[16], f32[8,4], f32[50,4], (f32[], s32[])) {
  %a = (f32[1000,8]{1,0}, s32[16]{0}, f32[8,4]{1,0}, f32[50,4]{1,0}, (f32[], s32[])) parameter(0)
  %host = f32[2]{0} custom-call(), custom_call_target="xla_ffi_python_gpu_callback"
  %summed = f32[2]{0} all-reduce(%host), replica_groups={}, to_apply=%solver_condition
  ROOT %loop = (f32[1000,8]{1,0}, s32[16]{0}, f32[8,4]{1,0}, f32[50,4]{1,0}, (f32[], s32[])) while(%a), condition=%step_condition, body=%step_body, backend_config={"known_trip_count":{"n":"97"}}
}
"""  # noqa: E501


@pytest.fixture(scope="module")
def module() -> Module:
    return Module(HLO)


def test_the_training_loop_is_found_by_its_length_and_the_solvers_by_having_none(module):
    assert module.entry == "main"
    assert training_step(module) == "step_body"
    assert [(depth, loop.trips) for depth, loop in module.loops()] == [(0, 97), (1, None)]


def test_a_loop_of_unknown_length_counts_as_often_as_it_is_said_to(module):
    def names(limits):
        return {i.name: times for i, times in module.executed("step_body", limits)}

    once = {"batch": 1, "out": 1, "one": 1, "stored": 1, "half": 1, "is_large": 2}
    assert names((1,)) == once
    assert names((4, 8)) == {**once, "half": 4, "is_large": 5}


def test_a_gather_counts_its_rows_and_an_update_in_place_what_it_writes(module):
    traffic = {name: module.traffic(module.instructions[name]) for name in ("batch", "out", "stored")}
    rows, out, one = 16 * 8 * 4, 16 * 4 * 4, 4 * 4
    assert traffic == {"batch": 2 * rows + 16 * 4, "out": rows + 8 * 4 * 4 + out, "stored": 2 * one + 4}


def test_products_are_counted_with_their_precision(module):
    assert module.flops(module.instructions["out"]) == {"highest": 2.0 * 16 * 8 * 4}
    assert module.flops(module.instructions["batch"]) == {}


def test_cycles_of_a_tpu_are_the_compilers_and_its_scalar_unit_does_not_count(module):
    kernels = list(kernels_of(module, "step_body", Target("v5e", "tpu", TPUS["v5e"], ()), (1,)))
    assert sum(kernel.cycles for kernel in kernels) == 3000
    assert len(kernels) == 4  # not the solver's two scalars


def test_callbacks_and_collectives_are_seen(module):
    assert [callback(i) for i in module.instructions.values() if callback(i)] == ["xla_ffi_python_gpu_callback"]
    assert [i.name for i in module.instructions.values() if collective(i)] == ["summed"]


def test_shapes_of_tuples_and_dynamic_shapes():
    assert shapes("(f32[], /*index=1*/s32[3,<=4]{1,0}, token[])") == [("f32", ()), ("s32", (3, 4))]


@pytest.mark.parametrize("branches", ["true_computation=%a, false_computation=%b", "branch_computations={%a, %b}"])
def test_of_branches_the_mean_counts(branches):
    text = f"""
%a (x: f32[4]) -> f32[4] {{
  %x = f32[4]{{0}} parameter(0)
  ROOT %more = f32[4]{{0}} add(%x, %x)
}}

%b (y: f32[4]) -> f32[4] {{
  ROOT %y = f32[4]{{0}} parameter(0)
}}

ENTRY %main (i: pred[], z: f32[4]) -> f32[4] {{
  %i = pred[] parameter(0)
  %z = f32[4]{{0}} parameter(1)
  ROOT %choice = f32[4]{{0}} conditional(%i, %z, %z), {branches}
}}
"""
    assert [(i.name, times) for i, times in Module(text).executed("main")] == [("more", 0.5)]


def test_the_text_of_a_program_that_this_machine_compiled_is_read():
    def turns(x, w):
        return jax.lax.scan(lambda x, _: (jnp.tanh(x @ w), None), x, None, length=programs.LENGTH)[0]

    text = jax.jit(turns).lower(jnp.ones((32, 64)), jnp.ones((64, 64))).compile().as_text()
    module = Module(text)
    body = training_step(module)
    assert body != module.entry
    assert [loop.trips for _, loop in module.loops()] == [programs.LENGTH]
    assert len(list(module.executed(body))) >= 1


# --- what a GPU launches

THUNKS = """\
000: kCopy [source | next=001 (1)] kCopy
001: kWhile [prev=000 (1) | sink]
condition:
    002: kCustomKernel [source | sink] loop_compare_fusion grid: [1, 1, 1] threads: [1, 1, 1]
  body:
    000: kCommandBuffer [source | next=005 (1)]
        003: kCustomKernel [source | next=004 (1)] loop_add_fusion_21 grid: [1, 1, 1] threads: [1, 1, 1]
        004: kCustomKernel [prev=003 (1) | sink] gemm_fusion_dot_54 grid: [512, 1, 1] threads: [64, 1, 1]
    005: kCopy [prev=000 (1) | next=006 (1)] kCopy
    006: kCustomKernel [prev=005 (1) | next=007 (1)] loop_add_fusion_3_1 grid: [1, 1, 1] threads: [2, 1, 1]
    007: kWhile [prev=006 (1) | next=010 (1)]
condition:
        008: kCustomKernel [source | sink] loop_compare_fusion_2 grid: [1, 1, 1] threads: [1, 1, 1]
      body:
        009: kCustomCall [source | sink] cusolver_potrf
        015: kSequential [prev=009 (1) | sink]               013: kCopy [source | next=014 (1)] kCopy
          014: kTriangularSolve [prev=013 (1) | sink] (no description)
    010: kCommandBuffer [prev=007 (1) | sink]
        011: kConditional [source | sink]
          false_branch:
            012: kCustomKernel [source | sink] loop_select_fusion grid: [1, 1, 1] threads: [3, 1, 1]
"""


def test_graphs_of_an_update_and_what_is_outside_of_them():
    loop = thunks.training_loop(thunks.read(THUNKS))
    assert thunks.graphs(loop) == 2
    assert thunks.outside_graphs(loop) == {
        "copy": 2,
        "loop_add_fusion": 1,
        "loops of unknown length": 1,
        "loop_compare_fusion": 1,
        "cusolver_potrf": 1,
        "triangularsolve": 1,
    }


def test_an_update_in_one_graph_has_nothing_outside():
    text = THUNKS[: THUNKS.index("    005:")]
    loop = thunks.training_loop(thunks.read(text))
    assert (thunks.graphs(loop), dict(thunks.outside_graphs(loop))) == (1, {})
    assert thunks.training_loop(thunks.read("000: kCopy [source | sink] kCopy")) is None


# --- the model

H100 = Target("h100", "gpu", GPUS["h100"], ())
V5E = Target("v5e:1x1", "tpu", TPUS["v5e"], ())


def test_the_largest_of_launch_bytes_and_products_counts():
    kernels = [
        Kernel(times=10, bytes=1e3),  # the launch
        Kernel(times=2, bytes=3.352e9),  # 1 ms at the datasheet's rate
        Kernel(times=1, bytes=1e3, flops={"default": 495e9, "bf16": 989e9}),  # 1 ms of each
        Kernel(times=0.5, bytes=1e3, flops={"highest": 67e9, "high": 165e9}),
    ]
    found = model.predict(kernels, H100, Constants((1e-6, 3e-6), bandwidth=0.5, products=0.25))
    assert math.isclose(found.least, 10e-6 + 2 * 2e-3 + 8e-3 + 0.5 * 8e-3)
    assert math.isclose(found.most - found.least, 20e-6)


def test_a_tpu_takes_the_cycles_at_its_clock():
    found = model.predict([Kernel(2.0, 1e3, cycles=750.0), Kernel(1.0, 1e9)], V5E, Constants())
    assert found == model.Prediction(1e-6, 1e-6)


def test_where_loops_depend_on_data_the_prediction_is_from_the_least_to_the_most():
    known = {name: KEPT[name] for name in KEPT if name not in ("program", "size", "seeds", "unit", "compiles")}
    made = Facts(**known, work=[Kernel(10, 1.0)], most_work=[Kernel(10, 1.0), Kernel(30, 1.0)])
    program = programs.Program("online:mjx", "field", 4, "environment step", lambda target: (None, ()))
    found = command.line(program, Compiled(program, H100, None, made), H100, Constants((1e-6, 2e-6)), 1e-4)
    np.testing.assert_allclose(found["predicted_seconds"], [10e-6, 80e-6])
    np.testing.assert_allclose(found["predicted_rate"], [4 / 80e-6, 4 / 10e-6])
    assert found["measured_rate"] == pytest.approx(4e4)
    assert "work" not in found
    json.dumps(found)


def test_a_fit_finds_the_constants_that_made_the_times_and_says_what_it_is():
    chip, (launch, bandwidth, share) = GPUS["h100"], (3.1e-6, 0.55, 0.22)
    measured = [
        (kernels, model.seconds_of(kernels, chip, launch, bandwidth, share))
        for kernels in (
            [Kernel(70, 1e4)],
            [Kernel(400, 1e4), Kernel(20, 8e7)],
            [Kernel(60, 1e8)],
            [Kernel(30, 1e5, {"default": 2e10})],
        )
    ]
    found = model.fit(measured, chip)
    np.testing.assert_allclose(
        [*found.launch, found.bandwidth, found.products], [launch, launch, bandwidth, share], 0.02
    )
    assert "4 programs on NVIDIA H100" in str(found)


def test_assumptions_stand_beside_a_prediction():
    said = model.assumptions(H100, Constants())
    assert all(part in said for part in ("1.6 us a kernel", "72 % of the bandwidth", "3.4 TB/s", "one H200"))
    assert "1.5 GHz" in model.assumptions(V5E, Constants())


# --- rules and budgets

KEPT = {
    "program": "td3_bc",
    "size": "field",
    "seeds": 1,
    "unit": "update",
    "compiles": True,
    "kernels": (70.0, 70.0),
    "graphs": 1,
    "outside": {},
    "unknown_loops": 0,
    "flops": 4e8,
    "bytes": 5e7,
    "peak": 28e6,
    "products": {"learner default": 30},
    "collectives": {},
    "callbacks": [],
    "float64": False,
    "dynamic_shapes": False,
    "seconds": 20.0,
}
LIMITS = {("h100", "td3_bc", "field", 1): budgets.Budget(kernels=75, peak=30e6, graphs=1)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"compiles": False, "error": "RuntimeError: no"}, "does not compile: RuntimeError: no"),
        ({"callbacks": ["xla_ffi_python_gpu_callback"]}, "calls the host: xla_ffi_python_gpu_callback"),
        ({"float64": True}, "float64"),
        ({"dynamic_shapes": True}, "size depends on data"),
        ({"collectives": {"all-gather": 2}}, "between devices: all-gather"),
        ({"products": {"physics default": 3, "physics highest": 9}}, "3 products of physics not at highest precision"),
    ],
)
def test_a_broken_rule_is_named(change, said):
    assert budgets.broken_rules(KEPT) == []
    assert said in "; ".join(budgets.broken_rules({**KEPT, **change}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kernels": (76.0, 76.0)}, "76 kernels, of at most 75"),
        ({"peak": 31e6}, "31.0 MB, of at most 30.0"),
        ({"graphs": 2, "outside": {"copy": 3}}, "2 CUDA graphs, of at most 1; outside of them: 3 copy"),
        ({"graphs": 1, "outside": {"copy": 3}}, "1 CUDA graph, of at most 1; outside of them: 3 copy"),
    ],
)
def test_a_broken_budget_is_named(change, said):
    assert budgets.broken_budgets("h100", KEPT, LIMITS) == []
    assert budgets.broken_budgets("h100", {**KEPT, **change}, LIMITS) == [said]
    assert budgets.broken_budgets("l4", {**KEPT, **change}, LIMITS) == []


def test_budgets_are_of_programs_and_targets_that_exist():
    assert budgets.BUDGETS
    for target, program, size, seeds in budgets.BUDGETS:
        assert target.partition(":")[0] in {**GPUS, **TPUS}
        assert program in programs.known_names()
        assert size in command.SIZES
        assert seeds >= 1


def test_the_c_engine_may_call_the_host_as_it_runs_there():
    calls = {**KEPT, "callbacks": ["xla_ffi_python_gpu_callback"]}
    assert budgets.broken_rules({**calls, "program": "online:mujoco"}) == []
    assert budgets.broken_rules({**calls, "program": "online:mjx"}) != []


def test_an_engine_that_needs_the_device_may_fail_to_compile():
    failed = {**KEPT, "compiles": False, "error": "no"}
    assert budgets.broken_rules({**failed, "program": "online:warp"}) == []
    assert budgets.broken_rules({**failed, "program": "online:mjx"}) == ["does not compile: no"]


def test_errors_are_printed_as_they_are():
    from benchmarks.measure import Report

    flags.FLAGS(["benchmarks.devices"])
    report = Report("title", "work", measures=False)
    with report.console.capture() as captured:
        report.say("pip install -e '.[warp]'")
    assert "'.[warp]'" in captured.get()


# --- the command


def test_tables_fit_100_columns():
    from benchmarks.measure import Report

    flags.FLAGS(["benchmarks.devices"])
    large = {
        **KEPT,
        "program": "online:mujoco",
        "seeds": 64,
        "kernels": (3400.0, 9600.0),
        "flops": 3.89e11,
        "predicted_seconds": [7.1e-3, 2.4e-2],
        "predicted_rate": [2667.0, 9014.0],
    }
    report = Report("title", "work", measures=False)
    with report.console.capture() as captured:
        report.show(command.table_rows([large, {**KEPT, "compiles": False, "error": "no"}], H100), "h100")
    lines = captured.get().splitlines()
    assert max(len(line) for line in lines) <= 100
    assert any("online:mujoco" in line and "3,400 to 9,600" in line for line in lines)
    assert any("does not compile" in line for line in lines)


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--algorithms=ppo", "--algorithms=ppo: there is no such program. Known are "),
        ("--sizes=huge", "--sizes=huge: there is no such size. Known are "),
        ("--seeds=0", "--seeds=0: must be a positive"),
    ],
)
def test_flags_that_mean_nothing_are_refused_in_one_line(flag, words):
    done = run_module("benchmarks.devices", flag)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_constants_of_an_earlier_run_are_read(tmp_path):
    file = tmp_path / "devices.json"
    kept = {"launch": [2e-6, 2e-6], "bandwidth": 0.7, "products": 0.3, "source": "fitted to 4 programs on NVIDIA H100"}
    file.write_text(json.dumps({"notes": {"constants": kept}}))
    assert dataclasses.asdict(command.read_constants(str(file))) == {**kept, "launch": (2e-6, 2e-6)}
    file.write_text("{}")
    with pytest.raises(ConfigError, match="no constants can be read"):
        command.read_constants(str(file))


# --- the product's programs, as they are traced on any machine


def host(name: str, seeds: int, size: str = "field", count: int = 1):
    """A program traced for this machine's CPUs."""
    program = next(iter(programs.programs([name], [size], [seeds])))
    function, arguments = program.build(Target("here", "cpu", None, tuple(jax.devices()[:count])))
    return function.trace(*arguments)


def equations(jaxpr):
    """All equations of a traced program."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in inner_jaxprs(equation.params):
            yield from equations(inner)


@pytest.fixture(scope="module", params=["td3_bc", "smac"])
def traced(request):
    return request.param, host(request.param, 2)


def test_an_update_never_calls_the_host_and_has_no_float64(traced):
    _, program = traced
    for equation in equations(program.jaxpr.jaxpr):
        assert "callback" not in equation.primitive.name
        for variable in equation.outvars:
            assert getattr(variable.aval, "dtype", None) not in (jnp.float64, jnp.int64)
            assert all(isinstance(size, int) for size in getattr(variable.aval, "shape", ()))


def test_an_update_writes_no_metric_of_each_step(traced):
    """What each step writes on its own, beside the state, takes the step apart into several CUDA graphs."""
    _, program = traced
    loops = [e for e in equations(program.jaxpr.jaxpr) if e.primitive.name == "scan"]
    (training,) = [loop for loop in loops if loop.params["length"] == programs.LENGTH]
    # the state has no axis of this length, and what each step writes has
    assert not [found for found in training.outvars if found.aval.shape[:1] == (programs.LENGTH,)]


def test_an_update_has_the_products_that_it_must(traced):
    name, program = traced
    at_most = {"td3_bc": 30, "smac": 75}[name]
    found = products(program.jaxpr.jaxpr)
    assert set(found) == {"learner default"}
    assert 0.8 * at_most <= sum(found.values()) <= at_most


def test_the_flops_of_td3_bc_are_those_on_paper():
    rows, width, members, inputs, actions = 256, 256, 2, 11, 3
    critic = 2 * rows * ((inputs + actions) * width + width**2 + width)
    actor = 2 * rows * (inputs * width + width**2 + width * actions)
    # benchmarks/README.md: (4 N + 1) F + 2.5 A, of which the first layers' gradients towards the inputs are not needed
    paper = (4 * members + 1) * critic + 2.5 * actor
    found = product_flops_of(host("td3_bc", 1).jaxpr) / programs.LENGTH
    assert 0.9 * paper <= found <= 1.02 * paper


def test_all_default_programs_exist_and_take_every_size():
    names = programs.all_names()
    assert {"td3_bc", "smac", "iql", "cql", "online:mjx", "online:mujoco", "evaluation:mjx"} <= set(names)
    made = list(programs.programs(names, ["field", "paper"], [1, 4, 64], smac_jax.load_dataset("hopper-medium-replay")))
    assert len({program.title for program in made}) == len(made)


def test_smac_at_the_papers_size_has_muon():
    assert programs.overrides_of("smac", "paper")["optimizer"] == "muon"
    assert programs.overrides_of("smac", "field") == programs.overrides_of("td3_bc", "paper") == {}
