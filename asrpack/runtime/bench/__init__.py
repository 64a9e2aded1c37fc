"""How fast a bundle is on this host, and how much memory it needs."""
