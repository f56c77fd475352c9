"""The command ``smac-jax``, which runs its subcommands by name."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "sweep": "Pre-train, transfer and fine-tune: every algorithm, data set and seed of a grid.",
    "status": "Show the progress of a sweep.",
    "report": "Write the HTML report of a sweep.",
    "compare": "Make a table and a figure of learning curves from several sweeps.",
    "evaluate": "Measure the returns of a trained policy.",
    "export": "Export a trained policy for NumPy, ONNX or StableHLO.",
    "landscape": "Draw the return on a line or plane between trained policies.",
    "make-dataset": "Make a data set in D4RL's layout, with SAC or with given policies.",
    "check-dataset": "Summarize a data set, and compare it with the simulator.",
    "combine-datasets": "Join several data sets of one task.",
}
"""The commands and their descriptions. Each is the module of its name in :mod:`smac_jax.commands`."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command; the entry point of ``smac-jax``.

    Args:
      argv: the program's name, then the command and its arguments; default: ``sys.argv``.

    Raises:
      SystemExit: always, with the command's exit code.
    """
    given = list(sys.argv if argv is None else argv)[1:]
    if not given or given[0] in ("help", "--help", "-h", "--helpshort", "--helpfull"):
        print(overview())
        sys.exit(0)
    if given[0] in ("--version", "version"):
        from smac_jax.version import __version__

        print(f"smac_jax {__version__}")
        sys.exit(0)
    name = given[0].replace("_", "-")
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, 1)
        meant = f" Did you mean {close[0]}?" if close else ""
        known = ", ".join(COMMANDS)
        print(f"error: there is no command {given[0]!r}.{meant} The commands are {known}.", file=sys.stderr)
        sys.exit(2)
    run_command(name, given[1:])


def overview() -> str:
    """The text of ``smac-jax --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {does}" for name, does in COMMANDS.items()]
    return "\n".join(
        [
            "Offline-to-online reinforcement learning with score-matched actor-critics (SMAC).",
            "",
            "usage: smac-jax COMMAND [--flags]",
            "",
            *lines,
            "",
            "smac-jax COMMAND --help explains a command and its flags. A first transfer takes minutes on a laptop:",
            "  smac-jax sweep --config=quickstart --task=halfcheetah-medium-replay --offline=smac,iql",
        ]
    )


def run_command(name: str, arguments: Sequence[str] | None = None) -> None:
    """Runs one command.

    Args:
      name: a key of :data:`COMMANDS`.
      arguments: the command's arguments; default: the command line of this process.

    Raises:
      SystemExit: always, with the command's exit code.
    """
    from absl import flags

    from smac_jax.sweep.program import run

    command = importlib.import_module(f"smac_jax.commands.{name.replace('-', '_')}")
    sys.argv = [f"smac-jax {name}", *(sys.argv[1:] if arguments is None else arguments)]
    # for --help, absl prints the docstring and the flags of the main module
    sys.modules["__main__"].__doc__ = command.__doc__
    for flag in (*flags.FLAGS.get_flags_for_module(command.__name__), flags.FLAGS["import"]):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    run(command.main, getattr(command, "ARGUMENTS", 0))
