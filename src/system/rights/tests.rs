#![cfg(unix)]

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use super::walk::walk;
use super::*;
use crate::abort::Abort;
use crate::inspect::{InspectOptions, inspect};
use crate::store::survey_cache::SurveyCache;
use crate::sweep::{self, Options, Request};
use crate::system::{Os, System};
use crate::testing::Tree as Folders;

/// Two users who exist only as numbers, and a group.
const A: u32 = 12_001;
const B: u32 = 12_002;
const GROUP: u32 = 12_003;

/// The id of users that the user namespace of [`Memory`] does not map.
const UNMAPPED: u32 = 65_534;

/// A file tree in memory.
#[derive(Default)]
struct Memory {
    files: HashMap<PathBuf, (Attributes, PathBuf)>,
    has_unmapped: bool,
}

impl Memory {
    fn new() -> Self {
        Self::default().folder("/", 0, 0o755)
    }

    fn add(mut self, path: &str, attributes: Attributes, target: &str) -> Self {
        self.files.insert(path.into(), (attributes, target.into()));
        self
    }

    fn folder(self, path: &str, uid: u32, mode: u32) -> Self {
        let kind = Kind::Other;
        self.add(path, attributes(kind, uid, mode), "")
    }

    fn file(self, path: &str, uid: u32) -> Self {
        self.add(path, attributes(Kind::File, uid, 0o600), "")
    }

    fn link(self, path: &str, uid: u32, target: &str) -> Self {
        self.add(path, attributes(Kind::Link, uid, 0o777), target)
    }
}

fn attributes(kind: Kind, uid: u32, mode: u32) -> Attributes {
    Attributes {
        kind,
        uid,
        mode,
        hard_links: 1,
    }
}

impl Tree for Memory {
    fn attributes(&self, path: &Path) -> io::Result<Attributes> {
        let found = self.files.get(path);
        Ok(found.ok_or(io::ErrorKind::NotFound)?.0)
    }

    fn target(&self, link: &Path) -> io::Result<PathBuf> {
        Ok(self.files[link].1.clone())
    }

    fn is_unmapped(&self, uid: u32) -> bool {
        self.has_unmapped && uid == UNMAPPED
    }
}

/// Root's folders and those of user A, without a store.
fn homes() -> Memory {
    Memory::new()
        .folder("/srv", 0, 0o755)
        .folder("/tmp", 0, 0o1777)
        .folder("/home", 0, 0o755)
        .folder("/home/a", A, 0o700)
        .folder("/home/a/s", A, 0o700)
}

fn decision(tree: &Memory, store: &str) -> Result<Decision, Refusal> {
    decide(walk(tree, Path::new(store)))
}

fn adopts(uid: u32, path: &str) -> Decision {
    Decision::Adopt(Ruler {
        uid,
        path: path.into(),
    })
}

#[test]
fn a_path_of_root_needs_no_limits() {
    let tree = homes().file("/srv/s.json", 0);
    assert_eq!(decision(&tree, "/srv/s.json").unwrap(), Decision::Unlimited);
    for missing in ["/srv/none.json", "/none/s.json"] {
        assert_eq!(decision(&tree, missing).unwrap(), Decision::Unlimited);
    }
}

#[test]
fn the_first_owner_other_than_root_rules_the_path() {
    let tree = homes()
        .file("/home/a/s/s.json", A)
        .folder("/home/a/s/b", B, 0o700)
        .file("/home/a/s/b/s.json", B);
    for store in ["/home/a/s/s.json", "/home/a/s/b/s.json", "/home/a/s/none"] {
        assert_eq!(decision(&tree, store).unwrap(), adopts(A, "/home/a"));
    }
}

#[test]
fn the_owner_of_a_link_rules_and_the_link_is_not_followed() {
    let tree = homes()
        .folder("/home/b", B, 0o700)
        .file("/home/b/s.json", B)
        .link("/home/a/s.json", A, "/home/b/s.json")
        .link("/tmp/link.json", A, "/home/b/s.json")
        .link("/tmp/folder", A, "/home/b");
    assert_eq!(
        decision(&tree, "/home/a/s.json").unwrap(),
        adopts(A, "/home/a")
    );
    for (store, ruled) in [
        ("/tmp/link.json", "/tmp/link.json"),
        ("/tmp/folder/s.json", "/tmp/folder"),
    ] {
        assert_eq!(decision(&tree, store).unwrap(), adopts(A, ruled));
        assert_eq!(walk(&tree, Path::new(store)).store, None);
    }
}

