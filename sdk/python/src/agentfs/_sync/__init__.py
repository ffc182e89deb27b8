# Made of _async/__init__.py by generate.py; do not change it by hand.
"""The client without asyncio."""
