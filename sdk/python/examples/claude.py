from anthropic import Anthropic

from agentfs import AgentFS
from agentfs.anthropic import MemoryTool

fs = AgentFS(agent="ada")
memory = MemoryTool(fs, searchable=True)
runner = Anthropic().beta.messages.tool_runner(
    model="claude-sonnet-5-5",
    max_tokens=2000,
    messages=[{"role": "user", "content": "Remember that I am allergic to peanuts."}],
    tools=[memory],
)
print(runner.until_done().content[0].text)

for item in fs.list("/memories", details=True):
    print(item.path, item.details.updated_at)
