"""What targets share, and nothing that is a target: the folder above is the table of targets."""
