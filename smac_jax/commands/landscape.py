r"""How does the return change from one policy to another? Along the line between two, over the plane through three.

    R=results/quickstart/runs/halfcheetah-medium-replay/smac/seeds-0-3
    smac-jax landscape $R/offline $R/to-sac                  # a line
    smac-jax landscape $R/offline $R/to-sac $R/to-td3_bc     # and a plane

The policies are folders of a sweep's runs (what holds an actor_critic/), the pre-trained one first, the others
fine-tuned from it. Every point, seed and episode of a batch is one compiled rollout. Writes line-1.png (and line-2.png,
plane.png), the numbers behind them (.csv) and provenance.json under --results; what was evaluated before is kept in
*-points.npz, and the same command goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from smac_jax.errors import ConfigError
from smac_jax.files import local_path
from smac_jax.sweep.program import results_folder, set_up

ARGUMENTS = 3
FLAGS = flags.FLAGS
flags.DEFINE_integer(
    "points",
    25,
    "Points along a line, from a quarter before the first policy to one beyond the other; both are among them.",
    lower_bound=2,
)
flags.DEFINE_integer(
    "grid", 17, "Points along each side of the plane, the policies among them; 0: no plane.", lower_bound=0
)
flags.DEFINE_integer("episodes", 5, "Episodes at each point, for each seed.", lower_bound=1)
flags.DEFINE_integer("points_at_once", 64, "In one rollout; as memory allows.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of the starting states, the same at every point.", lower_bound=0)
flags.DEFINE_string("results", None, "Folder for what comes out; default: landscape, beside the first policy.")


def main(argv: Sequence[str]) -> int:
    """Evaluates what is not there yet, then draws."""
    set_up()
    from smac_jax.sweep.landscape import Resolution, draw

    places = [local_path(place) for place in argv[1:]]
    if len(places) not in (2, 3):
        raise ConfigError("Give two policies for a line, or three for a plane; --help shows how.")
    resolution = Resolution(FLAGS.points, FLAGS.grid, FLAGS.episodes, FLAGS.seed, FLAGS.points_at_once)
    for path in draw(places, results_folder(FLAGS.results or places[0].parent / "landscape"), resolution):
        print(path)
    return 0
