"""A reader in Go, and its tests."""
