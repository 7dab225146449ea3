"""One file per operator; see base.py."""
