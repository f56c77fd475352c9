"""The maps and goals of D4RL's mazes, which the readers of its data and the simulated tasks share.

Source: D4RL's ``locomotion/maze_env.py`` (``*_TEST``) and ``pointmaze/maze_model.py``; gymnasium-robotics's
``maze/maps.py``.
"""

from __future__ import annotations

_DRAWINGS = {
    "umaze": """
        #####
        #   #
        ### #
        #   #
        #####""",
    "medium": """
        ########
        #  ##  #
        #  #   #
        ##   ###
        #  #   #
        # #  # #
        #   #  #
        ########""",
    "large": """
        ############
        #    #     #
        # ## # # # #
        #      #   #
        # #### ### #
        #  # #     #
        ## # # # ###
        #  #   #   #
        ############""",
    "open": """
        #######
        #     #
        #     #
        #     #
        #######""",
}
MAPS: dict[str, tuple[tuple[int, ...], ...]] = {
    name: tuple(tuple(int(cell == "#") for cell in row.strip()) for row in drawing.split("\n")[1:])
    for name, drawing in _DRAWINGS.items()
}
"""The mazes of D4RL and gymnasium-robotics by name, as rows of 1 (a wall) and 0. Starts and goals are not marked."""

D4RL_RADIUS = 0.5
"""A robot has reached its goal if its distance to the goal is at most this number of meters."""
ANT_START = (1, 1)
"""The cell in which the ant starts, as ``(row, column)``."""
ANT_GOALS = {"umaze": (3, 1), "medium": (6, 6), "large": (7, 9)}
"""The cell of the ant's goal in each maze."""
BALL_GOALS = {"open": (2, 3), "umaze": (1, 1), "medium": (6, 6), "large": (7, 9)}
"""The cell of the ball's goal in each maze. Its row and column are also its position in D4RL's maze2d."""
MAZE_OPTIONS = ("maze_map", "reward_type", "continuing_task", "reset_target", "episode_length")
"""The options of ``make_env`` for gymnasium-robotics's versions. They are named as in its own environments."""
