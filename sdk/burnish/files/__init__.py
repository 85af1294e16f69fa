"""Handle files of a workspace: paths, owners, atomic writes, locks, platforms."""
