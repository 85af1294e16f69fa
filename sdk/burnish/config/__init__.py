"""Read burnish.toml: find it, and decode its tables.

config_file.py   where the file is, and its plain tables
"""
