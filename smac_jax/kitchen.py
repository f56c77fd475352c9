"""The meaning of the kitchen's observations, which the readers of its data and the simulated task share.

Source: gymnasium-robotics's ``FrankaKitchen-v1`` and D4RL's ``kitchen_envs.py``.
"""

from __future__ import annotations

ROBOT = 9
"""The number of the robot's joints. The joints of the objects follow them."""
THRESHOLD = 0.3
"""An object is at its goal if the Euclidean distance of its joints from the goal is at most this."""
GOALS: dict[str, dict[int, float]] = {
    "bottom burner": {11: -0.88, 12: -0.01},
    "top burner": {15: -0.92, 16: -0.01},
    "light switch": {17: -0.69, 18: -0.05},
    "slide cabinet": {19: 0.37},
    "hinge cabinet": {20: 0.0, 21: 1.45},
    "microwave": {22: -0.75},
    "kettle": dict(enumerate((-0.23, 0.75, 1.62, 0.99, 0.0, 0.0, -0.06), start=23)),
}
"""For each object the indices of its joints, counted from the robot's first one, and their goal positions."""
