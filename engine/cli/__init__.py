"""The verbs of operators: what the command line and the SSH console have in common."""
