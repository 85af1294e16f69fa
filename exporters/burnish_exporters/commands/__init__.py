"""Define the commands of this package, one file a group; the entry points of `burnish.commands` name them."""
