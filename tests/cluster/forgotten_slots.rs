//! Slots that a server forgets, through no fault of the module.
//!
//! Redis before 7.2.4 keeps the mark that the owner of a slot no longer claims it when the slot gets another owner
//! (redis/redis#12564, and the thread of #12344). A replica that hears in the wrong order of the last slot of a reshard has
//! such a mark. When it takes over and the old master comes back and claims what it had, the replica gives it the slot and
//! deletes its keys; the old master learns that it is replaced, and then nobody has that slot. It happens without any
//! module, on a busy machine in two of 42 partitions right after a reshard. An operator gives the slot to somebody, and its
//! keys are lost.

use crate::nodes::{Cluster, SLOTS, owner_among};
use crate::support::client::{call, ok};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The slots that were forgotten, and when they were given to somebody again.
#[derive(Clone, Default)]
pub(crate) struct ForgottenSlots(Arc<Mutex<BTreeMap<usize, Instant>>>);

impl ForgottenSlots {
    /// Whether the slot was ever forgotten.
    pub(crate) fn is_one(&self, slot: usize) -> bool {
        self.0.lock().expect("nobody panics").contains_key(&slot)
    }

    /// Whether what was in the slot at that time may be lost.
    pub(crate) fn since(&self, slot: usize, time: Instant) -> bool {
        self.0.lock().expect("nobody panics").get(&slot).is_some_and(|mended| *mended > time)
    }
}

impl Cluster {
    /// Gives forgotten slots to a master that knows of no owner, on a server that may forget them; fails on others.
    pub(crate) fn mend_forgotten_slots(&self) {
        let slots = self.forgotten_slots();
        if slots.is_empty() {
            return;
        }
        assert!(!self.keeps_its_slots(), "nobody has these slots: {slots:?}");
        for (slot, master) in slots {
            eprintln!("THE SERVER HAS FORGOTTEN slot {slot} with its keys (redis/redis#12564)");
            self.forgotten.0.lock().expect("nobody panics").insert(slot, Instant::now());
            assert_eq!(call!(self.client(master), "CLUSTER", "ADDSLOTS", slot), ok());
        }
    }

    /// Whether the servers are free of the fault; says loudly if not.
    pub(crate) fn keeps_its_slots(&self) -> bool {
        self.nodes[0].has("slots that are not forgotten in a failover", (7, 4), (7, 2))
    }

    /// The slots that no master has, as it sees itself, each with a master that knows of no owner.
    fn forgotten_slots(&self) -> Vec<(usize, usize)> {
        let maps: Vec<_> = self.masters().into_iter().map(|master| (master, self.owners(master))).collect();
        let mut forgotten = Vec::new();
        for slot in 0..SLOTS {
            let said = || maps.iter().map(|(master, owners)| (*master, owner_among(owners, slot)));
            let is_owned = said().any(|(master, owner)| owner == Some(self.nodes[master].port()));
            let ignorant = said().find(|(_, owner)| owner.is_none());
            if let (false, Some((master, _))) = (is_owned, ignorant) {
                forgotten.push((slot, master));
            }
        }
        forgotten
    }
}
