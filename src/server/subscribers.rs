//! Whether anybody can notice a keyspace event of ours. Firing one costs as much as a tenth of MTSET: the server makes a
//! context for every module that listens, and we listen ourselves. So it is left out where nobody else can: no other
//! module is loaded, and the setting `notify-keyspace-events` lets no event out to clients. Both are looked up at load,
//! and again in the server's events that tell of a change: a module that comes, a `CONFIG SET`.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::Context;
use super::load::NAME;

/// Modules that are part of a server (Redis 8, Valkey 9), and neither listen to events nor keep metadata with keys.
const BUILT_IN: [&str; 2] = ["vectorset", "lua"];

/// Whether events may be noticed. Only ever wrong towards "yes", which costs time.
static ANY: AtomicBool = AtomicBool::new(true);
/// Whether no module is loaded that we know nothing of. Only ever wrong towards "no".
static NO_OTHER_MODULE: AtomicBool = AtomicBool::new(false);

/// Finds out who there is.
pub(super) fn look(ctx: &Context) {
    let alone = is_only_module(ctx);
    let silent = ctx.setting(c"notify-keyspace-events").is_some_and(|classes| classes.is_empty());
    NO_OTHER_MODULE.store(alone, Relaxed);
    ANY.store(!(alone && silent), Relaxed);
}

/// Whether an event may be noticed.
pub(super) fn may_be_any() -> bool {
    ANY.load(Relaxed)
}

/// Whether no module is loaded that may change strings behind our back.
pub(crate) fn is_alone() -> bool {
    NO_OTHER_MODULE.load(Relaxed)
}

/// Whether another module may keep data of its own with a key, which goes when the value is replaced.
pub(super) fn may_keep_metadata() -> bool {
    !NO_OTHER_MODULE.load(Relaxed) && offered!(RedisModule_CreateKeyMetaClass)
}

/// In doubt, no.
fn is_only_module(ctx: &Context) -> bool {
    let modules = ctx.call_with(c"MODULE", c"LIST");
    // Of each module its name and more, in pairs of what it is and a value; the name comes first.
    modules.is_array()
        && (0..)
            .map_while(|number| modules.text_in_element(number, 1))
            .all(|name| name.as_bytes() == NAME.to_bytes() || BUILT_IN.contains(&name))
}
