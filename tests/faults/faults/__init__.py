"""What is done to a running system, one module for each part that it is done to."""
