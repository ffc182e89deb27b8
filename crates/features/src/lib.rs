//! Nothing but the features of dependencies that server and operator share, see Cargo.toml.
//!
//! Cargo compiles a dependency once for each set of its features. The operator and tests ask for more of them than the server does:
//! with these features the server alone, as `make dev` builds it, shares all it compiles with the whole workspace.
