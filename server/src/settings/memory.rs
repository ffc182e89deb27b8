//! Settings that follow the memory that the process may use: a third of it is for connections, a third for the budget of bytes.

use super::reader::{Described, Reader};

/// Of which connections take one share, and the budget of bytes another. The rest is for everything else.
const SHARES: u64 = 3;
/// What a connection takes: half a head of 32 KiB takes 54 KiB, and so do the buffers of an idle one; a large head with a small body
/// that is under way takes 88 KiB.
const CONNECTION: u64 = 80 << 10;
/// Most connections by default.
const MAX_CONNECTIONS: u64 = 10_000;
/// The least number of connections, and the least budget: more than the largest page.
const MIN_CONNECTIONS: u64 = 10;
const MIN_BUDGET_MIB: u64 = 32;
const MAX_BUDGET_MIB: u64 = 1 << 20;

const MEMORY_BUDGET_MIB: &str = "MEMORY_BUDGET_MIB";

/// Settings of memory.
#[derive(Debug, Clone, Copy)]
pub struct MemorySettings {
    /// Most bytes of bodies, queued writes, and answers that are not taken yet.
    pub budget: u64,
}

impl MemorySettings {
    pub(super) const DESCRIBED: &'static [Described] = &[Described {
        name: MEMORY_BUDGET_MIB,
        about: "MiB for request bodies, queued writes, and responses not yet sent (a third of the memory limit)",
    }];

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let default = ((reader.memory() / SHARES) >> 20).clamp(MIN_BUDGET_MIB, MAX_BUDGET_MIB);
        let must = format!("a number from {MIN_BUDGET_MIB} to {MAX_BUDGET_MIB}");
        let mib = reader.parsed(MEMORY_BUDGET_MIB, default, &must, |text| {
            text.parse().ok().filter(|mib| (MIN_BUDGET_MIB..=MAX_BUDGET_MIB).contains(mib))
        });
        Some(Self { budget: mib? << 20 })
    }
}

/// The default of MAX_CONNECTIONS where the process may use `memory` bytes.
pub(super) fn connections(memory: u64) -> u32 {
    let fit = memory / SHARES / CONNECTION;
    u32::try_from(fit.clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)).unwrap_or(u32::MAX)
}
