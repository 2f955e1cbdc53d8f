//! Databases and topics, apart from any Shop.

use operator_core::build::TopicSpec;
use shop_operator::databases::{Admin, Error, Owned};
use shop_operator::topics::{self, Report};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::server::variable;

fn unique(what: &str) -> String {
    format!("t-{what}-{:08x}", rand::random::<u32>())
}

#[tokio::test]
async fn a_database_is_made_once_and_its_password_kept_in_sync() {
    let server: PgConnectOptions = variable("TEST_DATABASE_URL").parse().unwrap();
    let mut admin = Admin::connect(server.clone()).await.unwrap();
    // A name that needs quoting.
    let name = unique("a \"b\"");
    let owned = Owned { database: name.clone(), role: name.clone() };
    assert!(admin.ensure(&owned, "it's first").await.unwrap());
    assert!(!admin.ensure(&owned, "it's first").await.unwrap(), "nothing is left to write");
    assert!(admin.ensure(&owned, "second").await.unwrap(), "the password follows the Secret");
    let own = server.clone().username(&name).password("second");
    own.clone().database(&name).connect().await.unwrap().close().await.unwrap();

    let other = unique("other");
    let theirs = Owned { database: other.clone(), role: other };
    admin.ensure(&theirs, "theirs").await.unwrap();
    assert!(own.database(&theirs.database).connect().await.is_err(), "every database is closed");

    let taken = Owned { database: theirs.database.clone(), role: name.clone() };
    assert!(matches!(admin.ensure(&taken, "second").await, Err(Error::Taken { .. })));
    admin.drop(&taken).await.unwrap();
    assert!(!admin.ensure(&theirs, "theirs").await.unwrap(), "what is not ours is not dropped");
    admin.drop(&owned).await.unwrap();
    admin.drop(&theirs).await.unwrap();
    admin.close().await;
}

#[tokio::test]
async fn topics_grow_and_never_shrink() {
    let mut client = rdkafka::ClientConfig::new();
    client.set("bootstrap.servers", variable("TEST_KAFKA_BROKERS"));
    let topic = |partitions, replication_factor, retention_ms| TopicSpec {
        name: String::new(),
        partitions,
        replication_factor,
        retention_ms,
    };
    let name = unique("topic");
    let ensure = async |topic: TopicSpec| {
        let topic = TopicSpec { name: name.clone(), ..topic };
        topics::ensure(client.clone(), vec![topic]).await.unwrap()
    };
    assert_eq!(ensure(topic(1, 1, 60_000)).await.created, [name.as_str()]);
    // The brokers answer at once and tell each other later.
    let mut second = ensure(topic(2, 1, 60_000)).await;
    while second.grown.is_empty() {
        second = ensure(topic(2, 1, 60_000)).await;
    }
    assert_eq!(second.grown, [name.as_str()]);
    let mut third = ensure(topic(1, 3, 120_000)).await;
    while third.refused.is_empty() {
        third = ensure(topic(1, 3, 120_000)).await;
    }
    assert!(third.refused[0].contains("fewer (1) would lose records"), "{:?}", third.refused);
    assert_eq!(ensure(topic(2, 1, 120_000)).await, Report::default());
    topics::delete(client.clone(), vec![name.clone()]).await.unwrap();
}
