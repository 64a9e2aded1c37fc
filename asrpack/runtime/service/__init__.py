"""A loaded bundle as a service: one engine behind files, HTTP and WebSocket."""
