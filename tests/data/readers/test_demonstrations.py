"""Releases of demonstrations are read, and pickles that refer to code are refused without executing it."""

import collections
import os
import pickle
import struct

import numpy as np
import pytest

from smac_jax.data import load_dataset
from smac_jax.data.readers.demonstrations import read_demonstrations
from smac_jax.errors import DatasetError, UnknownNameError

RNG = np.random.default_rng(0)


def dapg(lengths=(4, 3)):
    return [
        {
            "observations": RNG.normal(size=(n, 5)),
            "actions": RNG.uniform(-1, 1, (n, 2)),
            "rewards": RNG.normal(size=n),
            "init_state_dict": collections.OrderedDict(qpos=np.zeros(3), hand=np.float32(1.0)),
            "env_infos": {"solved": np.array([True, False]), "kinds": {"a", "b"}},
        }
        for n in lengths
    ]


def awac(lengths=(4, 3)):
    """Episodes in the form of AWAC's files: dicts of observations, one more action and reward."""
    episodes = []
    for episode in dapg(lengths):
        rows = [{"observation": row, "state_observation": row} for row in episode["observations"]]
        last = len(rows) - 1
        episodes.append(
            {
                "observations": rows[:last],
                "next_observations": rows[1:],
                "actions": list(episode["actions"]),
                "rewards": episode["rewards"],
                "terminals": np.zeros((last, 1)),
                "agent_infos": [{}] * last,
            }
        )
    return episodes


def old_names(content):
    """Replaces module names by those of NumPy 1, as in the published files (only for protocols without lengths)."""
    return content.replace(b"numpy._core.", b"numpy.core.")


@pytest.mark.parametrize("protocol", range(6))
def test_dapgs_episodes_are_read_in_every_protocol(tmp_path, protocol):
    episodes = dapg()
    content = pickle.dumps(episodes, protocol)
    (tmp_path / "door-v0_demos.pickle").write_bytes(old_names(content) if protocol < 4 else content)
    data = load_dataset(tmp_path / "door-v0_demos.pickle")
    assert (data.name, data.task, data.size) == ("door-v0_demos", "door", 5)  # each cut episode's last row is dropped
    observations = np.concatenate([e["observations"] for e in episodes]).astype(np.float32)
    np.testing.assert_array_equal(data.observations, observations[[0, 1, 2, 4, 5]])
    np.testing.assert_array_equal(data.next_observations, observations[[1, 2, 3, 5, 6]])
    np.testing.assert_array_equal(data.timeouts, [0, 0, 1, 0, 1])
    np.testing.assert_array_equal(data.terminals, np.zeros(5))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">f8", "<f4", "f2", "i8", "u1"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_of_every_type_and_order_are_read_exactly(tmp_path, order, dtype, protocol):
    (episode,) = dapg([3])
    episode["observations"] = np.asarray(np.arange(15).reshape(3, 5), dtype, order=order)
    (tmp_path / "pen.pkl").write_bytes(pickle.dumps([episode], protocol))
    data = read_demonstrations(tmp_path / "pen.pkl")
    np.testing.assert_array_equal(data.observations, np.arange(15).reshape(3, 5)[:2])


def test_awacs_episodes_are_read(tmp_path):
    episodes = awac()
    np.save(tmp_path / "relocate2_sparse.npy", np.array(episodes, dtype=object), allow_pickle=True)
    data = load_dataset(tmp_path / "relocate2_sparse.npy")
    assert (data.task, data.size) == ("relocate", 5)
    rows = [row for e in episodes for row in e["next_observations"]]
    np.testing.assert_array_equal(data.next_observations, np.float32([row["state_observation"] for row in rows]))
    np.testing.assert_array_equal(data.actions, np.float32(np.concatenate([e["actions"][:-1] for e in episodes])))
    np.testing.assert_array_equal(data.timeouts, [0, 0, 1, 0, 1])


