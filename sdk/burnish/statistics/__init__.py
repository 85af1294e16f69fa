"""Decide from paired results whether one version is better than another; pure Python, no I/O.

`proportions` has the interval of one share, `paired` the comparison of two versions on the same tasks, `means` that of
scores, `multiplicity` the correction for several questions and several looks, `planning` the size of a set of tasks.

    tasks = [PairedTask("refund-1", "refund", pairs=3, won=2, lost=0), ...]
    gain = measure_gain(tasks)
    gain.gain, gain.low, gain.high, gain.p_better
"""

from burnish.statistics.means import MeanGain, measure_mean_gain
from burnish.statistics.multiplicity import holm_adjust, level_left, spend_level
from burnish.statistics.paired import (
    ExcessLoss,
    PairedGain,
    PairedTask,
    mcnemar_p_value,
    measure_excess_loss,
    measure_gain,
    paired_interval,
    paired_z_score,
    sign_flip_p_value,
)
from burnish.statistics.planning import count_tasks_needed, smallest_detectable_gain
from burnish.statistics.proportions import (
    normal_quantile,
    normal_tail,
    student_quantile,
    student_tail,
    wilson_rate,
)
from burnish.statistics.task_results import paired_tasks

__all__ = [
    "ExcessLoss",
    "MeanGain",
    "PairedGain",
    "PairedTask",
    "count_tasks_needed",
    "holm_adjust",
    "level_left",
    "mcnemar_p_value",
    "measure_excess_loss",
    "measure_gain",
    "measure_mean_gain",
    "normal_quantile",
    "normal_tail",
    "paired_interval",
    "paired_tasks",
    "paired_z_score",
    "sign_flip_p_value",
    "smallest_detectable_gain",
    "spend_level",
    "student_quantile",
    "student_tail",
    "wilson_rate",
]
