"""Write a compiled network for other tools."""
