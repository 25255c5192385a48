//! The index that a server with keymeta storage finds from before: from the scripts, or from hash storage. Nobody reads it
//! but MTIMPORT, which must be able to trust it. So as long as there may be one, foreign writes drop entries as they do
//! with hash storage.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::index::Home;
use crate::server::Context;

/// Only ever wrong towards "yes", which makes foreign writes look for an entry.
static MAY_EXIST: AtomicBool = AtomicBool::new(true);

/// Whether there may be an index, in whichever database.
pub(crate) fn may_exist() -> bool {
    MAY_EXIST.load(Relaxed)
}

/// Somebody has written to one.
pub(crate) fn has_come() {
    MAY_EXIST.store(true, Relaxed);
}

/// Finds out whether there is one. After a load, and when MTIMPORT has come to an end.
pub(crate) fn look(ctx: &Context) {
    let mut found = false;
    ctx.for_each_db(|_| {
        found = found || Home::all().any(|home| ctx.exists(home.new_name(ctx).as_str()));
    });
    MAY_EXIST.store(found, Relaxed);
}
