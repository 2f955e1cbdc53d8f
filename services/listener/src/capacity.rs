//! How many connections this process can afford, and what each of them costs.

/// What a connection costs at most with one request whose answer its peer does not read: 8 KiB to read into, 32 KiB of
/// the answer and the chunk that goes beyond, 16 KiB at the gateway, two more chunks that wait behind them in its
/// connection to a service, and the tasks of both. Large headers cost 32 KiB instead, before there is an answer.
const BYTES_PER_CONNECTION: u64 = 96 << 10;
/// Bounds, and the answer where nothing bounds the memory.
const RANGE: (u64, u64) = (64, 4096);

/// Requests of one HTTP/2 connection at a time, from a peer that is one of the shop's own.
pub(crate) const STREAMS: u32 = 128;
/// The same from anyone. Each request costs what a connection of HTTP/1.1 does, so that the connection takes a place for
/// each of them: 16 KiB of its answer and a chunk in HTTP/2's buffer, three more chunks, its task, and its part of
/// what is buffered of requests.
pub(crate) const PUBLIC_STREAMS: u32 = 16;

/// Memory limits of this process' container: cgroup v2, then v1.
const MEMORY_LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// Limits of this process (`proc_pid_limits(5)`).
const PROCESS_LIMITS: &str = "/proc/self/limits";

/// Connections that may use three quarters of the memory and half of the file descriptors: the rest is for what they
/// share, and for connections of our own.
pub fn capacity() -> usize {
    let memory = MEMORY_LIMITS.iter().find_map(|path| std::fs::read_to_string(path).ok());
    let process = std::fs::read_to_string(PROCESS_LIMITS).unwrap_or_default();
    of(memory.as_deref(), &process)
}

fn of(memory: Option<&str>, process: &str) -> usize {
    // "max" means that there is no limit.
    let memory = memory.and_then(|text| text.trim().parse::<u64>().ok());
    let by_memory = memory.map_or(u64::MAX, |bytes| bytes / 4 * 3 / BYTES_PER_CONNECTION);
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
