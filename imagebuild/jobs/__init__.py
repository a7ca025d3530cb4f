"""What a person asks for, one module a kind of job: the composition root. Settings become adapters here."""
