//! `MTSET key value mtime [condition] [TTL]`: sets a value and its mtime together.

use redis_module::raw;

use super::{IFEQ, KEY, key_argument};
use crate::args::{self, Expiry, NewMtime};
use crate::errors::Refusal;
use crate::foreign_writes::not_foreign;
use crate::freshness::{self, Condition, State};
use crate::index::Entry;
use crate::server::command::{Argument, Keys, Kind, Spec};
use crate::server::context::Lookup;
use crate::server::propagation::is_exporting;
use crate::server::{Arguments, Command, Context};
use crate::storage::{self, Place, Write};
use crate::{config, stats};

/// The command.
pub(crate) struct MtSet;

impl Command for MtSet {
    const SPEC: Spec = Spec {
        name: c"mtset",
        flags: c"write deny-oom fast",
        categories: c"write string fast",
        arity: -4,
        summary: c"Sets the string value of a key together with its modification time.",
        complexity: c"O(1)",
        since: c"0.1.0",
        keys: Keys::First,
        key_flags: raw::REDISMODULE_CMD_KEY_OW | raw::REDISMODULE_CMD_KEY_UPDATE,
        arguments: &[
            KEY,
            Argument::new(c"value", Kind::String),
            // A number or `*`.
            Argument::new(c"mtime", Kind::String),
            Argument::new(
                c"condition",
                Kind::OneOf(&[
                    Argument::word(c"ifnewer", c"IFNEWER"),
                    IFEQ,
                    Argument::word(c"nx", c"NX"),
                    Argument::word(c"xx", c"XX"),
                ]),
            )
            .optional(),
            Argument::new(
                c"expiration",
                Kind::OneOf(&[
                    Argument::new(c"seconds", Kind::Integer).after(c"EX"),
                    Argument::new(c"milliseconds", Kind::Integer).after(c"PX"),
                    Argument::new(c"unix-time-seconds", Kind::UnixTime).after(c"EXAT"),
                    Argument::new(c"unix-time-milliseconds", Kind::UnixTime).after(c"PXAT"),
                    Argument::word(c"keepttl", c"KEEPTTL"),
                ]),
            )
            .optional(),
        ],
    };

    fn run(ctx: &Context, arguments: Arguments<'_>) -> Result<(), Refusal> {
        let (Some(value), Some(mtime_argument)) = (arguments.get(1), arguments.get(2)) else {
            return Err(Refusal::WrongArity);
        };
        let key = key_argument(ctx, arguments)?;
        let request = args::set(arguments.bytes_from(2))?;
        let deadline = request.expiry.deadline(|| ctx.now_ms())?;
        if let NewMtime::Given(mtime) = request.mtime {
            storage::admit(mtime)?;
        }

        let mut opened = ctx.open(key, Lookup::Write).ok_or(Refusal::WRONG_TYPE)?;
        let place = Place::of(key);
        let mut storage = place.open(ctx)?;
        let unconditional = request.condition == Condition::Always;
        let state = match request.mtime {
            NewMtime::Given(_) if unconditional => State::Untracked,
            _ => storage.state(&opened, key),
        };
        let mtime = match request.mtime {
            NewMtime::Given(mtime) => Some(mtime),
            NewMtime::Assigned => freshness::assigned(config::clock_unit().now(), state),
        };
        if !unconditional && !request.condition.allows(state, mtime) {
            stats::SETS_REFUSED.count();
            ctx.reply_null();
            return Ok(());
        }
        let mtime = mtime.ok_or(Refusal::NO_LATER_MTIME)?;
        let entry = match request.mtime {
            NewMtime::Given(_) => place.entry(mtime, mtime_argument),
            NewMtime::Assigned => {
                storage::admit(mtime)?;
                Entry::new(mtime)
            }
        };
        let kept = if request.expiry == Expiry::Keep { opened.deadline() } else { None };
        // Where the transaction is taken apart: value and mtime must not be from different times in between.
        let untracks_first = is_exporting() && storage.has_entry(key);
        opened.set_string(value);
        if let Some(deadline) = deadline.or(kept) {
            opened.set_deadline(deadline);
        }
        storage.set(&mut opened, key, mtime, entry.as_str());
        ctx.close_changed((storage, opened));

        place.propagate_set(
            ctx,
            &Write { key, value, mtime: entry.as_str(), expiry: request.expiry, deadline, untracks_first },
        );
        not_foreign(|| {
            ctx.notify_string(c"set", key);
            if deadline.is_some() {
                ctx.notify_generic(c"expire", key);
            }
        });
        stats::SETS.count();
        match request.mtime {
            NewMtime::Given(_) => ctx.reply_ok(),
            NewMtime::Assigned => mtime.with_text(|text| ctx.reply_bulk(text)),
        }
        Ok(())
    }
}
