"""Tasks in whose sequences tokens return: repeated random segments."""
