"""What tasks share: pictures on the host and in the graph."""
