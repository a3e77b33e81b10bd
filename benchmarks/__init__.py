"""What ``make bench`` runs: a node and Postfix on the same work, in the same minutes."""
