//! Work that goes on in the background while a test does something to the server.

use super::client::Client;
use super::dice::Dice;
use super::server::Server;
use super::wait;
use super::workload::Workload;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{JoinHandle, spawn};

/// Writers on connections of their own, until they are told to finish or lose the server.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    writers: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn on(server: &Server, writers: u64, workload: Workload, dice: &mut Dice) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let writers = (0..writers)
            .map(|_| {
                let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
                let (client, dice) = (server.client(), Dice::seeded(dice.next()));
                spawn(move || work(client, dice, workload, &stop, &done))
            })
            .collect();
        Self { stop, done, writers }
    }

    /// Waits until so many more commands were answered.
    pub(crate) fn go_on_for(&self, commands: u64) {
        let target = self.done.load(Relaxed) + commands;
        wait::until("the load to go on", || (self.done.load(Relaxed) >= target).then_some(()));
    }

    /// Ends the load: every command that was sent is answered.
    pub(crate) fn finish(self) {
        self.stop.store(true, Relaxed);
        for writer in self.writers {
            writer.join().expect("a writer");
        }
    }
}

fn work(mut client: Client, mut dice: Dice, workload: Workload, stop: &AtomicBool, done: &AtomicU64) {
    while !stop.load(Relaxed) {
        let size = 1 + dice.index(8);
        let commands = workload.commands(&mut dice, size);
        if client.try_pipeline(&commands).is_err() {
            return;
        }
        done.fetch_add(u64::try_from(commands.len()).expect("a few"), Relaxed);
    }
}
