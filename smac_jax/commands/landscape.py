r"""Draw the return on the line between two policies, or on the plane through three policies, in parameter space.

    R=results/quickstart/runs/halfcheetah-medium-replay/smac/seeds-0-3
    smac-jax landscape $R/offline $R/to-sac                  # a line
    smac-jax landscape $R/offline $R/to-sac $R/to-td3_bc     # and a plane

The policies are folders of a sweep's runs (which contain actor_critic/). The first policy is the pre-trained one; the
others were fine-tuned from it. The program writes line-1.png (and line-2.png, plane.png), their numbers (.csv) and
provenance.json to --results. It saves the evaluated points in *-points.npz, so that the same command resumes after an
interruption.
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
    "Points along a line, including both policies. The line extends beyond each policy by a quarter of their distance.",
    lower_bound=2,
)
flags.DEFINE_integer(
    "grid", 17, "Points along each side of the plane, including the policies; 0 draws no plane.", lower_bound=0
)
flags.DEFINE_integer("episodes", 5, "Episodes at each point, for each seed.", lower_bound=1)
flags.DEFINE_integer("points_at_once", 64, "Points in one compiled rollout, limited by memory.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of the starting states, which are the same at every point.", lower_bound=0)
flags.DEFINE_string("results", None, "Folder of the output; default: landscape, beside the first policy's run.")


def main(argv: Sequence[str]) -> int:
    """Evaluates the missing points, then draws the figures."""
    set_up()
    from smac_jax.sweep.landscape import Resolution, draw

    places = [local_path(place) for place in argv[1:]]
    if len(places) not in (2, 3):
        raise ConfigError("Give two policies for a line, or three for a plane; --help shows how.")
    resolution = Resolution(FLAGS.points, FLAGS.grid, FLAGS.episodes, FLAGS.seed, FLAGS.points_at_once)
    for path in draw(places, results_folder(FLAGS.results or places[0].parent / "landscape"), resolution):
        print(path)
    return 0
