"""The page: one HTML file that needs neither a network nor a server."""
