"""What a comparison may say: intervals over seeds, and verdicts by rules fixed before results."""
