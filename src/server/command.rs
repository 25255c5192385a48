//! Commands: what a handler gets, how it is described to the server, and the border that the server calls.

use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use redis_module::raw;

use super::{Context, Str};
use crate::errors::{self, Refusal};

/// A command of this module.
pub(crate) trait Command {
    /// How the server is told about it.
    const SPEC: Spec;

    /// Executes it: replies, or answers an error and has changed nothing.
    fn run(ctx: &Context, arguments: Arguments<'_>) -> Result<(), Refusal>;
}

/// The arguments of a command, without its name.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a> {
    pointers: &'a [*mut raw::RedisModuleString],
}

impl<'a> Arguments<'a> {
    /// How many there are.
    pub(crate) const fn len(self) -> usize {
        self.pointers.len()
    }

    /// The argument at `index`, from 0.
    pub(crate) fn get(self, index: usize) -> Option<Str<'a>> {
        let argument = NonNull::new(*self.pointers.get(index)?)?;
        // SAFETY: the server keeps the arguments alive and unchanged during the command, which `'a` does not outlive.
        Some(unsafe { Str::from_raw(argument) })
    }

    /// All arguments from `index` on.
    pub(crate) fn from(self, index: usize) -> impl Iterator<Item = Str<'a>> + Clone {
        (index..self.len()).filter_map(move |index| self.get(index))
    }

    /// The content of all arguments from `index` on, as the parsers want it.
    pub(crate) fn bytes_from(self, index: usize) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.from(index).map(Str::as_bytes)
    }
}

/// The description of a command, for COMMAND DOCS, INFO and GETKEYS, and for ACLs.
pub(crate) struct Spec {
    /// Its name, in lower case as all names that modules register.
    pub(crate) name: &'static CStr,
    /// Flags of `RedisModule_CreateCommand`.
    pub(crate) flags: &'static CStr,
    /// ACL categories, where the server lets a module set them; besides our own, `mtime`.
    pub(crate) categories: &'static CStr,
    /// The number of arguments with the name; negative: at least so many.
    pub(crate) arity: c_int,
    /// What it does, in a line.
    pub(crate) summary: &'static CStr,
    /// Its cost in the O notation.
    pub(crate) complexity: &'static CStr,
    /// The version of this module that it came with.
    pub(crate) since: &'static CStr,
    /// Where its keys are.
    pub(crate) keys: Keys,
    /// What it does with them: `REDISMODULE_CMD_KEY_*`.
    pub(crate) key_flags: u32,
    /// Its arguments.
    pub(crate) arguments: &'static [Argument],
}

/// Where the keys of a command are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// It takes none.
    None,
    /// The first argument.
    First,
    /// Every second argument, from the first on.
    EverySecond,
}

/// Describes an argument.
pub(crate) struct Argument {
    /// Its name.
    pub(crate) name: &'static CStr,
    /// What it is.
    pub(crate) kind: Kind,
    /// The word before it, if there is one; of a `Token` the word itself.
    pub(crate) token: Option<&'static CStr>,
    /// Whether it may be left out.
    pub(crate) optional: bool,
    /// Whether it may be repeated.
    pub(crate) multiple: bool,
    /// What to show in place of its name, which has to differ from the names beside it. Redis 7.0 shows the name.
    pub(crate) shown_as: Option<&'static CStr>,
}

