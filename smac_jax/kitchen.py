"""What the kitchen's numbers mean, for those who read its logs and for those who simulate it.

Source: gymnasium-robotics's ``FrankaKitchen-v1`` and D4RL's ``kitchen_envs.py``.
"""

from __future__ import annotations

ROBOT = 9
"""How many joints the robot has; those of the things follow."""
THRESHOLD = 0.3
"""A thing is right when its joints are no farther than this from its goal, in Euclidean distance."""
GOALS: dict[str, dict[int, float]] = {
    "bottom burner": {11: -0.88, 12: -0.01},
    "top burner": {15: -0.92, 16: -0.01},
    "light switch": {17: -0.69, 18: -0.05},
    "slide cabinet": {19: 0.37},
    "hinge cabinet": {20: 0.0, 21: 1.45},
    "microwave": {22: -0.75},
    "kettle": dict(enumerate((-0.23, 0.75, 1.62, 0.99, 0.0, 0.0, -0.06), start=23)),
}
"""For each thing its joints, counted from the robot's first, and where they should be."""
