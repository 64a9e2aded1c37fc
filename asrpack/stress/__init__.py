"""How a speech service answers many clients at once: the load generator of ``asrpack stress``."""
