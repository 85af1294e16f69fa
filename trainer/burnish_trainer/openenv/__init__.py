"""OpenEnv's environments as burnish's, and burnish's agents as OpenEnv's environments.

openenv_world.py    an OpenEnv environment as the environment of an attempt, and its tools
openenv_server.py   an agent's tasks, environment and verifiers as an OpenEnv server
"""
