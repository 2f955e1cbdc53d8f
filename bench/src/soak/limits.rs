//! What has grown, and by how much it may.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::{Phase, Sample, Usage};

/// `bench/soak/tables.txt`.
const TABLES: &str = include_str!("../../soak/tables.txt");
/// Rows by which any table may be off: what is written now and then, and orders that overlap the edges.
const ROWS: f64 = 40.0;
const MIB: f64 = 1_048_576.0;

/// A measure of containers: how it is called, read, and shown, and how much of it may be added.
struct Measure {
    name: &'static str,
    of: fn(&Usage) -> u64,
    unit: f64,
    limit: fn(&Growth<'_>) -> f64,
}

/// What the growth of a container is measured over.
struct Growth<'a> {
    /// Pod and container.
    name: &'a str,
    /// What the measure was at first.
    was: f64,
    orders: f64,
    hours: f64,
}

const MEASURES: [Measure; 7] = [
    Measure {
        name: "processes",
        of: |u| u.processes,
        unit: 1.0,
        limit: |growth| (growth.was * 0.1).max(3.0),
    },
    // One may be seen between its end and its parent's look.
    Measure { name: "zombies", of: |u| u.zombies, unit: 1.0, limit: |_| 1.0 },
    Measure {
        name: "descriptors",
        of: |u| u.descriptors,
        unit: 1.0,
        limit: |growth| (growth.was * 0.2).max(10.0),
    },
    Measure {
        name: "threads",
        of: |u| u.threads,
        unit: 1.0,
        limit: |growth| (growth.was * 0.2).max(5.0),
    },
    Measure { name: "memory MiB", of: |u| u.memory, unit: MIB, limit: memory },
    Measure { name: "disk MiB", of: |u| u.disk, unit: MIB, limit: disk },
    // `max_wal_size` of Postgres, by default.
    Measure { name: "WAL MiB", of: |u| u.wal, unit: MIB, limit: |_| 1024.0 * MIB },
];

/// Bytes of memory that a container may add: what fills up to a size that it was given, and then no more than a service
/// may that is to run for a month within its limit.
fn memory(growth: &Growth<'_>) -> f64 {
    let filled = match growth.name {
        // `shared_buffers`, by default.
        name if name.contains("postgres") => 128.0 * MIB,
        // The heap, until it is collected for the first time.
        name if name.contains("kafka") => 96.0 * MIB,
        // It keeps the e-mails.
        name if name.contains("mail") => 16.0 * MIB + 16.0 * 1024.0 * growth.orders,
        _ => 3.0 * MIB,
    };
    filled + 3.0 * MIB * growth.hours
}

/// Bytes that a container may add to its disk for so many orders.
fn disk(growth: &Growth<'_>) -> f64 {
    let (base, per_order) = match growth.name {
        name if name.contains("postgres") => (32.0 * MIB, 96.0 * 1024.0),
        name if name.contains("kafka") => (8.0 * MIB, 48.0 * 1024.0),
        name if name.contains("redis") => (8.0 * MIB, 16.0 * 1024.0),
        name if name.contains("mail") => (MIB, 64.0 * 1024.0),
        _ => (MIB, 0.0),
    };
    base + per_order * growth.orders
}

/// Containers whose disk is measured as nothing are not measured: their volumes are of a kind that is not known.
fn unmeasured(name: &str, usage: &Usage) -> Option<String> {
    let missing = match name {
        name if name.contains("postgres") => usage.disk == 0 || usage.wal == 0,
        name if name.contains("kafka") => usage.disk == 0,
        _ => false,
    };
    missing.then(|| format!("{name}: its volume is not measured"))
}

/// How much a table may grow.
#[derive(Debug)]
struct Bound {
    per_order: f64,
    per_hour: f64,
    hours: Option<f64>,
}

fn bound(service: &str, table: &str) -> Result<Option<Bound>> {
    for line in TABLES.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [owner, name, per_order, per_hour, hours] = columns[..] else {
            anyhow::bail!("tables.txt: {line}")
        };
        let named = name.strip_suffix('*').map_or(name == table, |start| table.starts_with(start));
        if (owner == "*" || owner == service) && named {
            let (per_order, per_hour) = (per_order.parse()?, per_hour.parse()?);
            return Ok(Some(Bound { per_order, per_hour, hours: hours.parse().ok() }));
        }
    }
    Ok(None)
}

