"""Provide environments that need no code of the user: recorded results in place of tools.

burnish.toml names them: `environment = "replay"`, `"shadow"` or `"live"`.

tool_calls.py      takes over the calls of LangChain tools while an environment is open
recorded_calls.py  the results of a recorded run, by tool and arguments
built_in.py        the environments
"""
