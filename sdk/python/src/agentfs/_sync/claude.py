# Made of _async/claude.py by generate.py; do not change it by hand.
"""Claude's memory tool."""

from __future__ import annotations

from anthropic.tools import BetaAbstractMemoryTool
from anthropic.types.beta import (
    BetaCacheControlEphemeralParam,
    BetaMemoryTool20250818CreateCommand,
    BetaMemoryTool20250818DeleteCommand,
    BetaMemoryTool20250818InsertCommand,
    BetaMemoryTool20250818RenameCommand,
    BetaMemoryTool20250818StrReplaceCommand,
    BetaMemoryTool20250818ViewCommand,
)

from .._core.claude import ClaudeMemory
from .client import AgentFS


class MemoryTool(BetaAbstractMemoryTool):
    """The memory tool of Claude, with the memory of an agent behind it.

    The files are the entries at and below /memories whose values are strings. Every version of them is kept. Edits are safe
    with other writers, and a rename or delete of a directory happens at one moment.
    """

    def __init__(
        self,
        fs: AgentFS,
        *,
        searchable: bool = False,
        cache_control: BetaCacheControlEphemeralParam | None = None,
    ) -> None:
        """`fs` is a client that is bound to the agent. With `searchable`, `AgentFS.search` finds the files that Claude creates."""
        super().__init__(cache_control=cache_control)
        self._driver = fs._driver
        self._commands = ClaudeMemory(fs._memory, searchable)

    def view(self, command: BetaMemoryTool20250818ViewCommand) -> str:
        """Shows a file with line numbers, or a directory two levels deep."""
        return self._driver.run(self._commands.view(command.path, command.view_range))

    def create(self, command: BetaMemoryTool20250818CreateCommand) -> str:
        """Writes a new file; it replaces none."""
        return self._driver.run(self._commands.create(command.path, command.file_text))

    def str_replace(self, command: BetaMemoryTool20250818StrReplaceCommand) -> str:
        """Replaces a text that occurs once."""
        replace = self._commands.str_replace(command.path, command.old_str, command.new_str)
        return self._driver.run(replace)

    def insert(self, command: BetaMemoryTool20250818InsertCommand) -> str:
        """Inserts lines after a line."""
        insert = self._commands.insert(command.path, command.insert_line, command.insert_text)
        return self._driver.run(insert)

    def delete(self, command: BetaMemoryTool20250818DeleteCommand) -> str:
        """Deletes a file, or a directory with everything in it."""
        return self._driver.run(self._commands.delete(command.path))

    def rename(self, command: BetaMemoryTool20250818RenameCommand) -> str:
        """Moves a file, or a directory with everything in it."""
        return self._driver.run(self._commands.rename(command.old_path, command.new_path))

    def clear_all_memory(self) -> str:
        """Deletes all files. Their history stays."""
        return self._driver.run(self._commands.clear())
