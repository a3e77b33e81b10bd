"""Small databases in files, without a server."""

def allow_folder(path: str) -> None:
    """Let databases lie in this folder, beside the policy's own. Only in init."""
