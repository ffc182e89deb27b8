//! What the server's commands end with.

/// What may go better by itself next time (EX_TEMPFAIL of sysexits.h): the operator's Jobs try again.
pub const TRY_AGAIN: u8 = 75;
