//! README.md: what somebody types who has never seen it.

use crate::machine::{Machine, brought};

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_print_what_it_says() {
    // `make dev` fetches it.
    brought("model", &[]);
    let machine = Machine::new();
    machine.run(&machine.page("README.md"), 5, "").await;
}
