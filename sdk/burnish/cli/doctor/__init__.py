"""`burnish doctor`: check the installation, burnish.toml and the workspace.

`command` holds the checks and their order, `agents` checks what burnish.toml declares.
"""

from burnish.cli.doctor.command import check_all, run_doctor

__all__ = ["check_all", "run_doctor"]
