//! The reply `OK`, made once and sent many times. To make it anew each time, as `RedisModule_ReplyWithSimpleString` does,
//! costs four times as much: it copies the text three times.

use super::Context;
use super::call_reply::CallReply;
use super::detached::DetachedContext;
use super::main_thread::MainThread;
use std::cell::RefCell;

static OK_REPLY: MainThread<RefCell<Option<KeptReply>>> = MainThread::new(RefCell::new(None));

/// A reply, and the context it was called in, which has to outlive it.
struct KeptReply {
    reply: CallReply,
    _context: DetachedContext,
}

/// Makes the reply. Without it (the command was renamed away) `OK` is just dearer.
pub(super) fn prepare(ctx: &Context) {
    let context = DetachedContext::new(ctx);
    // Answers OK and does nothing, for a client that watches nothing.
    // SAFETY: a live context; an empty format takes no arguments.
    let reply = unsafe { api!(RedisModule_Call)(context.as_ptr(), c"UNWATCH".as_ptr(), c"".as_ptr()) };
    let reply = CallReply::from_raw(reply);
    let kept = (reply.bytes() == Some(b"OK")).then_some(KeptReply { reply, _context: context });
    OK_REPLY.get(ctx).replace(kept);
}

/// Gives it back.
pub(super) fn release(ctx: &Context) {
    OK_REPLY.get(ctx).take();
}

/// Replies `OK`. `false` when there is no such reply.
pub(super) fn send_ok(ctx: &Context) -> bool {
    let kept = OK_REPLY.get(ctx).borrow();
    let Some(reply) = kept.as_ref().and_then(|kept| kept.reply.as_ptr()) else { return false };
    // SAFETY: the context of this command, and a live reply. A reply of RESP2, which every client understands.
    unsafe { api!(RedisModule_ReplyWithCallReply)(ctx.as_ptr(), reply) == super::context::OK }
}
