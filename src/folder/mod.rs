//! What is in a store's folder, by class, and the deletion of what no sweep deletes: resets, backups
//! and dead locks, and, where the store was migrated to a database, archives and temp files.
//!
//! Only the command uses this. A file is deleted only by its exact name, if it is a regular file in the
//! folder itself, and with the rights that a sweep would use.

mod class;
mod contents;
mod free;
#[cfg(test)]
#[cfg(unix)]
mod tests;

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::abort::Abort;
use crate::error::{Context, Error, Result, is_missing};
use crate::store::{self, StorePaths};
use crate::system::{Kind, Rights, Stat, System};
use crate::transcripts::links::linked_names;

pub(crate) use class::Class;
pub(crate) use contents::contents;
pub(crate) use free::{FreeRequest, free};

/// The folder of a store that need not exist, with all links resolved.
struct StoreFolder {
    path: PathBuf,
    /// The name of the store.
    store: OsString,
    /// The store's paths, if it exists.
    paths: Option<StorePaths>,
}

impl StoreFolder {
    /// Resolves the folder of the store at `store`, an absolute path without `.` and `..`. Limits the
    /// rights of this thread, until the second value is dropped, to those that a sweep of the store may
    /// use; without a store, to those of the user who controls the path to the folder.
    ///
    /// # Errors
    /// If the folder is missing or cannot be resolved, or if this user must not access it.
    fn resolve<S: System>(system: &S, store: &Path) -> Result<(Self, Rights)> {
        let (Some(folder), Some(name)) = (store.parent(), store.file_name()) else {
            return Err(Error::not_a_store(store, Kind::Folder));
        };
        let name = name.to_owned();
        let rights = store::limit_rights(system, store)?;
        let paths = StorePaths::resolve(system, store);
        if let Some(paths) = paths.map_err(|error| error.explained_by(&rights))? {
            let path = paths.folder.clone();
            let paths = Some(paths);
            return Ok((
                Self {
                    path,
                    store: name,
                    paths,
                },
                rights,
            ));
        }
        drop(rights);
        let rights = store::limit_rights(system, folder)?;
        let path = system.canonicalize(folder).context("resolve", folder);
        let path = path.map_err(|error| error.explained_by(&rights))?;
        // The folder may be a link, and its name is in the folder that contains the link.
        let parent = folder.parent().unwrap_or(folder);
        let parent = system.canonicalize(parent).context("resolve", parent)?;
        store::confirm_rights(system, folder, &path, &parent)?;
        Ok((
            Self {
                path,
                store: name,
                paths: None,
            },
            rights,
        ))
    }

    fn store_name(&self) -> Cow<'_, str> {
        self.store.to_string_lossy()
    }

    /// Returns the regular files of wanted classes in the folder, without the store and the stores `others`,
    /// by name. Only these are examined. A file that disappears is left out.
    fn files<S: System>(
        &self,
        system: &S,
        others: &[String],
        abort: &Abort,
        is_wanted: impl Fn(Class) -> bool,
    ) -> Result<Vec<FoundFile>> {
        let mut files = Vec::new();
        let mut links = Vec::new();
        for entry in fs::read_dir(&self.path).context("list", &self.path)? {
            abort.check()?;
            let entry = entry.context("list", &self.path)?;
            let name = entry.file_name();
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                links.push(name);
                continue;
            }
            let is_store = name == self.store || others.iter().any(|other| name == **other);
            let (mut class, mut stamp_ms) = class::classify(&self.store_name(), &name);
            for other in others {
                if class == Class::Others {
                    (class, stamp_ms) = class::classify(other, &name);
                }
            }
            if is_store || !is_wanted(class) {
                continue;
            }
            let path = self.path.join(&name);
            let stat = match system.stat(&path) {
                Err(error) if is_missing(&error) => continue,
                stat => stat.context("examine", &path)?,
            };
            if stat.kind == Kind::File {
                files.push(FoundFile {
                    name,
                    path,
                    class,
                    stamp_ms,
                    stat,
                    is_linked: false,
                });
            }
        }
        let linked = linked_names(system, &self.path, &links);
        for file in &mut files {
            file.is_linked = linked.contains(&file.name);
        }
        Ok(files)
    }
}

/// A regular file in the folder.
struct FoundFile {
    name: OsString,
    path: PathBuf,
    class: Class,
    /// The time in its name, in milliseconds since 1970.
    stamp_ms: Option<i64>,
    stat: Stat,
    /// Whether a link in the folder leads to it, for example the store, whose target can have any name.
    is_linked: bool,
}

impl FoundFile {
    /// Returns when the file was made: by its name or else by its last modification, in milliseconds
    /// since 1970.
    fn made_ms(&self) -> i64 {
        let modified = i64::try_from(self.stat.mtime / 1_000_000).unwrap_or(i64::MAX);
        self.stamp_ms.unwrap_or(modified)
    }
}
