"""The messages that travel between the services, their topics, keys and partitioner."""
