"""The client for asyncio. `_sync` is made of it by `generate`: change this one."""
