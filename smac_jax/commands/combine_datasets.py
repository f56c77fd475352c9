r"""Join several data sets of the same task into one file, in D4RL's layout.

    smac-jax combine-datasets --task=pen-binary --parts=pen-human-v1,pen-cloned-v1 \
        --out=data/pen-binary.hdf5

For Adroit's binary tasks, the file holds demonstrations and rollouts with a reward of 0 on success and -1 otherwise,
and each trajectory ends after its last success. The parts are names or files that `load_dataset` accepts:

    D4RL's     --parts=pen-human-v1,pen-cloned-v1
    Minari's   --parts=minari:D4RL/pen/human-v2,minari:D4RL/pen/cloned-v2
    AWAC's     --parts=pen2_sparse.npy,pen_bc_sparse4.npy
    your own   --parts=demonstrations.pickle,rollouts.hdf5,part:0.1:hopper-medium-v2

Trajectories without a success are kept; --nofailures leaves them out. From AWAC's files they are always left out, as in
Cal-QL and WSRL. The data sets of other tasks are joined unchanged. The file records its parts with their checksums. Use
it as a data set of its task: --task=data/pen-binary.hdf5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags
from rich.console import Console
from rich.table import Table
from rich.text import Text

from smac_jax.sweep.program import set_up

if TYPE_CHECKING:
    from smac_jax.data.combine import Part

FLAGS = flags.FLAGS
flags.DEFINE_list("parts", [], "Names or files of data sets, in the order of the joined data.")
flags.DEFINE_string("task", None, "The task of the joined data, such as pen-binary; default: the first part's.")
flags.DEFINE_string("out", None, "The .hdf5 file to write; an existing file is replaced.", required=True)
flags.DEFINE_bool("failures", True, "Keep trajectories without a success (binary tasks).")


def main(argv: Sequence[str]) -> int:
    """Reads the parts, writes the joined data, and prints a table of the parts."""
    del argv
    set_up()
    from smac_jax.data import load_dataset
    from smac_jax.data.combine import concatenate
    from smac_jax.data.readers.d4rl import write_d4rl
    from smac_jax.errors import ConfigError
    from smac_jax.files import local_path

    out = local_path(FLAGS.out)
    if out.suffix not in (".hdf5", ".h5"):
        raise ConfigError(f"--out={FLAGS.out}: must end in .hdf5, because the program writes an HDF5 file.")
    if not FLAGS.parts:
        raise ConfigError("--parts is empty. Give the data sets to join, separated by commas.")
    datasets = [load_dataset(name) for name in FLAGS.parts]
    checksums = [checksum(name, data.fingerprint()) for name, data in zip(FLAGS.parts, datasets, strict=True)]
    joined, parts = concatenate(datasets, out.stem, FLAGS.task, failures=FLAGS.failures, checksums=checksums)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_d4rl(out, joined)
    Console(width=100, highlight=False).print(table(parts))
    print(f"\n{out} ({out.stat().st_size / 1e6:.1f} MB); use it with --task={out}\n{load_dataset(out).summary()}")
    return 0


def checksum(name: str, fingerprint: str) -> str:
    """The SHA-256 of a data set's files; for Minari's data, which its package stores, the data set's fingerprint."""
    from smac_jax.data.sources import files_of

    digests = []
    for path in files_of(name):
        with path.open("rb") as file:
            digests.append(f"{path.name} sha256 {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return "; ".join(digests) or f"fingerprint {fingerprint}"


def table(parts: Sequence[Part]) -> Table:
    """A table with a row for each part, and the total."""
    of_hand = all(part.successes is not None for part in parts)
    some_left_out = any(part.left_out for part in parts)
    shown = Table(box=None, pad_edge=False, show_footer=len(parts) > 1)
    rows, episodes = sum(part.rows for part in parts), sum(part.episodes for part in parts)
    successes = sum(part.successes or 0 for part in parts)
    mean = sum(part.mean_return * part.episodes for part in parts) / max(episodes, 1)
    shown.add_column("part", footer="total", overflow="fold")
    for name, footer in (("rows", f"{rows:,}"), ("episodes", f"{episodes:,}"), ("mean return", f"{mean:,.1f}")):
        shown.add_column(name, footer=footer, justify="right", no_wrap=True)
    if of_hand:
        shown.add_column("success %", footer=_percent(successes, episodes), justify="right", no_wrap=True)
    if some_left_out:
        left_out = f"{sum(part.left_out for part in parts):,}"
        shown.add_column("failures left out", footer=left_out, justify="right", no_wrap=True)
    for part in parts:
        cells = [f"{part.rows:,}", f"{part.episodes:,}", f"{part.mean_return:,.1f}"]
        if part.successes is not None and of_hand:
            cells.append(_percent(part.successes, part.episodes))
        if some_left_out:
            cells.append(f"{part.left_out:,}")
        shown.add_row(Text(part.name), *cells)
    return shown


def _percent(successes: int, episodes: int) -> str:
    return f"{100 * successes / episodes:.1f}" if episodes else "-"
