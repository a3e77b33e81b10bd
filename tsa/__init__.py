"""The traffic shaping automation daemon."""
