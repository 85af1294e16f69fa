"""The commands of this package, one file a group: found by the entry points of `burnish.commands`.

Knows: nothing but that they are here. Does not know: what any of them does.
"""
