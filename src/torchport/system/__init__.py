"""What this process needs of its machine: children, files, the cache, the clock, settings that are given back."""
