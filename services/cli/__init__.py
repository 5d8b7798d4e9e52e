"""The composition root that runs the services, and the command line over their public API."""
