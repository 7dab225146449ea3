"""JSON facts to text and HTML."""
