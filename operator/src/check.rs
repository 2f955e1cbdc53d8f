//! `shop-operator check`: whether some replica behind a name leads. For `helm test`: the image has
//! no other program that could ask.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout};

/// How long one replica may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// Time between two rounds.
const PAUSE: Duration = Duration::from_millis(500);

/// Nobody leads.
#[derive(Debug, thiserror::Error)]
#[error("no replica at {address} leads: {seen}")]
pub struct NoLeader {
    /// Where replicas were looked for.
    pub address: String,
    /// What they said last.
    pub seen: String,
}

/// Asks the admin port of every replica behind `address` until one leads with full caches.
pub async fn leader(address: &str, patience: Duration) -> Result<SocketAddr, NoLeader> {
    let deadline = Instant::now() + patience;
    loop {
        let mut seen = Vec::new();
        match lookup_host(address).await {
            Ok(replicas) => {
                for replica in replicas {
                    match phase(replica).await {
                        Ok(phase) if phase == "leading" => return Ok(replica),
                        Ok(phase) => seen.push(format!("{replica} is {phase}")),
                        Err(error) => seen.push(format!("{replica}: {error}")),
                    }
                }
            }
            Err(error) => seen.push(error.to_string()),
        }
        if Instant::now() >= deadline {
            return Err(NoLeader { address: address.to_owned(), seen: seen.join(", ") });
        }
        sleep(PAUSE).await;
    }
}

/// How far a replica is, by its own words.
async fn phase(replica: SocketAddr) -> std::io::Result<String> {
    let ask = async {
        let mut stream = TcpStream::connect(replica).await?;
        // HTTP/1.0, so that the answer ends with the connection.
        stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.rsplit("\r\n\r\n").next().unwrap_or_default().trim().to_owned())
    };
    timeout(ANSWER, ask).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::admin::{Phase, serve};
    use crate::crds::Installed;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn only_a_leader_counts() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let patience = Duration::from_secs(20);
        let error = leader(&address.to_string(), Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");

        let (phase, phases) = watch::channel(Phase::Standby);
        let stop = CancellationToken::new();
        let metrics = Metrics::new().unwrap();
        let (_, crd) = watch::channel(Installed::Current);
        tokio::spawn(serve(address, (phases, crd), metrics, stop.clone()));
        let (wait, name) = (Duration::from_secs(2), address.to_string());
        let error = leader(&name, wait).await.unwrap_err();
        assert!(error.seen.ends_with("is standby"), "{error}");
        let waiting = tokio::spawn(async move { leader(&name, patience).await });
        phase.send_replace(Phase::Leading);
        assert_eq!(waiting.await.unwrap().unwrap(), address);
        stop.cancel();
    }
}