#[test]
fn a_link_of_root_is_followed() {
    let tree = homes()
        .file("/srv/s.json", 0)
        .file("/home/a/s/s.json", A)
        .link("/srv/absolute", 0, "/home/a/s")
        .link("/srv/relative", 0, "../home/./a/s/")
        .link("/srv/twice", 0, "absolute/../s")
        .link("/srv/s2.json", 0, "s.json");
    for link in ["absolute", "relative", "twice"] {
        let store = format!("/srv/{link}/s.json");
        assert_eq!(decision(&tree, &store).unwrap(), adopts(A, "/home/a"));
        let walk = walk(&tree, Path::new(&store));
        assert_eq!(walk.store.unwrap().0, Path::new("/home/a/s/s.json"));
        assert_eq!(walk.folder.as_deref(), Some(Path::new("/home/a/s")));
    }
    let walk = walk(&tree, Path::new("/srv/s2.json"));
    assert_eq!(walk.store.as_ref().unwrap().0, Path::new("/srv/s.json"));
    assert_eq!(walk.folder.as_deref(), Some(Path::new("/srv")));
    assert_eq!(decide(walk).unwrap(), Decision::Unlimited);
}

#[test]
fn a_file_of_another_user_rules_unless_only_root_can_have_put_it_there() {
    let tree = homes()
        .folder("/srv/team", 0, 0o775)
        .file("/srv/s.json", A)
        .file("/srv/team/s.json", A)
        .file("/tmp/s.json", A);
    assert_eq!(decision(&tree, "/srv/s.json").unwrap(), Decision::Unlimited);
    for store in ["/srv/team/s.json", "/tmp/s.json"] {
        assert_eq!(decision(&tree, store).unwrap(), adopts(A, store));
    }
}

#[test]
fn roots_own_store_in_the_folder_of_another_user_needs_no_limits() {
    let tree = homes()
        .file("/home/a/s/s.json", 0)
        .link("/home/a/link", 0, "s");
    for store in ["/home/a/s/s.json", "/home/a/link/s.json"] {
        assert_eq!(decision(&tree, store).unwrap(), Decision::Unlimited);
    }
}

#[test]
fn roots_own_store_behind_a_link_of_another_user_is_left_to_that_user() {
    let tree = homes()
        .file("/home/a/s/s.json", 0)
        .link("/home/a/link", A, "s")
        .link("/home/a/s.json", B, "s/s.json");
    for store in ["/home/a/link/s.json", "/home/a/s.json"] {
        assert_eq!(decision(&tree, store).unwrap(), adopts(A, "/home/a"));
    }
}

#[test]
fn roots_own_store_with_two_hard_links_is_refused() {
    let store = Attributes {
        hard_links: 2,
        ..attributes(Kind::File, 0, 0o600)
    };
    let tree = homes().add("/home/a/s/s.json", store, "");
    let refusal = decision(&tree, "/home/a/s/s.json").unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "it belongs to root and has 2 hard links, but uid 12001 controls /home/a; remove the other \
         links, or give the store to uid 12001 and run it as uid 12001"
    );
}

#[test]
fn links_in_circles_end_the_walk() {
    let tree = homes()
        .link("/srv/a", 0, "b")
        .link("/srv/b", 0, "a")
        .link("/home/a/s/c", 0, "c");
    assert_eq!(walk(&tree, Path::new("/srv/a/s.json")).store, None);
    assert_eq!(
        decision(&tree, "/home/a/s/c").unwrap(),
        adopts(A, "/home/a")
    );
}

#[test]
fn unmapped_folders_are_passed_over_and_unmapped_links_are_refused() {
    let mut tree = Memory::new()
        .folder("/", UNMAPPED, 0o755)
        .folder("/home", UNMAPPED, 0o755)
        .folder("/home/a", A, 0o700)
        .file("/home/a/s.json", A)
        .file("/home/s.json", 0)
        .link("/home/link", UNMAPPED, "a");
    tree.has_unmapped = true;
    assert_eq!(
        decision(&tree, "/home/a/s.json").unwrap(),
        adopts(A, "/home/a")
    );
    assert_eq!(
        decision(&tree, "/home/s.json").unwrap(),
        Decision::Unlimited
    );
    let refusal = decision(&tree, "/home/link/s.json").unwrap_err();
    assert!(refusal.to_string().contains("the link /home/link is not"));

    // In the initial user namespace the same number is a user like any other.
    tree.has_unmapped = false;
    assert_eq!(
        decision(&tree, "/home/a/s.json").unwrap(),
        adopts(UNMAPPED, "/")
    );
}

