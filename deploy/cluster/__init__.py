"""What is done to a Kubernetes cluster from outside."""
