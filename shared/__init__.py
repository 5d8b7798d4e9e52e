"""What at least two services need, and nothing that decides about customers."""
