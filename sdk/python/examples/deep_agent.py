from deepagents import create_deep_agent
from deepagents.backends import CompositeBackend, StateBackend

from agentfs import AgentFS
from agentfs.deepagents import AgentFSBackend

fs = AgentFS(agent="researcher")
agent = create_deep_agent(
    model="anthropic:claude-sonnet-5-5",
    backend=CompositeBackend(
        default=StateBackend(),
        routes={"/memories/": AgentFSBackend(fs, root="/memories", searchable=True)},
    ),
    system_prompt="Keep what is worth knowing in later conversations in files under /memories/.",
)
answer = agent.invoke({"messages": [{"role": "user", "content": "I am allergic to peanuts."}]})
print(answer["messages"][-1].content)
print(fs.files.tree("/memories"))
