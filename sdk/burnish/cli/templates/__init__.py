"""Texts of the files that commands write for a user: project_files.py for `burnish init`."""
