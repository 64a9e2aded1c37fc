"""Who leaked this? A suspect's weights, the vendor's original, and the registered customers."""
