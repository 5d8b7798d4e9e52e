"""A real Kafka broker and a real PostgreSQL server on this machine, for hands-on use and for tests."""