def test_a_terminal_at_the_end_of_an_episode_is_no_time_out(tmp_path):
    episodes = awac()
    episodes[0]["terminals"][-1] = 1
    np.save(tmp_path / "pen.npy", np.array(episodes, dtype=object), allow_pickle=True)
    data = read_demonstrations(tmp_path / "pen.npy")
    np.testing.assert_array_equal(data.terminals, [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(data.timeouts, [0, 0, 0, 0, 1])


def test_the_task_can_be_given(tmp_path):
    (tmp_path / "mine.pkl").write_bytes(pickle.dumps(dapg()))
    assert read_demonstrations(tmp_path / "mine.pkl").task is None
    assert read_demonstrations(tmp_path / "mine.pkl", task="hammer").task == "hammer"
    with pytest.raises(UnknownNameError):
        read_demonstrations(tmp_path / "mine.pkl", task="hamer")


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda e: e[1].pop("actions"), "episode 1 has no 'actions'"),
        (lambda e: e[1].update(rewards=np.zeros(9)), "episode 1: rewards has 9 rows, observations has 3"),
        (lambda e: e[0].update(observations="text"), "episode 0: observations holds"),
        (lambda e: e[0].update(actions=[[1], [1, 2]]), "episode 0: actions is not an array"),
        (lambda e: e[0].update(next_observations=np.zeros((4, 5))), "episode 1 has no next_observations"),
        (lambda e: e[0].update(observations=np.zeros((4, 6))), "observations differ in width"),
        (lambda e: e[0]["observations"].__setitem__((2, 0), np.nan), "NaN or infinite .* first in row 2"),
        (lambda e: e.append(1), "expected a list of episodes"),
        (lambda e: e.clear(), "expected a list of episodes"),
    ],
)
def test_errors_name_the_malformed_episode(tmp_path, damage, match):
    episodes = dapg()
    damage(episodes)
    (tmp_path / "pen.pickle").write_bytes(pickle.dumps(episodes))
    with pytest.raises(DatasetError, match=match):
        read_demonstrations(tmp_path / "pen.pickle")


def test_files_without_episodes_are_refused(tmp_path):
    np.save(tmp_path / "numbers.npy", np.zeros(3))
    (tmp_path / "text.npy").write_text("text")
    (tmp_path / "cut.pickle").write_bytes(pickle.dumps(dapg())[:-50])
    for name, match in (("numbers.npy", "array of float64"), ("text.npy", "not an .npy"), ("cut.pickle", "truncated")):
        with pytest.raises(DatasetError, match=match):
            read_demonstrations(tmp_path / name)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_demonstrations(tmp_path / "absent.npy")


# pickles that refer to code