#[test]
fn the_real_tree_shows_links_owners_and_hard_links() {
    let tree = Folders::new();
    let file = tree.file("file");
    fs::hard_link(&file, tree.at("other")).unwrap();
    let link = tree.link("link", "file");
    let found = Real.attributes(&file).unwrap();
    let owner = fs::metadata(&file).unwrap().uid();
    assert_eq!((found.kind, found.hard_links), (Kind::File, 2));
    assert_eq!(found.uid, owner);
    assert_eq!(Real.attributes(&link).unwrap().kind, Kind::Link);
    assert_eq!(Real.target(&link).unwrap(), Path::new("file"));
    assert_eq!(Real.attributes(tree.root()).unwrap().kind, Kind::Other);
}

/// What follows needs root in the initial user namespace, and a folder for tests that root controls.
#[cfg(target_os = "linux")]
mod as_root {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    use rustix::process::{DumpableBehavior, dumpable_behavior, getgroups};
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    use super::*;
    use crate::system::rights::identity::{Guard, file_system_uid};

    /// Folders of two users who may not look into each other's, with a store each.
    struct Homes(Folders);

    impl Homes {
        fn new() -> Option<Self> {
            let tree = Folders::new();
            let controlled = walk(&Real, &tree.at("x")).ruler.is_none();
            if !uses_rights_of_root() || !controlled || !identity::maps_all_users() {
                println!("skipped: needs root, and a temp folder that root controls");
                return None;
            }
            fs::set_permissions(tree.root(), fs::Permissions::from_mode(0o755)).unwrap();
            for (name, uid) in [("a", A), ("b", B)] {
                let folder = tree.folder(name);
                fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
                let store = tree.file_of(&format!("{name}/sessions.json"), STORE);
                fs::set_permissions(&store, fs::Permissions::from_mode(0o600)).unwrap();
                chown(&store, Some(uid), Some(GROUP)).unwrap();
                chown(&folder, Some(uid), Some(uid)).unwrap();
            }
            Some(Self(tree))
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.at(path)
        }
    }

    const STORE: &[u8] =
        br#"{"agent:main:cron:j:run:1":{"sessionId":"r","updatedAt":1},"agent:main:main":{}}"#;

