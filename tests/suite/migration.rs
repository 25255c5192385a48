//! The story of docs/migration.md, under load: from the Lua scripts to the module and back, one client at a time, with a
//! failover for the module to come in. No reader is ever told less than what was written before it asked.

use crate::support::client::{Client, Protocol, Reply, args, array, bulk, call, int, nil, ok};
use crate::support::lua::Scripts;
use crate::support::server::Server;
use crate::support::storage::has_no_index;
use crate::support::wait;
use std::path::PathBuf;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const KEYS: usize = 20;
const WRITERS: usize = 2;
const READERS: usize = 3;
/// What each client does at least between two steps.
const WORK_A_STEP: u64 = 150;

/// Everybody who uses the data.
struct Clients {
    /// Where the master is. A command holds it for reading, so that nobody is under way while it changes.
    master: RwLock<PathBuf>,
    /// The last version of each key whose write was confirmed. It is the mtime too.
    confirmed: Vec<AtomicU64>,
    /// Which clients have moved, and how much each has done: writers first.
    moved: Vec<AtomicBool>,
    done: Vec<AtomicU64>,
    stop: AtomicBool,
}

/// A client of an application: connects to the master, and again after a failover.
struct Connection<'a> {
    clients: &'a Clients,
    open: Option<(PathBuf, Client, Scripts)>,
}

impl Connection<'_> {
    /// Runs a command of either kind until the master has answered it.
    fn ask(&mut self, command: &dyn Fn(&Scripts) -> Vec<Vec<u8>>) -> Reply {
        loop {
            let master = self.clients.master.read().expect("no panic");
            if self.open.as_ref().is_none_or(|(socket, ..)| *socket != *master) {
                let Ok(mut client) = Client::connect(&master, Protocol::Resp2) else { continue };
                let scripts = Scripts::load(&mut client);
                self.open = Some((master.clone(), client, scripts));
            }
            let Some((_, client, scripts)) = &mut self.open else { continue };
            match client.try_call(&command(scripts)) {
                // What clients meet in a failover; they come again.
                Ok(Reply::Error(line)) if line.starts_with("READONLY") || line.starts_with("UNBLOCKED") => {}
                Ok(Reply::Error(line)) => panic!("{line}"),
                Ok(reply) => return reply,
                Err(_) => self.open = None,
            }
            drop(master);
            thread::yield_now();
        }
    }
}