/// What an argument is.
pub(crate) enum Kind {
    /// A key, the one of the only key spec.
    Key,
    /// Any bytes.
    String,
    /// A decimal number.
    Double,
    /// An integer.
    Integer,
    /// Unix time.
    UnixTime,
    /// A word.
    Token,
    /// One of several arguments.
    OneOf(&'static [Argument]),
    /// Several arguments in a row.
    Block(&'static [Argument]),
}

impl Argument {
    /// An argument that must be there.
    pub(crate) const fn new(name: &'static CStr, kind: Kind) -> Self {
        Self { name, kind, token: None, optional: false, multiple: false, shown_as: None }
    }

    /// A word, which stands for itself.
    pub(crate) const fn word(name: &'static CStr, token: &'static CStr) -> Self {
        Self { name, kind: Kind::Token, token: Some(token), optional: false, multiple: false, shown_as: None }
    }

    /// With a word before it.
    pub(crate) const fn after(self, token: &'static CStr) -> Self {
        Self { token: Some(token), ..self }
    }

    /// With another text to show than its name.
    pub(crate) const fn shown_as(self, text: &'static CStr) -> Self {
        Self { shown_as: Some(text), ..self }
    }

    /// One that may be left out.
    pub(crate) const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// One that may be repeated.
    pub(crate) const fn multiple(self) -> Self {
        Self { multiple: true, ..self }
    }
}

/// Registers a command and describes it. `false` when the server refuses.
pub(super) fn register<C: Command>(ctx: &Context) -> bool {
    let spec = &C::SPEC;
    let (first, last, step) = match spec.keys {
        Keys::None => (0, 0, 0),
        Keys::First => (1, 1, 1),
        Keys::EverySecond => (1, -1, 2),
    };
    // SAFETY: the context is the one of OnLoad, the texts are constants that end with a NUL, and the function has the
    // signature of a command.
    let created = unsafe {
        api!(RedisModule_CreateCommand)(
            ctx.as_ptr(),
            spec.name.as_ptr(),
            Some(entry::<C>),
            spec.flags.as_ptr(),
            first,
            last,
            step,
        )
    };
    if created != OK {
        return false;
    }
    // SAFETY: the context is the one of OnLoad, the name that of a command of this module.
    let command = unsafe { api!(RedisModule_GetCommand)(ctx.as_ptr(), spec.name.as_ptr()) };
    !command.is_null() && describe(command, spec) && categorize(command, spec)
}

/// Adds our ACL category, where the server lets modules do so (Redis 7.4, Valkey 8). Before the commands.
pub(super) fn add_category(ctx: &Context) {
    if offered!(RedisModule_AddACLCategory) {
        // SAFETY: the context is the one of OnLoad, the name a constant that ends with a NUL. A failure, such as a
        // category of that name by another module, costs the category and nothing else.
        unsafe { api!(RedisModule_AddACLCategory)(ctx.as_ptr(), CATEGORY.as_ptr()) };
    }
}

const CATEGORY: &CStr = c"mtime";

fn categorize(command: *mut raw::RedisModuleCommand, spec: &Spec) -> bool {
    if !offered!(RedisModule_SetCommandACLCategories) {
        return true;
    }
    let with_ours = [spec.categories.to_bytes(), b" ", CATEGORY.to_bytes(), b"\0"].concat();
    let attempts = [CStr::from_bytes_with_nul(&with_ours).unwrap_or(spec.categories), spec.categories];
    // The first fails where the server has categories but takes none of ours.
    let tries = if offered!(RedisModule_AddACLCategory) {
        &attempts[..]
    } else {
        attempts.get(1..).unwrap_or_default()
    };
    tries.iter().any(|categories| {
        // SAFETY: a live command of this module, in OnLoad; the text ends with a NUL.
        unsafe { api!(RedisModule_SetCommandACLCategories)(command, categories.as_ptr()) == OK }
    })
}

fn describe(command: *mut raw::RedisModuleCommand, spec: &Spec) -> bool {
    let mut key_specs = [key_spec(spec), EMPTY_KEY_SPEC];
    let mut tree = ArgumentTree::default();
    let arguments = tree.translate(spec.arguments);
    let info = raw::RedisModuleCommandInfo {
        version: &raw const INFO_VERSION,
        summary: spec.summary.as_ptr(),
        complexity: spec.complexity.as_ptr(),
        since: spec.since.as_ptr(),
        history: ptr::null_mut(),
        tips: ptr::null(),
        arity: spec.arity,
        key_specs: if spec.keys == Keys::None { ptr::null_mut() } else { key_specs.as_mut_ptr() },
        args: arguments,
    };
    // SAFETY: a live command of this module, in OnLoad. The description is complete: its version tells the sizes of
    // the structures, and both arrays end with an empty element. The server copies all of it.
    unsafe { api!(RedisModule_SetCommandInfo)(command, &raw const info) == OK }
}

fn key_spec(spec: &Spec) -> raw::RedisModuleCommandKeySpec {
    let (last, step) = if spec.keys == Keys::EverySecond { (-1, 2) } else { (0, 1) };
    raw::RedisModuleCommandKeySpec {
        flags: u64::from(spec.key_flags),
        begin_search_type: raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX,
        bs: raw::RedisModuleCommandKeySpec__bindgen_ty_1 {
            index: raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_1 { pos: 1 },
        },
        find_keys_type: raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE,
        fk: raw::RedisModuleCommandKeySpec__bindgen_ty_2 {
            range: raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_1 {
                lastkey: last,
                keystep: step,
                limit: 0,
            },
        },
        ..EMPTY_KEY_SPEC
    }
}

const EMPTY_KEY_SPEC: raw::RedisModuleCommandKeySpec = raw::RedisModuleCommandKeySpec {
    notes: ptr::null(),
    flags: 0,
    begin_search_type: raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INVALID,
    bs: raw::RedisModuleCommandKeySpec__bindgen_ty_1 {
        index: raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_1 { pos: 0 },
    },
    find_keys_type: raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_OMITTED,
    fk: raw::RedisModuleCommandKeySpec__bindgen_ty_2 {
        range: raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_1 {
            lastkey: 0,
            keystep: 0,
            limit: 0,
        },
    },
};

/// `REDISMODULE_COMMAND_INFO_VERSION`: a macro that bindgen does not translate.
static INFO_VERSION: raw::RedisModuleCommandInfoVersion = raw::RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
};

/// The arrays that a translated tree of arguments points into.
#[derive(Default)]
struct ArgumentTree {
    levels: Vec<Box<[raw::RedisModuleCommandArg]>>,
}

impl ArgumentTree {
    /// The arguments as an array in the server's form, with an empty element at its end. Lives as long as `self`.
    fn translate(&mut self, arguments: &[Argument]) -> *mut raw::RedisModuleCommandArg {
        let mut level: Vec<_> = arguments.iter().map(|argument| self.translate_one(argument)).collect();
        level.push(EMPTY_ARGUMENT);
        let mut level = level.into_boxed_slice();
        let start = level.as_mut_ptr();
        self.levels.push(level);
        start
    }

