//! A few thousand commands of every kind, from connections that come and go, with a replica, persistence and an unload.
//! On its own it shows little; `scripts/memcheck` runs it on a server under valgrind.

use crate::support::client::call;
use crate::support::client::{ok, words};
use crate::support::dice::{Dice, number_of};
use crate::support::module;
use crate::support::server::Server;
use crate::support::storage::is_keymeta;
use crate::support::wait;
use crate::support::workload::Workload;

#[test]
fn commands_of_every_kind_for_memcheck() {
    let commands = usize::try_from(number_of("REDIS_MTIME_MEMCHECK_COMMANDS", || 3000)).expect("a number");
    let mut dice = Dice::seeded(number_of("REDIS_MTIME_TEST_SEED", || 7));
    let server = Server::with(&["appendonly yes", "appendfsync no", "maxmemory-policy allkeys-lru"]);
    let workload = Workload::default();
    for round in 0..10 {
        let mut client = if round % 2 == 0 { server.client() } else { server.resp3() };
        client.pipeline(&workload.commands(&mut dice, commands / 10));
        client.run("SELECT 0");
        match round {
            2 => assert_eq!(client.run("DEBUG RELOAD"), ok()),
            3 => drop(client.run("BGREWRITEAOF")),
            4 => assert_eq!(client.run("CONFIG SET mtime.invalidate-on-write no"), ok()),
            5 => {
                assert_eq!(client.run("CONFIG SET mtime.invalidate-on-write yes"), ok());
                client.run("CONFIG SET maxmemory 1");
                client.pipeline(&[words("MTSET k v 1"), words("MTTOUCH k 1"), words("SET k v")]);
                client.run("CONFIG SET maxmemory 0");
            }
            6 => {
                client.run("CLIENT TRACKING off");
                for line in
                    ["INFO mtime", "INFO everything", "COMMAND DOCS mtset mtget", "CONFIG GET mtime.*"]
                {
                    client.run(line);
                }
            }
            7 => drop(client.run("DEBUG LOADAOF")),
            _ => {}
        }
    }
    let mut client = server.client();
    if is_keymeta() {
        assert!(client.run("MODULE UNLOAD mtime").is_error());
    }
    // With keymeta storage it stays for good.
    for _ in 0..if is_keymeta() { 0 } else { 2 } {
        // Connections that know commands of ours: what an unload leaves behind, a checker of memory sees.
        let mut knowing = [server.client(), server.client(), server.resp3()];
        for (knowing, line) in knowing.iter_mut().zip(["MTSET k v 1", "MTGET k 0", "MTTIME k"]) {
            knowing.run(line);
        }
        knowing[2].pipeline(&[words("MULTI"), words("MTSET k v 2")]);
        assert!(client.run("MODULE UNLOAD mtime").is_error());
        knowing[2].run("EXEC");
        assert_eq!(client.run("MODULE UNLOAD mtime"), ok());
        client.run("CLIENT LIST");
        knowing[2].run("MTGET k 0");
        assert!(
            call!(client, "MODULE", "LOADEX", module::path(), "CONFIG", "mtime.clock-unit", "ns").is_error()
        );
        assert_eq!(call!(client, "MODULE", "LOAD", module::path()), ok());
        client.pipeline(&[words("MTSET k v *"), words("MTGET k 1"), words("SET k v"), words("FLUSHALL")]);
        client.run("PING");
    }
    // An orderly end, so that a checker of memory can report.
    let pid = client.info("server", "process_id");
    assert!(client.try_call(&words("SHUTDOWN NOSAVE")).is_err());
    let process = std::path::Path::new("/proc").join(pid).join("exe");
    wait::until("the server to end", || std::fs::read_link(&process).is_err().then_some(()));
}