impl Clients {
    fn connection(&self) -> Connection<'_> {
        Connection { clients: self, open: None }
    }

    fn write(&self, number: usize) {
        let mut connection = self.connection();
        for step in 1.. {
            // Each key has one writer.
            let key = (step * WRITERS + number) % KEYS;
            let (name, version) = (key_name(key), self.confirmed[key].load(Ordering::SeqCst) + 1);
            let (value, mtime) = (format!("version {version}"), version.to_string());
            let is_moved = self.moved[number].load(Ordering::SeqCst);
            let reply = connection.ask(&|scripts| {
                if is_moved {
                    args!["MTSET", name, value, mtime]
                } else {
                    scripts.write(name.as_bytes(), value.as_bytes(), mtime.as_bytes())
                }
            });
            assert_eq!(reply, if is_moved { ok() } else { nil() });
            self.confirmed[key].store(version, Ordering::SeqCst);
            self.done[number].fetch_add(1, Ordering::SeqCst);
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    fn read(&self, number: usize) {
        let mut connection = self.connection();
        let mut held = [0_u64; KEYS];
        for step in 1.. {
            let key = (step * 7 + number) % KEYS;
            let (name, since) = (key_name(key), held[key].to_string());
            let confirmed = self.confirmed[key].load(Ordering::SeqCst);
            let is_moved = self.moved[number].load(Ordering::SeqCst);
            let reply = connection.ask(&|scripts| {
                if is_moved {
                    args!["MTGET", name, since]
                } else {
                    scripts.read(name.as_bytes(), since.as_bytes())
                }
            });
            if reply != nil() {
                let text = reply.into_text();
                let version: u64 = text.strip_prefix("version ").expect("a value").parse().expect("a number");
                assert!(version > held[key], "{name}: sent {version} to a reader of {since}");
                held[key] = version;
            }
            assert!(held[key] >= confirmed, "{name}: a reader has {}, written was {confirmed}", held[key]);
            self.done[number].fetch_add(1, Ordering::SeqCst);
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    /// Lets everybody work for a while.
    fn go_on(&self, step: &str) {
        let before: Vec<u64> = self.done.iter().map(|done| done.load(Ordering::SeqCst)).collect();
        wait::until(step, || {
            let mut done = self.done.iter().zip(&before);
            done.all(|(done, before)| done.load(Ordering::SeqCst) >= before + WORK_A_STEP).then_some(())
        });
    }

    /// Moves one client after the other to the module, or back.
    fn move_each(&self, numbers: impl Iterator<Item = usize>, to_module: bool) {
        for number in numbers {
            self.moved[number].store(to_module, Ordering::SeqCst);
            self.go_on(&format!("work after client {number} has moved"));
        }
    }
}

fn key_name(key: usize) -> String {
    format!("doc:{key}")
}

/// Hands the role of the master over without losing a write, and then everybody to the new master.
fn fail_over(old: &Server, new: &Server, clients: &Clients) {
    let port = new.port();
    assert_eq!(call!(old.client(), "FAILOVER", "TO", "127.0.0.1", port), ok());
    let mut client = new.client();
    wait::until("the new master", || (client.info("replication", "role") == "master").then_some(()));
    *clients.master.write().expect("no panic") = new.socket();
    let mut client = old.client();
    wait::until("the old master to follow", || {
        (client.try_info("replication", "master_link_status")? == "up").then_some(())
    });
}

#[test]
fn from_the_scripts_to_the_module_and_back() {
    if has_no_index("the scripts; keymeta_migration.rs has its own") {
        return;
    }
    let first = Server::builder().without_module().tcp().start();
    let clients = Clients {
        master: RwLock::new(first.socket()),
        confirmed: (0..KEYS).map(|_| AtomicU64::new(0)).collect(),
        moved: (0..WRITERS + READERS).map(|_| AtomicBool::new(false)).collect(),
        done: (0..WRITERS + READERS).map(|_| AtomicU64::new(0)).collect(),
        stop: AtomicBool::new(false),
    };
    // What the scripts leave: the entry of a key that is gone.
    let mut client = first.client();
    let scripts = Scripts::load(&mut client);
    client.call(&scripts.write(b"gone", b"v", b"5"));
    client.run("DEL gone");

    thread::scope(|scope| {
        for number in 0..WRITERS {
            let clients = &clients;
            scope.spawn(move || clients.write(number));
        }
        for number in WRITERS..WRITERS + READERS {
            let clients = &clients;
            scope.spawn(move || clients.read(number));
        }
        // A failure in here would leave the others running for ever.
        let story = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            clients.go_on("work with the scripts alone");

            // 1. The module comes with a replica.
            let second = Server::replica_of(&first, Server::builder());
            clients.go_on("work while the replica follows");
            fail_over(&first, &second, &clients);
            clients.go_on("work of the scripts beside the module");

            // 2. What is left over goes.
            let mut client = second.client();
            assert_eq!(client.run("MTCLEAN 0 COUNT 1000"), array([bulk("0"), int(1)]));
            // And plain writes are not overlooked any more, also by the script.
            let scripts = Scripts::load(&mut client);
            client.call(&scripts.write(b"plain", b"before", b"5"));
            client.run("SET plain after");
            assert_eq!(client.call(&scripts.read(b"plain", b"5")), bulk("after"));

            // 3., 4.: readers, then writers, one at a time.
            clients.move_each(WRITERS..WRITERS + READERS, true);
            clients.move_each(0..WRITERS, true);

            // And back, in whatever order: a writer first, then the rest.
            clients.move_each(0..WRITERS, false);
            clients.move_each(WRITERS..WRITERS + READERS, false);

            // The server that never had the module takes over again.
            fail_over(&second, &first, &clients);
            clients.go_on("work without the module");
            second
        }));
        clients.stop.store(true, Ordering::SeqCst);
        story.unwrap_or_else(|failure| std::panic::resume_unwind(failure))
    });

    // Nobody's write is lost, and value and mtime are of the same write.
    let mut client = first.client();
    for (key, confirmed) in clients.confirmed.iter().enumerate() {
        let (name, version) = (key_name(key), confirmed.load(Ordering::SeqCst));
        assert!(version > 0, "{name} was not written");
        assert_eq!(call!(client, "GET", name), bulk(format!("version {version}")));
        assert_eq!(call!(client, "HGET", "MY_KEYSMTIME", name), bulk(version.to_string()));
    }
}
