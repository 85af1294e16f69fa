"""Read burnish.toml: find it, and decode its tables.

config_file.py     where the file is, and its plain tables
decoding.py        a table as its type, with ranges and unknown keys
tables.py          the base of all tables; evaluate_table.py, loop_table.py and online_table.py define one each
nearest_names.py   the name that a misspelled one means
"""
