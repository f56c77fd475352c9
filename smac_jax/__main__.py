"""``python -m smac_jax``: the command line, where ``smac-jax`` is not on the path."""

from smac_jax.cli import main

if __name__ == "__main__":
    main()
