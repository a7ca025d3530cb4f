"""The front: Invoke's tasks by topic, thin and typed, each one call into imagebuild.jobs. tasks.py puts them together."""
