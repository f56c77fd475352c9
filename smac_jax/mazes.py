"""What D4RL's mazes are, for those who read its logs and for those who simulate it.

Source: D4RL's ``locomotion/maze_env.py`` (``*_TEST``) and ``pointmaze/maze_model.py``; gymnasium-robotics's
``maze/maps.py``.
"""

from __future__ import annotations

_DRAWN = {
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
    name: tuple(tuple(int(cell == "#") for cell in row.strip()) for row in drawn.split("\n")[1:])
    for name, drawn in _DRAWN.items()
}
"""The mazes of D4RL and gymnasium-robotics by name, without starts and goals: rows of 1 (a wall) and 0."""

D4RL_RADIUS = 0.5
"""How near to its goal a robot has reached it."""
ANT_START = (1, 1)
"""The cell that the ant starts in, as ``(row, column)``."""
ANT_GOALS = {"umaze": (3, 1), "medium": (6, 6), "large": (7, 9)}
"""The cell of the ant's goal."""
BALL_GOALS = {"open": (2, 3), "umaze": (1, 1), "medium": (6, 6), "large": (7, 9)}
"""The cell of the ball's goal, whose row and column are also its place in D4RL's maze2d."""
MAZE_OPTIONS = ("maze_map", "reward_type", "continuing_task", "reset_target", "episode_length")
"""What ``make_env`` takes for gymnasium-robotics's versions, as its own environments do."""
