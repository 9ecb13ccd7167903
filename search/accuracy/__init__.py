"""Quality predicted from an architecture's codes."""
