"""The four services and the command line; they import `shared`, never each other."""