    fn request(store: &Path) -> Request<'_> {
        Request {
            store,
            now_ms: 2e9,
            retention_ms: 1e9,
        }
    }

    fn owner(path: &Path) -> (u32, u32) {
        let metadata = fs::symlink_metadata(path).unwrap();
        (metadata.uid(), metadata.gid())
    }

    #[test]
    fn a_thread_with_adopted_rights_can_do_what_that_user_can_and_no_more() {
        let Some(homes) = Homes::new() else { return };
        let guard = Guard::enter(A).unwrap();
        assert_eq!(
            fs::read(homes.at("b/sessions.json")).unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
        assert_eq!(fs::read(homes.at("a/sessions.json")).unwrap(), STORE);
        fs::write(homes.at("a/new"), "").unwrap();
        assert!(fs::write(homes.at("new"), "").is_err());
        assert_eq!(getgroups().unwrap(), []);
        drop(guard);
        assert_eq!(owner(&homes.at("a/new")), (A, identity::overflow_id("gid")));
        assert_eq!(fs::read(homes.at("b/sessions.json")).unwrap(), STORE);
    }

    #[test]
    fn everything_is_restored_after_a_guard_also_after_a_panic() {
        let Some(homes) = Homes::new() else { return };
        let state = || {
            let sets = capabilities(None).unwrap();
            (file_system_uid(), getgroups().unwrap(), sets.effective)
        };
        let before = state();
        drop(Guard::enter(A).unwrap());
        assert_eq!(state(), before);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = Guard::enter(A).unwrap();
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert_eq!(state(), before);
        fs::write(homes.at("new"), "").unwrap();
    }

    #[test]
    fn the_process_can_be_dumped_again_after_the_last_guard() {
        let Some(_) = Homes::new() else { return };
        // Other tests of this process use guards, too: a child has only these.
        if std::env::var_os("ALONE").is_none() {
            let name = "system::rights::tests::as_root::the_process_can_be_dumped";
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--test-threads=1", name])
                .env("ALONE", "1")
                .output()
                .unwrap();
            assert!(child.status.success(), "{child:?}");
            return;
        }
        let dumpable = || dumpable_behavior().unwrap();
        let before = dumpable();
        let first = Guard::enter(A).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| drop(Guard::enter(B).unwrap()));
        });
        assert_eq!(dumpable(), DumpableBehavior::NotDumpable);
        drop(first);
        assert_eq!(dumpable(), before);
        assert_eq!(before, DumpableBehavior::Dumpable);
    }

    #[test]
    fn a_second_identity_on_the_same_thread_is_an_error_and_changes_nothing() {
        let Some(_) = Homes::new() else { return };
        let guard = Guard::enter(A).unwrap();
        let error = Guard::enter(B).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(file_system_uid(), A);
        drop(guard);
        assert_eq!(file_system_uid(), 0);
        drop(Guard::enter(B).unwrap());
    }

    #[test]
    fn other_threads_keep_their_rights() {
        let Some(homes) = Homes::new() else { return };
        // It runs before the rights are adopted: a new thread would inherit them.
        let (ask, asked) = std::sync::mpsc::channel::<()>();
        let store = homes.at("b/sessions.json");
        let other = thread::spawn(move || {
            asked.recv().unwrap();
            fs::read(store).is_ok()
        });
        let guard = Guard::enter(A).unwrap();
        ask.send(()).unwrap();
        assert!(other.join().unwrap());
        drop(guard);
    }

    #[test]
    fn capabilities_over_files_are_dropped_and_the_group_can_still_be_preserved() {
        let Some(homes) = Homes::new() else { return };
        let from = Os.stat(&homes.at("a/sessions.json")).unwrap();
        let guard = Guard::enter(A).unwrap();
        let effective = || capabilities(None).unwrap().effective;
        assert!(!effective().contains(CapabilitySet::DAC_OVERRIDE));
        let file = Os.create_new(&homes.at("a/new")).unwrap();
        Os.copy_owner(&from, &file).unwrap();
        assert!(!effective().contains(CapabilitySet::CHOWN));
        drop(guard);
        assert_eq!(owner(&homes.at("a/new")), (A, GROUP));
    }

    #[test]
    fn a_store_of_a_group_that_its_owner_is_not_in_is_swept_and_loses_the_group() {
        let Some(homes) = Homes::new() else { return };
        let store = homes.at("a/sessions.json");
        fs::set_permissions(&store, fs::Permissions::from_mode(0o660)).unwrap();
        let outcome = thread::scope(|scope| {
            let without_chown = || {
                let mut sets = capabilities(None).unwrap();
                sets.effective -= CapabilitySet::CHOWN;
                sets.permitted -= CapabilitySet::CHOWN;
                set_capabilities(None, sets).unwrap();
                sweep::sweep(&Os, request(&store), &SurveyCache::new())
            };
            scope.spawn(without_chown).join().unwrap()
        });
        assert_eq!(outcome.result.unwrap().pruned, 1);
        assert_eq!(owner(&store), (A, identity::overflow_id("gid")));
        assert_eq!(fs::metadata(&store).unwrap().mode() & 0o777, 0o600);
    }

    /// Only where ids are not mapped does a sweep need the rights of the owner.
    #[test]
    fn a_user_who_may_give_files_away_sweeps_the_store_of_another() {
        let Some(homes) = Homes::new() else { return };
        homes.0.folder("private");
        let store = homes.0.file_of("private/sessions.json", STORE);
        chown(&store, Some(A), Some(GROUP)).unwrap();
        let outcome = thread::scope(|scope| {
            let without_fowner = || {
                let mut sets = capabilities(None).unwrap();
                sets.effective -= CapabilitySet::FOWNER;
                sets.permitted -= CapabilitySet::FOWNER;
                set_capabilities(None, sets).unwrap();
                sweep::sweep(&Os, request(&store), &SurveyCache::new())
            };
            scope.spawn(without_fowner).join().unwrap()
        });
        assert_eq!(outcome.result.unwrap().pruned, 1);
        assert_eq!(owner(&store), (A, GROUP));
    }

    #[test]
    fn the_owner_is_not_given_to_another_user_with_adopted_rights() {
        let Some(homes) = Homes::new() else { return };
        let from = Os.stat(&homes.at("b/sessions.json")).unwrap();
        let guard = Guard::enter(A).unwrap();
        let file = Os.create_new(&homes.at("a/new")).unwrap();
        let error = Os.copy_owner(&from, &file).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        drop(guard);
        assert_eq!(owner(&homes.at("a/new")).0, A);
    }

    #[test]
    fn a_file_is_recognised_as_own_without_its_id() {
        let Some(homes) = Homes::new() else { return };
        let open = |home: &str| {
            Os.open(&homes.at(&format!("{home}/sessions.json")))
                .unwrap()
        };
        let (a, b) = (open("a"), open("b"));
        let guard = Guard::enter(A).unwrap();
        assert_eq!((Os.is_own(&a), Os.is_own(&b)), (true, false));
        drop(guard);
    }

    #[test]
    fn a_sweep_in_a_users_folder_leaves_no_file_of_root() {
        let Some(homes) = Homes::new() else { return };
        let store = homes.at("a/sessions.json");
        homes.0.file("a/r.jsonl");
        let outcome = sweep::sweep(&Os, request(&store), &SurveyCache::new());
        assert_eq!(outcome.result.unwrap().pruned, 1);
        assert_eq!(owner(&store), (A, GROUP));
        assert_eq!(fs::metadata(&store).unwrap().mode() & 0o777, 0o600);
        // The transcript was root's before.
        assert_eq!(fs::read_dir(homes.at("a")).unwrap().count(), 2);
    }

    #[test]
    fn neither_a_sweep_nor_a_preview_nor_an_inspection_follows_a_users_link_with_roots_rights() {
        let Some(homes) = Homes::new() else { return };
        fs::remove_file(homes.at("a/sessions.json")).unwrap();
        symlink(homes.at("b/sessions.json"), homes.at("a/sessions.json")).unwrap();
        symlink(homes.at("b"), homes.at("a/folder")).unwrap();
        let before = homes.0.all();
        for path in ["a/sessions.json", "a/folder/sessions.json"] {
            let store = homes.at(path);
            let swept = sweep::sweep(&Os, request(&store), &SurveyCache::new());
            let previewed = sweep::preview(
                &Os,
                request(&store),
                &Options::default(),
                &SurveyCache::new(),
            );
            let options = InspectOptions {
                store: &store,
                now_ms: 2e9,
                retention_ms: None,
                top: 1,
            };
            let inspected = inspect(&Os, options, &Abort::default(), |_, _| {});
            for failure in [
                swept.result.unwrap_err().failure,
                previewed.result.unwrap_err().failure,
                (&inspected.unwrap_err()).into(),
            ] {
                assert_eq!(failure.code, "EPERM");
                let expected = "with the rights of uid 12001, who controls ";
                assert!(failure.message.contains(expected), "{}", failure.message);
                assert!(failure.message.ends_with("; run it as uid 12001"));
            }
        }
        assert_eq!(homes.0.changes(&before), Vec::<String>::new());
    }

    /// The owner of the store cannot read it either.
    #[test]
    fn another_store_that_only_root_can_read_is_not_explained_by_the_rights() {
        let Some(homes) = Homes::new() else { return };
        let other = homes.0.file_of("a/sessions.json.bak", b"{}");
        fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&other, Some(0), Some(0)).unwrap();
        homes.0.file("a/r.jsonl");
        let store = homes.at("a/sessions.json");
        let swept = sweep::sweep(&Os, request(&store), &SurveyCache::new());
        let message = swept.result.unwrap_err().failure.message;
        let expected = format!("cannot read the other store {}: EACCES", other.display());
        assert!(message.starts_with(&expected), "{message}");
        assert!(!message.contains("run it as"), "{message}");
    }

    #[test]
    fn a_path_that_is_redirected_while_it_is_resolved_is_refused() {
        let Some(homes) = Homes::new() else { return };
        // The folder of a team: any member can replace what is in it.
        homes.0.folder("team/sub");
        homes.0.file("team/sub/sessions.json");
        let store = homes.at("team/sub/sessions.json");
        let _rights = limit(&store).unwrap();
        let folder = homes.at("team/sub");
        confirm(&store, &store, &folder).unwrap();

        for (real, folder) in [
            (homes.at("b/sessions.json"), folder.clone()),
            (store.clone(), homes.at("b")),
        ] {
            let refusal = confirm(&store, &real, &folder).unwrap_err();
            assert!(matches!(refusal, Refusal::Redirected));
        }
        fs::rename(&folder, homes.at("team/away")).unwrap();
        symlink(homes.at("b"), &folder).unwrap();
        std::os::unix::fs::lchown(&folder, Some(A), None).unwrap();
        let real = homes.at("b/sessions.json");
        let refusal = confirm(&store, &real, &homes.at("b")).unwrap_err();
        assert!(matches!(refusal, Refusal::Redirected));
    }

    #[test]
    fn a_store_with_one_more_spelling_of_its_path_is_confirmed() {
        let Some(homes) = Homes::new() else { return };
        homes.0.file("root/sessions.json");
        homes.0.link("link", "root");
        let real = homes.at("root/sessions.json");
        confirm(&homes.at("link/sessions.json"), &real, &homes.at("root")).unwrap();
    }
}
