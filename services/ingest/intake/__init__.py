"""The doors that events come in by: HTTP and inlet topics; neither touches a database."""
