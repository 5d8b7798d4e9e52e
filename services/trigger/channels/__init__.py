"""How customers are reached. The channel `link` is built in and sends nothing: its links are read by API."""