/// Median of a quarter of the samples, the first or the last.
fn median(samples: &[Sample], last: bool, of: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    let quarter = samples.len() / 4;
    let part = if last { &samples[samples.len() - quarter..] } else { &samples[..quarter] };
    let mut values: Vec<f64> = part.iter().filter_map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Prints what grows in an hour; returns what has grown beyond its limit.
#[expect(clippy::print_stdout, reason = "growth is what this program is for")]
pub(super) fn report(phase: &Phase) -> Result<Vec<String>> {
    let mut exceeded = Vec::new();
    let last = phase.samples.last().context("no samples")?;
    // Between the middles of the first and the last quarter.
    let hours = last.at.as_secs_f64() * 0.75 / 3600.0;
    let orders = f64::from(phase.orders);
    println!(
        "\n{}, {} s, {} orders: growth in an hour\n",
        phase.name,
        phase.time.as_secs(),
        phase.orders
    );
    let names: BTreeSet<&String> = phase.samples.iter().flat_map(|s| s.containers.keys()).collect();
    let heads: Vec<&str> = MEASURES.iter().map(|measure| measure.name).collect();
    println!("| container | {} |\n|---|{}", heads.join(" | "), "---|".repeat(MEASURES.len()));
    for name in names {
        let mut row = Vec::new();
        for measure in &MEASURES {
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
            let value = |sample: &Sample| Some((measure.of)(sample.containers.get(name)?) as f64);
            let was = median(&phase.samples, false, value);
            let is = median(&phase.samples, true, value);
            let Some((was, is)) = was.zip(is) else {
                exceeded.push(format!("{}: {name} did not run all the time", phase.name));
                break;
            };
            row.push(format!("{:.1}", (is - was) / measure.unit / hours));
            let limit = (measure.limit)(&Growth { name, was, orders, hours });
            if is - was > limit {
                let [was, is, limit] = [was, is, limit].map(|value| value / measure.unit);
                let what = format!("{}: {name}: {}", phase.name, measure.name);
                exceeded.push(format!("{what}: {was:.1} → {is:.1}, allowed is {limit:.1} more"));
            }
        }
        println!("| {name} | {} |", row.join(" | "));
    }
    exceeded.extend(last.containers.iter().filter_map(|(name, usage)| unmeasured(name, usage)));
    exceeded.extend(tables(phase)?);
    Ok(exceeded)
}

#[expect(clippy::print_stdout, reason = "growth is what this program is for")]
fn tables(phase: &Phase) -> Result<Vec<String>> {
    let mut exceeded = Vec::new();
    let (first, last) = (&phase.samples[0], phase.samples.last().context("no samples")?);
    let run = phase.time.as_secs_f64() / 3600.0;
    println!("\n| table | rows | growth in an hour |\n|---|---|---|");
    for ((service, table), is) in &last.tables {
        let was = first.tables.get(&(service.clone(), table.clone())).copied().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
        let grown = (is - was) as f64;
        if grown != 0.0 {
            println!("| {service} {table} | {is} | {:.0} |", grown / run);
        }
        let Some(bound) = bound(service, table)? else {
            exceeded.push(format!("{service} {table} has no limit in bench/soak/tables.txt"));
            continue;
        };
        // What is older than its retention is gone.
        let kept = bound.hours.map_or(1.0, |hours| (hours / run).min(1.0));
        let limit =
            (bound.per_order * f64::from(phase.orders) + bound.per_hour * run) * kept + ROWS;
        if grown > limit {
            let what = format!("{}: {service} {table}: {was} → {is} rows", phase.name);
            exceeded.push(format!("{what}, allowed are {limit:.0} more"));
        }
    }
    Ok(exceeded)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    /// A phase of an hour in which one container and one table grow as said, from 0 to 1 over the time.
    fn phase(
        usage: impl Fn(f64) -> Usage,
        table: (&str, &str),
        rows: impl Fn(f64) -> i64,
        orders: u32,
    ) -> Phase {
        let sample = |n: u32| {
            let part = f64::from(n) / 20.0;
            let key = (table.0.to_owned(), table.1.to_owned());
            Sample {
                at: HOUR.mul_f64(part),
                containers: BTreeMap::from([("soak-redis-0/redis".to_owned(), usage(part))]),
                tables: BTreeMap::from([(key, rows(part))]),
            }
        };
        Phase { name: "test", samples: (0..=20).map(sample).collect(), orders, time: HOUR }
    }

    fn steady(_: f64) -> Usage {
        Usage { processes: 1, descriptors: 10, threads: 5, memory: 1 << 24, ..Usage::default() }
    }

    #[test]
    fn leaking_container_exceeds_its_limit() {
        let table = ("order", "orders");
        assert_eq!(report(&phase(steady, table, |_| 1, 0)).unwrap(), [""; 0]);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        let leaky = |part: f64| {
            let zombies = (part * 300.0) as u64;
            Usage { processes: 1 + zombies, zombies, ..steady(part) }
        };
        let exceeded = report(&phase(leaky, table, |_| 1, 0)).unwrap();
        assert!(exceeded[0].contains("soak-redis-0/redis: processes"), "{exceeded:?}");
        assert!(exceeded[1].contains("zombies: 30.0 → 270.0"), "{exceeded:?}");
        assert_eq!(exceeded.len(), 2);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        let leaky = |part: f64| Usage { memory: (part * 12.0 * MIB) as u64, ..steady(part) };
        let exceeded = report(&phase(leaky, table, |_| 1, 0)).unwrap();
        assert!(exceeded[0].contains("soak-redis-0/redis: memory"), "{exceeded:?}");
    }

    #[test]
    fn volume_of_an_unknown_kind_is_an_error() {
        assert!(unmeasured("soak-redis-0/redis", &Usage::default()).is_none());
        assert!(unmeasured("soak-kafka-0/kafka", &Usage::default()).is_some());
        let written = Usage { disk: 1, ..Usage::default() };
        assert!(unmeasured("soak-kafka-0/kafka", &written).is_none());
        assert!(unmeasured("soak-postgres-0/postgres", &written).is_some(), "no WAL");
    }

    #[test]
    fn growing_table_exceeds_rate_and_retention() {
        #[expect(clippy::cast_possible_truncation, reason = "small")]
        let grown = |table, rows: f64, orders| {
            report(&phase(steady, table, |part| (part * rows) as i64, orders)).unwrap()
        };
        let orders = ("order", "orders");
        assert!(grown(orders, 3600.0, 3600).is_empty());
        assert_eq!(grown(orders, 7200.0, 3600).len(), 1);
        assert_eq!(grown(orders, 100.0, 0).len(), 1, "at rest");
        assert!(grown(("user", "password_tries"), 60.0, 0).is_empty());
        let unknown = grown(("user", "leaks"), 0.0, 0);
        assert!(unknown[0].contains("no limit"), "{unknown:?}");
    }

    #[test]
    fn every_table_has_a_limit() {
        let services = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../services");
        let mut tables = 0;
        for service in std::fs::read_dir(services).unwrap() {
            let (folder, mut files) = (service.unwrap().path(), Vec::new());
            if let Ok(entries) = std::fs::read_dir(folder.join("migrations")) {
                files.extend(entries.map(|entry| entry.unwrap().path()));
            }
            let service = folder.file_name().unwrap().to_str().unwrap();
            for file in files {
                let text = std::fs::read_to_string(&file).unwrap();
                for made in text.split("CREATE TABLE ").skip(1) {
                    let made = made.strip_prefix("IF NOT EXISTS ").unwrap_or(made);
                    let table = made.split([' ', '(', '\n']).next().unwrap();
                    tables += 1;
                    assert!(bound(service, table).unwrap().is_some(), "{service} {table}");
                }
            }
        }
        assert!(tables > 50, "{tables}");
    }

    #[test]
    fn limits_of_tables_can_be_read() {
        assert!(bound("nobody", "nothing").unwrap().is_none());
        assert!(bound("payment", "credit.entries").unwrap().is_some());
        assert_eq!(bound("review", "outbox").unwrap().unwrap().hours, Some(168.0));
    }
}
