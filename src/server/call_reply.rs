//! The reply of a command that we called.

use std::ptr::NonNull;

use redis_module::raw;

use super::OwnedStr;

/// A reply, or none where the call failed before it began. Freed when dropped.
pub(crate) struct CallReply(Option<NonNull<raw::RedisModuleCallReply>>);

impl CallReply {
    /// Takes a reply over, as `RedisModule_Call` answers it.
    pub(super) const fn from_raw(raw: *mut raw::RedisModuleCallReply) -> Self {
        Self(NonNull::new(raw))
    }

    pub(super) fn as_ptr(&self) -> Option<*mut raw::RedisModuleCallReply> {
        self.0.map(NonNull::as_ptr)
    }

    /// The content of a string.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        string(self.0?)
    }

    /// The elements of an array of strings.
    pub(super) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        (0..).map_while(|index| string(element(self.0?, index)?))
    }

    /// The text of an element of an array of strings.
    pub(super) fn text_at(&self, index: usize) -> Option<&str> {
        std::str::from_utf8(string(element(self.0?, index)?)?).ok()
    }

    /// Whether it is an array, be it empty.
    pub(super) fn is_array(&self) -> bool {
        self.as_ptr().is_some_and(|raw| {
            // SAFETY: a live reply.
            let kind = unsafe { api!(RedisModule_CallReplyType)(raw) };
            isize::try_from(kind) == Ok(raw::REDISMODULE_REPLY_ARRAY)
        })
    }

    /// The text at `inner` in the array at `outer`. Empty if there is something else; `None` past the end of the outer
    /// array.
    pub(super) fn text_in_element(&self, outer: usize, inner: usize) -> Option<&str> {
        let array = element(self.0?, outer)?;
        Some(
            element(array, inner)
                .and_then(string)
                .and_then(|text| std::str::from_utf8(text).ok())
                .unwrap_or(""),
        )
    }
}

/// One step of a scan over a hash.
pub(crate) struct ScanStep {
    reply: CallReply,
}

impl ScanStep {
    pub(super) const fn from_reply(reply: CallReply) -> Self {
        Self { reply }
    }

    /// Where to go on; `0` at the end.
    pub(crate) fn next_cursor(&self) -> &str {
        self.reply.text_at(0).unwrap_or("0")
    }

    /// The fields found, and their values.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (OwnedStr, &[u8])> {
        // The second element is fields and values in turn.
        let pairs = self.reply.0.and_then(|reply| element(reply, 1));
        (0..).step_by(2).map_while(move |index: usize| {
            let field = string(element(pairs?, index)?)?;
            let value = string(element(pairs?, index.saturating_add(1))?)?;
            Some((OwnedStr::new(field), value))
        })
    }
}

/// An element of an array; `None` when there is none.
fn element(
    array: NonNull<raw::RedisModuleCallReply>,
    index: usize,
) -> Option<NonNull<raw::RedisModuleCallReply>> {
    // SAFETY: a live reply; an index out of range, or a reply that is no array, is answered with null.
    NonNull::new(unsafe { api!(RedisModule_CallReplyArrayElement)(array.as_ptr(), index) })
}

/// The content of a string reply. Lives as long as the outermost reply, which the callers borrow.
fn string<'a>(reply: NonNull<raw::RedisModuleCallReply>) -> Option<&'a [u8]> {
    let mut length = 0;
    // SAFETY: a live reply; one that is no string is answered with null.
    let start = unsafe { api!(RedisModule_CallReplyStringPtr)(reply.as_ptr(), &raw mut length) };
    if start.is_null() {
        return None;
    }
    // SAFETY: the server answers the start and length of bytes that live as long as the reply.
    Some(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) })
}

impl Drop for CallReply {
    fn drop(&mut self) {
        if let Some(raw) = self.as_ptr() {
            // SAFETY: a live reply that nobody else holds, freed once.
            unsafe { api!(RedisModule_FreeCallReply)(raw) };
        }
    }
}
