"""The SSH console of a node: its verbs, for those who come with a key."""
