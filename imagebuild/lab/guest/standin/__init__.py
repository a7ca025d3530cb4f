"""What runs in the stand-in guest and plays Windows. It is not Windows. Standard library only: the guest has nothing else."""
