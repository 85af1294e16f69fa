"""Run single attempts: limits, retries, and the environment.

watch.py            seeds and limits of an attempt, and errors of its backend
shared.py           what all attempts of an evaluation share: tokens left, a pause that a server asked for, first states
world.py            the environment of an attempt, opened and closed beside the event loop
client_logs.py      lines that libraries log for each request, bounded
worker_threads.py   threads for synchronous nodes, which an agent that never ends cannot block
attempt_log.py      attempts that ended, written as they end, so that a killed evaluation continues
"""
