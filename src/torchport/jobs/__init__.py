"""What is done with a finished Bundle, a file a command: `bench`, `diff`, `pack`; beside them `doctor` and `demo`."""
