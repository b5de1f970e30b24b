"""Natural text as a task."""
