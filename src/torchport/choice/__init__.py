"""Which candidate is chosen under a budget, and what the others miss."""
