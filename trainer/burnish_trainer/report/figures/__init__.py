"""The figures of a report, one file a subject, as plain data.

attempts_by_task.py   pass@1 and pass@k; success and gain of each slice and kind
conduct.py            tools, arguments, ignored results, instruction hierarchy, abstention
limit_tests.py        the gate's limits with Holm's correction; what the set could have shown
round_trend.py        success, pass@k, diversity and entropy over rounds; the gap to training tasks
learning_curve.py     the metrics of an adapter's training
arms.py               all stored evaluations of the same tasks, each against the base

A figure without data is `{"missing": REASON}`.
"""
