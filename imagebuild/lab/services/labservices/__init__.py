"""What runs inside the lab's own environment: OpenStack's services, each as one process, and the supervisor above them."""
