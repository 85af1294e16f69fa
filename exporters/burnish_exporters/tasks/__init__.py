"""Task sets: the tasks that an agent is measured and trained on, as functions of the user and as files.

task_sources.py   the tasks of a pool, from all that `tasks` in burnish.toml names
task_files.py     `tasks/*.jsonl`: reading, with an error for each wrong line, and writing
set_versions.py   `tasks/tasks.lock`: the versions of the files, by the hash of each pool
harbor.py         folders of Harbor tasks
"""
