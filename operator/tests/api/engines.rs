//! Postgres and Kafka, apart from any Shop.

use std::collections::{BTreeMap, BTreeSet};

use operator_core::build::TopicSpec;
use operator_core::crd::{KafkaSecurity, SslMode};
use operator_core::facts::{Comment, DatabaseState, TopicState};
use operator_core::plan::{
    BrokersAddress, BrokersQuestion, DatabaseAddress, RolePassword, Sql, TopicChange,
};
use shop_operator::kafka;
use shop_operator::postgres::{Admin, Error};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use url::Url;

use crate::server::variable;

fn unique(what: &str) -> String {
    format!("t-{what}-{:08x}", rand::random::<u32>())
}

fn server() -> DatabaseAddress {
    let url = Url::parse(&variable("TEST_DATABASE_URL")).unwrap();
    DatabaseAddress {
        host: url.host_str().unwrap().to_owned(),
        port: url.port().unwrap(),
        ssl_mode: SslMode::Disable,
        login: (url.username().to_owned(), url.password().unwrap().to_owned()),
    }
}

async fn look(admin: &mut Admin, name: &str, password: &str) -> (bool, Option<DatabaseState>) {
    let (role, password) = (name.to_owned(), Some(password.to_owned()));
    let wanted = [RolePassword { database: name.to_owned(), role, password }];
    let mut server = admin.inventory(&wanted).await.unwrap();
    (server.roles.contains(name), server.databases.remove(name))
}

async fn create(admin: &mut Admin, name: &str, password: &str) {
    let (role, database) = (name.to_owned(), name.to_owned());
    let password = password.to_owned();
    admin.execute(&Sql::CreateRole { role: role.clone(), password }).await.unwrap();
    admin.execute(&Sql::CreateDatabase { database, role }).await.unwrap();
}

#[tokio::test]
async fn a_database_is_seen_as_it_is_and_changed_by_statements() {
    let mut admin = Admin::connect(&server()).await.unwrap();
    // A name that needs quoting.
    let name = unique("a \"b\"");
    assert_eq!(look(&mut admin, &name, "it's first").await, (false, None));
    create(&mut admin, &name, "it's first").await;
    let mut state = DatabaseState {
        owner: name.clone(),
        comment: Comment::None,
        open_to_public: true,
        login_works: true,
        has_schema: false,
    };
    assert_eq!(look(&mut admin, &name, "it's first").await, (true, Some(state.clone())));

    let record = Sql::RecordMigration { database: name.clone(), image: "order:1".to_owned() };
    assert!(matches!(admin.execute(&record).await, Err(Error::Changed(_))), "it has no comment");
    admin.execute(&Sql::CloseToPublic { database: name.clone() }).await.unwrap();
    admin.execute(&Sql::Comment { database: name.clone(), image: None }).await.unwrap();
    (state.open_to_public, state.comment) = (false, Comment::Ours(None));
    assert_eq!(look(&mut admin, &name, "it's first").await.1, Some(state.clone()));
    admin.execute(&record).await.unwrap();
    state.comment = Comment::Ours(Some("order:1".to_owned()));
    state.login_works = false;
    assert_eq!(look(&mut admin, &name, "second").await.1, Some(state.clone()));
    let (role, password) = (name.clone(), "second".to_owned());
    admin.execute(&Sql::SetPassword { role, password }).await.unwrap();
    state.login_works = true;
    assert_eq!(look(&mut admin, &name, "second").await.1, Some(state));

    let (other, server) = (unique("other"), variable("TEST_DATABASE_URL"));
    create(&mut admin, &other, "theirs").await;
    admin.execute(&Sql::CloseToPublic { database: other.clone() }).await.unwrap();
    let server: PgConnectOptions = server.parse().unwrap();
    let own = server.username(&name).password("second");
    own.clone().database(&name).connect().await.unwrap().close().await.unwrap();
    assert!(own.database(&other).connect().await.is_err(), "every database is closed");

    admin
        .execute(&Sql::DropDatabase { database: other.clone(), role: name.clone() })
        .await
        .unwrap();
    let there = look(&mut admin, &other, "theirs").await.1;
    assert!(there.is_some(), "what belongs to another role is not dropped");
    for name in [name, other] {
        let (database, role) = (name.clone(), name.clone());
        admin.execute(&Sql::DropDatabase { database, role: role.clone() }).await.unwrap();
        admin.execute(&Sql::DropRole { role }).await.unwrap();
        assert_eq!(look(&mut admin, &name, "second").await, (false, None));
    }
    admin.close().await;
}

#[tokio::test]
async fn topics_are_seen_as_they_are_and_changed() {
    let address = BrokersAddress {
        bootstrap_servers: vec![variable("TEST_KAFKA_BROKERS")],
        security: KafkaSecurity::default(),
        login: None,
    };
    let name = unique("topic");
    let topics = BTreeSet::from([name.clone()]);
    let question = BrokersQuestion { subject: String::new(), address: address.clone(), topics };
    let look = async || kafka::inventory(&question).await.unwrap().topics.remove(&name);
    // Brokers answer at once and replicate metadata later.
    let until = async |state: TopicState| while look().await.as_ref() != Some(&state) {};
    assert_eq!(look().await, None);
    let topic = |partitions| TopicSpec {
        name: name.clone(),
        partitions,
        replication_factor: 1,
        retention_ms: 60_000,
    };
    let create = TopicChange::Create(vec![topic(1)]);
    let created = kafka::execute(&address, &create).await.unwrap();
    let config = |retention: &str| {
        let pairs = [("cleanup.policy", "delete"), ("retention.ms", retention)];
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    };
    let state = |partitions, config: BTreeMap<String, String>| TopicState {
        partitions,
        replicas: 1,
        config,
    };
    assert_eq!(created, [(name.clone(), state(1, config("60000")))].into());
    until(state(1, config("60000"))).await;
    let again = kafka::execute(&address, &create).await.unwrap();
    assert_eq!(again, BTreeMap::new(), "it is left as it is");

    kafka::execute(&address, &TopicChange::Grow(vec![topic(2)])).await.unwrap();
    until(state(2, config("60000"))).await;
    let mut compacted: BTreeMap<String, String> = config("120000");
    compacted.insert("max.message.bytes".to_owned(), "2000000".to_owned());
    let configure = TopicChange::Configure { topic: name.clone(), config: compacted.clone() };
    kafka::execute(&address, &configure).await.unwrap();
    until(state(2, compacted)).await;
    let delete = TopicChange::Delete([name.clone()].into());
    kafka::execute(&address, &delete).await.unwrap();
    while look().await.is_some() {}
    kafka::execute(&address, &delete).await.unwrap();
}
