//! `MTPANIC`: panics, to test that the border answers it as an error. Only in builds with the feature
//! `panic-injection`, which no release has.

use crate::errors::Refusal;
use crate::server::command::{Keys, Spec};
use crate::server::{Arguments, Command, Context};

/// The command.
pub(crate) struct MtPanic;

impl Command for MtPanic {
    const SPEC: Spec = Spec {
        name: c"mtpanic",
        flags: c"readonly",
        categories: c"read",
        arity: 1,
        summary: c"Panics on purpose.",
        complexity: c"O(1)",
        since: c"0.1.0",
        keys: Keys::None,
        key_flags: 0,
        arguments: &[],
    };

    #[expect(clippy::panic, reason = "its purpose")]
    fn run(_: &Context, _: Arguments<'_>) -> Result<(), Refusal> {
        panic!("injected")
    }
}
