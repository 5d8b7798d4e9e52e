"""The HTTP ground of every service: problems, limits, request ids, health, pages of results, and the server."""
