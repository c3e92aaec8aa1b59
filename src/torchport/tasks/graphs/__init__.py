"""The parts of tasks that are PyTorch: graphs around a model, and splits of it. Every file imports torch."""
