//! One look at the folder and what follows from it.

use crate::model::{Change, ObjectName, Problem, Snapshot};
use crate::source::controllers::{self, Memory};
use crate::source::kubelet::{Kubelet, News};
use crate::source::manifests::difference;
use crate::source::manifests::folder::{self, Listing};
use crate::source::manifests::library::Library;
use crate::source::settings::Settings;
use std::collections::BTreeSet;

/// Why it is time to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Something has happened in the folder.
    Hint,
    /// It was not looked at for a while.
    Time,
    /// A probe found something.
    News,
}

/// Everything that lasts from one round to the next.
#[derive(Debug)]
pub(super) struct Follower {
    settings: Settings,
    library: Library,
    memory: Memory,
    kubelet: Kubelet,
    /// Why the memory began empty, if that is worth a sentence.
    forgot: Option<Problem>,
    /// The memory as it is on the disk.
    saved: Option<Memory>,
    /// The folder as it was read last.
    listing: Option<Listing>,
    /// What has been reported.
    told: Option<(Snapshot, Vec<Problem>)>,
    synced: bool,
}

impl Follower {
    pub(super) fn new(settings: Settings) -> Self {
        let (memory, trouble) = Memory::load(&settings.state_dir);
        let forgot =
            trouble.map(|message| about(&Memory::path(&settings.state_dir).display(), message));
        let saved = forgot.is_none().then(|| memory.clone());
        let kubelet = Kubelet::new(&settings);
        Self {
            settings,
            kubelet,
            library: Library::default(),
            memory,
            forgot,
            saved,
            listing: None,
            told: None,
            synced: false,
        }
    }

    /// What probes find.
    pub(super) fn news(&self) -> News {
        self.kubelet.news()
    }

    /// Reads the folder again if something hints at it or if it looks different; what has changed
    /// since the last time.
    pub(super) fn look(&mut self, cause: Cause, watch_trouble: Option<&str>) -> Vec<Change> {
        let mut problems: Vec<Problem> = self.forgot.iter().cloned().collect();
        let dir = self.settings.dir.display().to_string();
        problems.extend(watch_trouble.map(|message| about(&dir, message)));
        match folder::list(&self.settings.dir) {
            Ok(listing) if cause == Cause::Hint || self.listing.as_ref() != Some(&listing) => {
                self.read(listing);
            }
            Ok(_) if cause == Cause::News => {}
            Ok(_) => return Vec::new(),
            Err(error) => {
                self.listing = None;
                problems.push(about(
                    &dir,
                    format!("cannot be listed ({error}); what was known of it stays"),
                ));
            }
        }
        let listing = self.listing.iter().flat_map(|listing| &listing.troubles);
        problems.extend(listing.map(|(path, message)| about(&path.display(), message)));
        let snapshot = self.derive(&mut problems);
        self.report(snapshot, problems)
    }

    fn read(&mut self, listing: Listing) {
        for path in listing.files.keys() {
            match folder::read(&self.settings.dir.join(path)) {
                Some(text) => self.library.update(path, text),
                None => self.library.retain(|known| known != path),
            }
        }
        self.library.retain(|path| listing.files.contains_key(path) || listing.is_uncertain(path));
        self.listing = Some(listing);
    }

    fn derive(&mut self, problems: &mut Vec<Problem>) -> Snapshot {
        let (objects, found) = self.library.objects();
        problems.extend(found);
        let whole = self.listing.as_ref().is_some_and(|listing| listing.troubles.is_empty())
            && self.library.is_whole();
        if whole {
            let names: BTreeSet<String> =
                objects.services.keys().map(ObjectName::to_string).collect();
            self.memory.retain(|name| names.contains(name));
        }
        let (readiness, found) = self.kubelet.look(&objects, whole);
        problems.extend(found);
        let (snapshot, found) =
            controllers::derive(&objects, &self.settings, &mut self.memory, &readiness);
        problems.extend(found);
        problems.extend(self.save());
        snapshot
    }

    /// Addresses reach the disk before anybody hears of them.
    fn save(&mut self) -> Option<Problem> {
        if self.saved.as_ref() == Some(&self.memory) {
            return None;
        }
        match self.memory.save(&self.settings.state_dir) {
            Ok(()) => {
                self.saved = Some(self.memory.clone());
                None
            }
            Err(error) => {
                let path = Memory::path(&self.settings.state_dir);
                Some(about(
                    &path.display(),
                    format!("cannot be written ({error:#}); a restart may give other addresses"),
                ))
            }
        }
    }

    fn report(&mut self, snapshot: Snapshot, mut problems: Vec<Problem>) -> Vec<Change> {
        problems.sort();
        problems.dedup();
        let told = self.told.get_or_insert_default();
        let mut changes = difference::between(&told.0, &snapshot);
        if told.1 != problems {
            for problem in &problems {
                tracing::warn!(%problem, "manifests");
            }
            changes.push(Change::Problems(problems.clone()));
        }
        if !self.synced && self.listing.is_some() {
            self.synced = true;
            changes.push(Change::Synced);
        }
        self.told = Some((snapshot, problems));
        changes
    }
}

fn about(subject: &impl ToString, message: impl Into<String>) -> Problem {
    Problem { subject: subject.to_string(), field: String::new(), message: message.into() }
}
