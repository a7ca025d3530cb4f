"""The same assertions against a fake and against what it stands for: so the fakes are honest."""
