"""Claude's memory tool on AgentFS. Needs the extra `anthropic`."""

from ._core.extras import needs

with needs("anthropic"):
    from ._async.claude import AsyncMemoryTool
    from ._sync.claude import MemoryTool

__all__ = ["AsyncMemoryTool", "MemoryTool"]
