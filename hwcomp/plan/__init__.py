"""Program to plan: how one target executes it. A plan never changes a bit."""
