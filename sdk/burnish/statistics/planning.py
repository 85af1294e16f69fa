"""Compute, before a run, which gain a set of tasks can show and how many tasks a gain needs.

The formula is that of the paired test (Connor, Biometrics 43, 1987, 207-211): with a share `psi` of pairs that differ
and a gain `d`, n = (z_level sqrt(psi) + z_power sqrt(psi - d^2))^2 / d^2. Before the run `psi` is unknown; it is taken
as the gain plus twice the share of tasks that the new version loses, 5 % by default.
"""

from __future__ import annotations

import math
from statistics import NormalDist

_LOST = 0.05
_POWER = 0.8
_NORMAL = NormalDist()


def count_tasks_needed(
    gain: float,
    *,
    level: float = 0.025,
    power: float = _POWER,
    lost: float = _LOST,
    design_effect: float = 1.0,
) -> int:
    """Return the number of tasks that show a gain with the given power.

    Args:
        gain: True gain, above 0.
        level: One-sided level of the test.
        power: Probability of showing the gain.
        lost: Share of all tasks that the new version is expected to lose.
        design_effect: Factor by which families of similar tasks raise the variance; 1 for independent tasks.
    """
    differing = min(1.0, gain + 2 * lost)
    z_level = _NORMAL.inv_cdf(min(1 - level, math.nextafter(1.0, 0.0)))
    z_power = _NORMAL.inv_cdf(power)
    spread = z_level * math.sqrt(differing) + z_power * math.sqrt(max(0.0, differing - gain**2))
    return math.ceil(design_effect * (spread / gain) ** 2)


def smallest_detectable_gain(
    tasks: int,
    *,
    level: float = 0.025,
    power: float = _POWER,
    lost: float = _LOST,
    design_effect: float = 1.0,
) -> float | None:
    """Return the smallest true gain that a number of tasks shows with the given power; None if no gain can be shown.

    Args:
        tasks: Number of tasks.
        level: One-sided level of the test.
        power: Probability of showing the gain.
        lost: Share of all tasks that the new version is expected to lose.
        design_effect: Factor by which families of similar tasks raise the variance; 1 for independent tasks.
    """

    def needed(gain: float) -> int:
        return count_tasks_needed(
            gain, level=level, power=power, lost=lost, design_effect=design_effect
        )

    low, high = 1e-4, 1.0
    if needed(high) > tasks:
        return None
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if needed(middle) <= tasks else (middle, high)
    return high
