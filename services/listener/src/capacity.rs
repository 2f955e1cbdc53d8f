//! How many connections this process can afford.

/// What a connection costs at most while no handler works for it: buffers for headers of the largest size, doubled as
/// they grow, the task, and the socket.
const BYTES_PER_CONNECTION: u64 = 64 << 10;
/// Bounds, and the answer where nothing bounds the memory.
const RANGE: (u64, u64) = (64, 4096);

/// Memory limits of this process' container: cgroup v2, then v1.
const MEMORY_LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// Limits of this process (`proc_pid_limits(5)`).
const PROCESS_LIMITS: &str = "/proc/self/limits";

/// Connections that may use half of the memory and half of the file descriptors: handlers need the rest.
pub fn capacity() -> usize {
    let memory = MEMORY_LIMITS.iter().find_map(|path| std::fs::read_to_string(path).ok());
    let process = std::fs::read_to_string(PROCESS_LIMITS).unwrap_or_default();
    of(memory.as_deref(), &process)
}

fn of(memory: Option<&str>, process: &str) -> usize {
    // "max" means that there is no limit.
    let memory = memory.and_then(|text| text.trim().parse::<u64>().ok());
    let by_memory = memory.map_or(u64::MAX, |bytes| bytes / 2 / BYTES_PER_CONNECTION);
    let descriptors = process
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let by_descriptors = descriptors.map_or(u64::MAX, |count| count / 2);
    let capacity = by_memory.min(by_descriptors).clamp(RANGE.0, RANGE.1);
    usize::try_from(capacity).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_follows_the_smaller_limit() {
        let limits = |files: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units\n\
                 Max open files            {files}              524288               files\n"
            )
        };
        let (many, few) = (limits("1048576"), limits("1024"));
        assert_eq!(of(Some("134217728\n"), &many), 1024, "128 MiB");
        assert_eq!(of(Some("134217728\n"), &few), 512, "half of the descriptors");
        assert_eq!(of(Some("max\n"), &many), 4096);
        assert_eq!(of(Some("9223372036854771712\n"), &many), 4096, "cgroup v1 without a limit");
        assert_eq!(of(None, ""), 4096);
        assert_eq!(of(Some("1048576"), &limits("unlimited")), 64);
    }
}