    fn translate_one(&mut self, argument: &Argument) -> raw::RedisModuleCommandArg {
        use raw::{
            RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK as BLOCK,
            RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_DOUBLE as DOUBLE,
            RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER as INTEGER,
            RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY as KEY,
            RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF as ONE_OF,
            RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN as TOKEN,
            RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING as STRING,
            RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_UNIX_TIME as UNIX_TIME,
        };
        let (kind, subarguments) = match argument.kind {
            Kind::Key => (KEY, ptr::null_mut()),
            Kind::String => (STRING, ptr::null_mut()),
            Kind::Double => (DOUBLE, ptr::null_mut()),
            Kind::Integer => (INTEGER, ptr::null_mut()),
            Kind::UnixTime => (UNIX_TIME, ptr::null_mut()),
            Kind::Token => (TOKEN, ptr::null_mut()),
            Kind::OneOf(choices) => (ONE_OF, self.translate(choices)),
            Kind::Block(parts) => (BLOCK, self.translate(parts)),
        };
        let optional = if argument.optional { raw::REDISMODULE_CMD_ARG_OPTIONAL } else { 0 };
        let multiple = if argument.multiple { raw::REDISMODULE_CMD_ARG_MULTIPLE } else { 0 };
        raw::RedisModuleCommandArg {
            name: argument.name.as_ptr(),
            type_: kind,
            key_spec_index: if matches!(argument.kind, Kind::Key) { 0 } else { -1 },
            token: argument.token.map_or(ptr::null(), CStr::as_ptr),
            flags: (optional | multiple).cast_signed(),
            subargs: subarguments,
            display_text: argument.shown_as.map_or(ptr::null(), CStr::as_ptr),
            ..EMPTY_ARGUMENT
        }
    }
}

const EMPTY_ARGUMENT: raw::RedisModuleCommandArg = raw::RedisModuleCommandArg {
    name: ptr::null(),
    type_: 0,
    key_spec_index: -1,
    token: ptr::null(),
    summary: ptr::null(),
    since: ptr::null(),
    flags: 0,
    deprecated_since: ptr::null(),
    subargs: ptr::null_mut(),
    display_text: ptr::null(),
};

/// What the server calls for a command. Turns refusals into error replies, and panics too: a panic that crossed the
/// border would take the server down.
extern "C" fn entry<C: Command>(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    let (Some(ctx), Ok(count)) = (NonNull::new(ctx), usize::try_from(argc)) else { return OK };
    // SAFETY: the server's context for this call.
    let ctx = unsafe { Context::from_raw(ctx) };
    // SAFETY: the server passes `argc` live strings at `argv`, the command's name first.
    let pointers = unsafe { std::slice::from_raw_parts(argv, count) };
    let arguments = Arguments { pointers: pointers.get(1..).unwrap_or_default() };
    match catch_unwind(AssertUnwindSafe(|| C::run(&ctx, arguments))) {
        Ok(Ok(())) => {}
        Ok(Err(Refusal::WrongArity)) => ctx.reply_wrong_arity(),
        Ok(Err(Refusal::Error(message))) => ctx.reply_error(message),
        Err(_) => report_panic(&ctx, C::SPEC.name),
    }
    OK
}

#[cold]
fn report_panic(ctx: &Context, name: &CStr) {
    ctx.log_warning(&format!("panic in {}, answered as an error; please report it", name.to_string_lossy()));
    ctx.reply_error(errors::INTERNAL);
}

const OK: c_int = 0;
