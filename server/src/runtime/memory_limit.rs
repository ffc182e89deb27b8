//! The memory that this process may use: the least limit of its cgroups (v1 and v2), or the machine's memory.

use std::fs;
use std::path::Path;

/// Where nothing tells.
const ASSUMED: u64 = 1 << 30;

/// The bytes that this process may use.
pub fn memory_limit() -> u64 {
    limit_below(Path::new("/")).unwrap_or(ASSUMED)
}

/// The same, of a system whose files are below `root`.
fn limit_below(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    groups.lines().filter_map(|group| of_group(root, group)).chain(of_machine(root)).min()
}

/// The limit of a line of `/proc/self/cgroup`: hierarchy, controllers and path, with colons between them.
fn of_group(root: &Path, group: &str) -> Option<u64> {
    let mut parts = group.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        all if all.split(',').any(|one| one == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let mount = root.join(mount);
    // The groups around this one bind it too. Within a container its own group may be what is mounted, whatever the path says.
    let around = Path::new(path.trim_start_matches('/')).ancestors();
    // The text `max` is no limit. Neither is the huge number of v1, which is more than any machine has.
    let limit =
        |group: &Path| fs::read_to_string(mount.join(group).join(file)).ok()?.trim().parse().ok();
    around.filter_map(limit).min()
}

fn of_machine(root: &Path) -> Option<u64> {
    let memory = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse().ok().map(|kib: u64| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:       8388608 kB\nMemFree: 1 kB\n");
    const GIB: u64 = 1 << 30;

    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        limit_below(root.path())
    }

    #[test]
    fn v2() {
        let own =
            |max| [MACHINE, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", max)];
        assert_eq!(limit(&own("536870912\n")), Some(GIB / 2));
        assert_eq!(limit(&own("max\n")), Some(8 * GIB));
        let nested = |outer| {
            limit(&[
                MACHINE,
                ("proc/self/cgroup", "0::/pods/one/server\n"),
                ("sys/fs/cgroup/pods/memory.max", outer),
                ("sys/fs/cgroup/pods/one/memory.max", "1073741824\n"),
                ("sys/fs/cgroup/pods/one/server/memory.max", "max\n"),
            ])
        };
        assert_eq!(nested("max\n"), Some(GIB));
        assert_eq!(nested("268435456\n"), Some(GIB / 4));
    }

    #[test]
    fn v1() {
        let groups = ("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/pod/one\n0::/\n");
        let own = "sys/fs/cgroup/memory/pod/one/memory.limit_in_bytes";
        assert_eq!(limit(&[MACHINE, groups, (own, "536870912\n")]), Some(GIB / 2));
        assert_eq!(limit(&[MACHINE, groups, (own, "9223372036854771712\n")]), Some(8 * GIB));
        let outer = ("sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "268435456\n");
        assert_eq!(limit(&[MACHINE, groups, (own, "536870912\n"), outer]), Some(GIB / 4));
        // What is mounted within a container is its own group.
        let mounted = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n");
        assert_eq!(limit(&[MACHINE, groups, mounted]), Some(GIB));
    }

    #[test]
    fn without_a_limit_it_is_the_machine() {
        assert_eq!(limit(&[MACHINE]), Some(8 * GIB));
        let others = ("proc/self/cgroup", "3:cpuset:/\n0::/\n");
        assert_eq!(limit(&[MACHINE, others]), Some(8 * GIB));
        assert_eq!(limit(&[]), None);
    }
}
