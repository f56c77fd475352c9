"""``python -m smac_jax`` is the same as the command ``smac-jax``, which may not be on the path."""

from smac_jax.cli import main

if __name__ == "__main__":
    main()
