//! docs/guides/mcp.md, after `make dev`.

use crate::machine::{AFTER_MAKE_DEV, Machine, brought};

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_mcp_guide_print_what_it_says() {
    brought("model", &[]);
    let machine = Machine::new();
    machine.run(&machine.page("docs/guides/mcp.md"), 9, AFTER_MAKE_DEV).await;
}