class Calls:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def named(module, name, *arguments):
    """Returns a protocol 0 pickle that calls a function by its name."""
    pushed = b"".join(b"V" + str(a).encode() + b"\n" for a in arguments)
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n(" + pushed + b"tR."


def stacked(module, name, argument):
    """Returns the same with STACK_GLOBAL, whose names are data on the stack."""
    text = b"".join(b"\x8c" + struct.pack("B", len(t)) + t.encode() for t in (module, name))
    return b"\x80\x04" + text + b"\x93\x8c" + struct.pack("B", len(argument)) + argument.encode() + b"\x85R."


def forged_dtype():
    """Returns an array of pointers whose dtype declares no objects."""
    state = b"(I3\nV|\nNNNI-1\nI-1\nI0\ntb"
    dtype = b"cnumpy\ndtype\n(VO8\nI0\nI1\ntR" + state
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR"
    return array + b"(I1\n(I1\nt" + dtype + b"I00\nV" + b"A" * 8 + b"\ntb."


CANARY = "touch {canary}"
EVIL = {
    "REDUCE": lambda run: pickle.dumps(Calls(os.system, run), 2),
    "STACK_GLOBAL": lambda run: pickle.dumps(Calls(os.system, run), 4),
    "GLOBAL": lambda run: named("os", "system", run),
    "stacked": lambda run: stacked("posix", "system", run),
    "dotted": lambda run: stacked("numpy", "ndarray.__class__", run),
    "dotted module": lambda run: stacked("collections", "abc.sys.modules", run),
    "INST": lambda run: b"(V" + run.encode() + b"\nios\nsystem\n.",
    "eval": lambda run: named("builtins", "eval", f"__import__('os').system('{run}')"),
    "exec": lambda run: named("__builtin__", "exec", f"import os; os.system('{run}')"),
    "getattr": lambda run: named("builtins", "getattr", "os", "system"),
    "import": lambda run: named("builtins", "__import__", "os"),
    "numpy runs tests": lambda run: named("numpy.testing._private.utils", "runstring", run, ""),
    "numpy loads": lambda run: named("numpy", "load", "x.npy"),
    "numpy writes": lambda run: named("numpy", "save", run.split()[1], "x"),
    "numpy opens": lambda run: named("numpy", "memmap", run.split()[1], "uint8", "w+"),
    "numpy.core others": lambda run: named("numpy.core.multiarray", "fromfile", run.split()[1]),
    "inside episodes": lambda run: pickle.dumps([{"observations": Calls(os.system, run)}], 4),
    "inside an array": lambda run: pickle.dumps(np.array([Calls(os.system, run)], object), 4),
    "persistent": lambda run: b"Vos.system\nQ.",
    "extension": lambda run: b"\x82\x01.",
    "build on a class": lambda run: b"cnumpy\nndarray\n}(Vx\nVy\nub.",
    "build on a stand-in": lambda run: b"c_codecs\nencode\n(N}Vx\nVy\nstb.",
    "codec": lambda run: named("_codecs", "encode", "x", "rot13"),
    "forged dtype": lambda run: forged_dtype(),
    "record dtype": lambda run: named("numpy", "dtype", "O,O"),
    "too large": lambda run: b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(Vf8\ntRVshort\ntR.",
}


@pytest.mark.parametrize("as_npy", [False, True])
@pytest.mark.parametrize("how", EVIL)
def test_a_pickle_that_refers_to_code_is_refused(tmp_path, how, as_npy):
    canary = tmp_path / "canary"
    content = EVIL[how](CANARY.format(canary=canary))
    path = tmp_path / ("pen.npy" if as_npy else "pen.pickle")
    if as_npy:
        with path.open("wb") as file:
            header = {"descr": "|O", "fortran_order": False, "shape": (1,)}
            np.lib.format.write_array_header_1_0(file, header)
            file.write(content)
    else:
        path.write_bytes(content)
    with pytest.raises(DatasetError) as error:
        read_demonstrations(path)
    assert not canary.exists()
    assert "No code in it was executed" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_same_pickles_create_the_canary_with_python_itself(tmp_path):
    canary = tmp_path / "canary"
    for how in ("REDUCE", "STACK_GLOBAL", "GLOBAL", "stacked", "INST", "eval", "inside episodes", "inside an array"):
        pickle.loads(EVIL[how](CANARY.format(canary=canary)))
        assert canary.exists(), how
        canary.unlink()


class _Call:
    """Pickles as a call of a function with given arguments."""

    def __init__(self, name, *arguments):
        self.call = (name, arguments)

    def __reduce__(self):
        return self.call


def nest(depth, kind=list):
    value = kind()
    for _ in range(depth):
        value = kind([value, value])
    return value


@pytest.mark.parametrize(
    "bomb",
    [
        _Call(np.dtype, nest(60)),  # its text would have 2^60 brackets
        _Call(frozenset, nest(60, tuple)),  # its hash would take 2^60 steps
        nest(60),  # an array with 60 axes
        [np.ones(10)] * 3 + [nest(60)],
    ],
    ids=["a forged type", "a set", "rows", "one row"],
)
def test_small_files_that_would_grow_exponentially_are_refused_at_once(tmp_path, bomb):
    path = tmp_path / "door-v0_demos.pickle"
    episode = {"observations": bomb, "actions": np.zeros((4, 28)), "rewards": np.zeros(4)}
    path.write_bytes(pickle.dumps([episode]))
    with pytest.raises(DatasetError, match="door-v0_demos"):
        read_demonstrations(path)


def test_error_messages_contain_only_printable_characters(tmp_path):
    path = tmp_path / "door-v0_demos.pickle"
    path.write_bytes(b"cos\x1b[31m\nsystem\n.")
    with pytest.raises(DatasetError) as caught:
        read_demonstrations(path)
    assert str(caught.value).isprintable()
